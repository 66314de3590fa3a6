"""Who has a token for the console, as the pages need to know it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from bot.review.verdict_values import canonical_name
from classifier.service.access import Access
from storage import api_tokens
from storage.api_tokens import ApiToken, Scope
from storage.engine import Database


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who may see the console.

    Attributes:
        token_id: Row id of the token.
        account: Wiki user name, spelt as the wiki does; author of the verdicts given here.
        may_review: Whether verdicts may be given with it.
    """

    token_id: int
    account: str
    may_review: bool


class Holders(Protocol):
    """Looks tokens up."""

    def by_secret(self, secret: str) -> Holder | None:
        """Whoever has this token; None where it is unknown, ended, or not for the console.

        Raises:
            AccessDenied: Likewise, with the reason.
        """
        ...

    def by_id(self, token_id: int) -> Holder | None:
        """Whoever has the token with this row id; None as above."""
        ...


class StoredHolders:
    """Looks them up in the store, at every request: a token that is revoked opens nothing from then on.

    Args:
        database: The store.
        access: The door of the whole service, which decides whose token opens the console.
        clock: Tells the present.
    """

    def __init__(
        self, database: Database, access: Access, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._access = access
        self._clock = clock

    def by_secret(self, secret: str) -> Holder | None:
        """As `Holders`.

        Raises:
            AccessDenied: Where the service's door refuses it.
        """
        self._access.admit(secret, scope=Scope.CONSOLE, cost=0)
        with self._database.read() as tx:
            return self._holder(api_tokens.find(tx, secret))

    def by_id(self, token_id: int) -> Holder | None:
        """As `Holders`."""
        with self._database.read() as tx:
            return self._holder(api_tokens.by_id(tx, token_id))

    def _holder(self, token: ApiToken | None) -> Holder | None:
        if token is None or not token.is_valid(self._clock()) or Scope.CONSOLE not in token.scopes:
            return None
        return Holder(token.id, canonical_name(token.account), Scope.REVIEW in token.scopes)


__all__ = ["Holder", "Holders", "StoredHolders"]
