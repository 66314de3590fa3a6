"""Whom the service lets in: a Protocol, and the way without any doors."""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

Scope = Literal["classify", "console", "review"]
AccessCode = Literal["unauthorized", "forbidden", "quota_exceeded", "access_unavailable"]
ALL_SCOPES: Final[frozenset[str]] = frozenset({"classify", "console", "review"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        account: Name of the account; stands in the access log and beside verdicts.
        scopes: What it may do: `classify`, `console`, `review`.
    """

    account: str
    scopes: frozenset[str]


class AccessDenied(Exception):
    """The caller is not let in.

    Args:
        status: HTTP status: 401, 403, 429, or 503 where nobody can tell at the moment.
        code: `unauthorized`, `forbidden`, `quota_exceeded` or `access_unavailable`.
        detail: One sentence for the caller; holds nothing of the token.
        retry_after_s: When to come again, in seconds, where that helps.
    """

    def __init__(
        self, status: int, code: AccessCode, detail: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


class Access(Protocol):
    """Knows the callers."""

    def admit_at_once(self, token: str | None, *, scope: str, cost: int) -> Caller | None:
        """As `admit`, where nobody has to be asked; called on the event loop, so it never waits.

        Args:
            token: As for `admit`.
            scope: As for `admit`.
            cost: As for `admit`.

        Returns:
            Who it is; None where that takes asking, and nothing was counted.

        Raises:
            AccessDenied: It may not.
        """
        ...

    def admit(self, token: str | None, *, scope: str, cost: int) -> Caller:
        """Let a request in, and count it; called from worker threads, several at a time.

        Args:
            token: What stood behind `Authorization: Bearer`, as it was sent; None where nothing did.
            scope: What it wants to do: one of `Scope`.
            cost: Files it wants scored, counted against the caller's quota. With 0 nothing is counted, and
                a caller whose quota is used up is let in: a batch asks so before its body is read, and with
                its real cost afterwards.

        Returns:
            Who it is.

        Raises:
            AccessDenied: It may not.
        """
        ...


class OpenAccess:
    """Everybody may do everything: for tests, and for a service that only its own machine can reach."""

    def admit_at_once(self, token: str | None, *, scope: str, cost: int) -> Caller:
        """As `admit`."""
        return self.admit(token, scope=scope, cost=cost)

    def admit(self, token: str | None, *, scope: str, cost: int) -> Caller:  # noqa: ARG002
        """Let everybody in.

        Args:
            token: Not looked at.
            scope: Not looked at.
            cost: Not counted.

        Returns:
            `anonymous`.
        """
        return Caller("anonymous", ALL_SCOPES)


__all__ = ["ALL_SCOPES", "Access", "AccessCode", "AccessDenied", "Caller", "OpenAccess", "Scope"]
