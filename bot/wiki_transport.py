"""The HTTP session that pywikibot is given: it notes what pywikibot keeps to itself.

pywikibot swallows why a request failed and how long the server wants rest; operators and schedules need both.
"""

from datetime import UTC, datetime
from typing import Any

import requests

from bot.backoff import parse_retry_after


class NotingSession(requests.Session):
    """An ordinary session with two notes about the last request; not thread-safe.

    Attributes:
        problem: Why it failed, or its HTTP status where that is no success; None where all was well.
        after_s: What its answer asked for (Retry-After) in seconds, if it did.
    """

    problem: str | None = None
    after_s: float | None = None

    def forget(self) -> None:
        """Nothing has happened yet."""
        self.problem = self.after_s = None

    def send(self, request: requests.PreparedRequest, **arguments: Any) -> requests.Response:
        """Send, and take notes.

        Args:
            request: As for requests.
            arguments: As for requests.

        Returns:
            The response.

        Raises:
            RequestException: As requests does.
        """
        self.forget()
        try:
            response = super().send(request, **arguments)
        except requests.RequestException as error:
            self.problem = f"{type(error).__name__}: {error}"
            raise
        self.after_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        if not response.ok:
            self.problem = f"HTTP {response.status_code}"
        return response


__all__ = ["NotingSession"]
