"""What tests and the demo may tell the miniature Commons, in this process or another.

Every order has JSON-able arguments and results, so that one typed surface serves both.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from bot.minicommons.plan import MediaFault, Plan

_POLL_S = 0.05


class Controls(ABC):
    """The orders."""

    @property
    @abstractmethod
    def base_url(self) -> str:
        """Scheme, host and port, without a path."""

    @abstractmethod
    def _order(self, order: str, **arguments: Any) -> Any:
        """Carry out an order and return its JSON-able result."""

    @property
    def stream_url(self) -> str:
        """For `[stream] url`."""
        return f"{self.base_url}/v2/stream/recentchange"

    @property
    def api_url(self) -> str:
        """For `[wiki] api_url`."""
        return f"{self.base_url}/w/api.php"

    @property
    def media_host(self) -> str:
        """For `[media] allowed_hosts`: host and port."""
        return self.base_url.partition("://")[2]

    def overrides(self) -> dict[str, Any]:
        """Nested settings for `bot.settings.load_settings` that point the bot at this server."""
        return {
            "wiki": {"api_url": self.api_url},
            "stream": {"url": self.stream_url},
            "media": {"allowed_hosts": [self.media_host]},
        }

    def publish_corpus(
        self, *, names: Sequence[str] | None = None, rate_per_s: float = 0, withhold: Sequence[str] = ()
    ) -> None:
        """Upload the corpus' specimens, in their order.

        Args:
            names: Only these; None takes all.
            rate_per_s: Uploads a second, in the background; 0 publishes all before returning.
            withhold: These stand in the log but never come in the stream.
        """
        self._order("publish_corpus", names=names, rate_per_s=rate_per_s, withhold=list(withhold))

    def publish_many(
        self,
        count: int,
        *,
        rate_per_s: float = 0,
        names: Sequence[str] | None = None,
        withhold_every: int = 0,
    ) -> None:
        """Upload many files that share a few pictures; titles, log ids and bytes are unique.

        Args:
            count: How many.
            rate_per_s: Uploads a second, in the background; 0 publishes all before returning.
            names: Specimens to take the pictures from; None takes those meant for it.
            withhold_every: Every so manieth stands in the log only; 0 withholds none.
        """
        self._order(
            "publish_many", count=count, rate_per_s=rate_per_s, names=names, withhold_every=withhold_every
        )

    def publish_noise(self, count: int, *, rate_per_s: float = 0, size_bytes: int = 0) -> None:
        """Send events that are no uploads to Commons.

        Args:
            count: How many; -1 goes on until the server stops (needs a rate).
            rate_per_s: Events a second, in the background; 0 sends all before returning.
            size_bytes: Length of an event; 0 leaves it as it comes.
        """
        self._order("publish_noise", count=count, rate_per_s=rate_per_s, size_bytes=size_bytes)

    def publishing(self) -> bool:
        """Whether uploads are still being published in the background."""
        return bool(self._order("publishing"))

    def plan(self) -> Plan:
        """What the store should hold in the end, for everything uploaded so far."""
        return Plan.from_json(self._order("plan"))

    def statistics(self) -> dict[str, Any]:
        """Counters, see `Statistics.snapshot`; and `ring`, the events kept."""
        result: dict[str, Any] = self._order("statistics")
        return result

    def wait_for_stream(self, timeout_s: float = 60.0) -> bool:
        """Wait until somebody listens: what is published before stands in the log only, for a first start.

        Args:
            timeout_s: How long to wait at most.

        Returns:
            Whether a stream connection is open.
        """
        deadline = time.monotonic() + timeout_s
        while not self.statistics()["streams_now"]:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def delete(self, title: str) -> None:
        """Delete a file; the event follows."""
        self._order("delete", title=title)

    def move(self, title: str, target: str) -> None:
        """Rename a file and leave a redirect; the event follows."""
        self._order("move", title=title, target=target)

    def suppress(self, title: str) -> None:
        """Hide the bytes of a file; no event follows."""
        self._order("suppress", title=title)

    def set_stream(self, **faults: Any) -> None:
        """Change how the stream behaves.

        Args:
            **faults: Fields of `StreamFaults`; the others stay as they are.
        """
        self._order("set_stream", **faults)

    def close_streams(self, *, abrupt: bool = False) -> int:
        """End every open stream connection; returns how many there were."""
        return int(self._order("close_streams", abrupt=abrupt))

    def mute_streams(self) -> int:
        """Let the stream connections open now be silent for ever; returns how many there were."""
        return int(self._order("mute_streams"))

    def forget_events(self) -> None:
        """Drop what the stream could replay, as if retention had passed over it."""
        self._order("forget_events")

    def set_media_fault(self, title: str | None, fault: MediaFault) -> None:
        """Let the media server misbehave.

        Args:
            title: For this file; None for all.
            fault: How.
        """
        self._order("set_media_fault", title=title, fault=asdict(fault))

    def fail_api(
        self, kind: Literal["maxlag", "503", "429", "html"], *, times: int = 1, retry_after_s: int | None = 1
    ) -> None:
        """Let the API fail.

        Args:
            kind: `maxlag` answers the error (to requests that carry the parameter), `html` a page instead of
                JSON with status 200, the others that HTTP status.
            times: How many requests; -1 for all, 0 ends it.
            retry_after_s: Sent as Retry-After; None sends none.
        """
        self._order("fail_api", kind=kind, times=times, retry_after_s=retry_after_s)
