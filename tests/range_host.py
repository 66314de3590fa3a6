"""A media host that hands out ranges, for `tests.http_server`; what a test changes is how it strays."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.media.download import Downloader
from bot.settings import load_settings
from bot.upload import Part, Rendition
from tests.http_server import Answer, Asked, ScriptedServer

PATH = "/a/a1/Film.bin"
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")


@dataclass
class RangeHost:
    """The script of one path: `asked` keeps the spans, `special[n]` changes the answer to request n."""

    content: bytes
    etag: str | None = '"one"'
    modified: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[int, int] | None] = field(default_factory=list)
    special: dict[int, Any] = field(default_factory=dict)
    ranges: bool = True

    @property
    def sent_bytes(self) -> int:
        return sum(len(self.content) if span is None else span[1] - span[0] for span in self.asked)

    def __call__(self, asked: Asked) -> Answer:
        match = _RANGE.fullmatch(asked.headers.get("Range", ""))
        number = len(self.asked)
        told = {"Content-Type": "video/webm", **self.headers}
        if self.etag is not None:
            told["ETag"] = self.etag
        if self.modified is not None:
            told["Last-Modified"] = self.modified
        if_range = asked.headers.get("If-Range")
        if match is None or not self.ranges or (if_range is not None and if_range != self.etag):
            self.asked.append(None)
            answer = Answer(200, self.content, told)
        else:
            start, end = int(match[1]), min(int(match[2]) + 1, len(self.content))
            self.asked.append((start, end))
            told["Content-Range"] = f"bytes {start}-{end - 1}/{len(self.content)}"
            answer = Answer(206, self.content[start:end], told)
        change = self.special.get(number)
        return change(answer) if change is not None else answer


def film_at(server: ScriptedServer, content: bytes, max_bytes: int = 10**9) -> Rendition:
    """The rendition of an original video at `PATH`."""
    sha1 = hashlib.sha1(content).hexdigest()
    part = Part(server.url(PATH), sha1_hex=sha1, size_bytes=len(content))
    return Rendition("original", (part,), 640, max_bytes, by_ranges=True)


@contextmanager
def downloaders(server: ScriptedServer, directory: Path) -> Iterator[Callable[..., Downloader]]:
    """Makes downloaders whose only host is the server, and closes them."""
    made: list[Downloader] = []

    def downloader(stop: threading.Event | None = None, **changes: Any) -> Downloader:
        values = {"allowed_hosts": (server.netloc,), "directory": directory, "max_bits_per_s": 1e9}
        settings = load_settings().media.model_copy(update={**values, **changes})
        made.append(Downloader(settings, "TestBot/1.0 (test@example.org)", stop))
        return made[-1]

    try:
        yield downloader
    finally:
        for one in made:
            one.close()
