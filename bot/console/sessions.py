"""Who is logged in, told by a signed cookie; nothing is stored, so several workers can serve one operator.

A session names its token by the row id. The token is looked up again at every request, so revoking it ends
all of its sessions at once. What is signed is no secret; the secret that signs it never leaves the server.
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

LENGTH: Final = timedelta(hours=12)
_NONCE_BYTES: Final = 16
_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody's login.

    Attributes:
        token_id: Row id of the token that was entered.
        nonce: Tells this login apart from others.
        expires_at: When it ends by itself.
    """

    token_id: int
    nonce: str
    expires_at: datetime


class Sessions:
    """Signs and reads sessions; threads may share it.

    Args:
        key: The secret, the same in every worker.
        clock: Tells the present.
    """

    def __init__(self, key: bytes, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._key = key
        self._clock = clock
        self._ended: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def begin(self, token_id: int) -> str:
        """Log somebody in.

        Args:
            token_id: Row id of the token that was entered.

        Returns:
            The cookie's value.
        """
        ends = int((self._clock() + LENGTH).timestamp())
        body = f"{_VERSION}.{token_id}.{ends}.{secrets.token_hex(_NONCE_BYTES)}"
        return f"{body}.{self._signature('session', body)}"

    def read(self, cookie: str | None) -> Session | None:
        """Whose session a cookie is.

        Args:
            cookie: Its value, anything at all; None where there is none.

        Returns:
            The session; None where it was not made here, has ended, or was logged out.
        """
        body, _, signature = (cookie or "").rpartition(".")
        if not hmac.compare_digest(
            self._signature("session", body).encode(), signature.encode("utf-8", "replace")
        ):
            return None
        _version, token_id, ends, nonce = body.split(".")
        session = Session(int(token_id), nonce, datetime.fromtimestamp(int(ends), UTC))
        if self._clock() >= session.expires_at or nonce in self._ended:
            return None
        return session

    def end(self, session: Session) -> None:
        """Log somebody out: the cookie counts no longer, whoever has a copy of it.

        Other workers forget it when it expires; revoking the token ends it everywhere.

        Args:
            session: Whose.
        """
        now = self._clock()
        with self._lock:
            self._ended = {nonce: until for nonce, until in self._ended.items() if until > now}
            self._ended[session.nonce] = session.expires_at

    def form_token(self, nonce: str) -> str:
        """What a form must send along, so that no other site can send it.

        Args:
            nonce: Of the session, or of the visitor who is about to log in.

        Returns:
            The token.
        """
        return self._signature("form", nonce)

    def is_form_token(self, nonce: str, sent: str) -> bool:
        """Whether a form was made here for this session; the comparison takes the same time for all."""
        return bool(nonce) and hmac.compare_digest(self.form_token(nonce).encode(), sent.encode())

    def _signature(self, purpose: str, body: str) -> str:
        return hmac.new(self._key, f"{purpose}:{body}".encode(), hashlib.sha256).hexdigest()


def new_nonce() -> str:
    """For a visitor who is not logged in yet."""
    return secrets.token_hex(_NONCE_BYTES)


__all__ = ["LENGTH", "Session", "Sessions", "new_nonce"]
