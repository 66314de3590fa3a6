"""Who has a token for the console, as the pages need to know it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from bot.review.verdict_values import canonical_name
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
        """Whoever has this token; None where it is unknown, ended, or not for the console."""
        ...

    def by_id(self, token_id: int) -> Holder | None:
        """Whoever has the token with this row id; None as above."""
        ...


class StoredHolders:
    """Looks them up in the store, at every request: a token that is revoked opens nothing from then on.

    Args:
        database: The store.
        clock: Tells the present.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._clock = clock

    def by_secret(self, secret: str) -> Holder | None:
        """As `Holders`; notes that the token was used."""
        with self._database.read() as tx:
            token = api_tokens.find(tx, secret)
        holder = self._holder(token)
        if holder is not None:
            with self._database.transaction() as tx:
                api_tokens.note_use(tx, holder.token_id, self._clock())
        return holder

    def by_id(self, token_id: int) -> Holder | None:
        """As `Holders`."""
        with self._database.read() as tx:
            return self._holder(api_tokens.by_id(tx, token_id))

    def _holder(self, token: ApiToken | None) -> Holder | None:
        if token is None or not token.is_valid(self._clock()) or Scope.CONSOLE not in token.scopes:
            return None
        return Holder(token.id, canonical_name(token.account), Scope.REVIEW in token.scopes)


__all__ = ["Holder", "Holders", "StoredHolders"]
