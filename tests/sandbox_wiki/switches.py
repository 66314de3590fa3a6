"""What a test changes on the running wiki: read-only, lag, captcha, rate limits, slowness, thumbnails.

They lie in a file that PHP reads anew at every request, so they act from the next request on.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Switches:
    """The state of all switches; the defaults are a healthy wiki.

    Attributes:
        readonly: Reason why the wiki is read-only; None means it is not.
        maxlag_s: Replication lag that requests with a `maxlag` parameter see; None means none.
        captcha: Whether edits and uploads need a captcha.
        rate_limits: MediaWiki's $wgRateLimits: action → kind of user → (count, seconds).
        sleep_ms: How long every request is held back.
        thumbnail_status: HTTP status that every thumbnail gets, with `Retry-After: 1`; None serves them.
    """

    readonly: str | None = None
    maxlag_s: float | None = None
    captcha: bool = False
    rate_limits: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    sleep_ms: int = 0
    thumbnail_status: int | None = None

    def save(self, site_folder: Path) -> None:
        """Let them act from the next request on.

        Args:
            site_folder: Folder of the site.
        """
        path = site_folder / "switches.json"
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")
        aside.replace(path)
