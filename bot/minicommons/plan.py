"""What the miniature Commons holds and what the bot is expected to make of it, as plain frozen values.

The demo's self-check compares the store with a `Plan`; a `Corpus` is what the generator left on disk.
Both survive a trip through JSON, because the server may be a process of its own.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

MediaType = Literal["BITMAP", "DRAWING", "VIDEO", "AUDIO", "OFFICE", "3D", "UNKNOWN"]
Story = Literal["uploaded", "overwrites", "deleted", "moved", "suppressed", "lagging"]
FaultKind = Literal["none", "status", "slow", "unrenderable", "truncated", "redirect", "no_ranges"]

SCORED_SFW = "scored-sfw"
SCORED_NSFW = "scored-nsfw"


@dataclass(frozen=True, slots=True)
class Transcode:
    """A reduced copy of a video, as TimedMediaHandler makes them.

    Attributes:
        key: `transcodekey` of the API, such as `240p.vp9.webm`.
        path: File, relative to the corpus folder.
        mime: Type with codecs, as the API gives it.
        width: Width in pixels.
        height: Height in pixels.
        bandwidth: Bits per second.
    """

    key: str
    path: str
    mime: str
    width: int
    height: int
    bandwidth: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The bytes of one file version and what the wiki would know of them.

    Attributes:
        path: File, relative to the corpus folder.
        mime: Type as the API gives it.
        mediatype: MediaWiki's media type.
        width: Width in pixels; 0 where the wiki could not tell.
        height: Height in pixels; 0 where the wiki could not tell.
        size_bytes: Length of the file.
        sha1_hex: SHA-1 of the file.
        pagecount: Pages of a document, else None.
        duration_s: Length of a video, sound or GIF, else None.
        thumbnails: False where the wiki refuses to make any (`thumberror`).
        renders: Pictures that thumbnails are made from, one a page; empty: from the file itself.
        transcodes: Reduced copies of a video.
    """

    path: str
    mime: str
    mediatype: MediaType
    width: int
    height: int
    size_bytes: int
    sha1_hex: str
    pagecount: int | None = None
    duration_s: float | None = None
    thumbnails: bool = True
    renders: tuple[str, ...] = ()
    transcodes: tuple[Transcode, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "StoredFile":
        """Rebuild from `dataclasses.asdict` after JSON.

        Args:
            value: The decoded object.

        Returns:
            The value.
        """
        transcodes = tuple(Transcode(**item) for item in value["transcodes"])
        return cls(**{**value, "renders": tuple(value["renders"]), "transcodes": transcodes})


@dataclass(frozen=True, slots=True)
class MediaFault:
    """How the media server misbehaves for one file.

    Attributes:
        kind: `status` answers `status`, `slow` dribbles, `unrenderable` answers 500 to every thumbnail,
            `truncated` closes half way, `redirect` sends the client to `location`, `no_ranges`
            sends the whole file whatever range is asked for.
        times: How many requests are affected; -1 for all.
        status: HTTP status of `status`.
        retry_after_s: Sent as Retry-After where not None.
        location: Target of `redirect`.
        seconds: How long a `slow` answer takes in all.
    """

    kind: FaultKind = "none"
    times: int = -1
    status: int = 503
    retry_after_s: int | None = None
    location: str | None = None
    seconds: float = 1.5


@dataclass(frozen=True, slots=True)
class Specimen:
    """One upload of the corpus.

    Attributes:
        name: Key, also the name of its folder.
        title: Full title, `File:Example.jpg`; two specimens may share one (`overwrites`).
        file: The bytes.
        expected: `scored-sfw`, `scored-nsfw` or `skip:<code>`.
        story: What happens to the file around its upload event.
        fault: How the media server misbehaves for it.
        note: One sentence for people.
        moved_to: New title for the story `moved`.
        bulk: Whether `publish_many` may use its picture.
    """

    name: str
    title: str
    file: StoredFile
    expected: str
    story: Story = "uploaded"
    fault: MediaFault = field(default_factory=MediaFault)
    note: str = ""
    moved_to: str | None = None
    bulk: bool = False

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Specimen":
        """Rebuild from `dataclasses.asdict` after JSON.

        Args:
            value: The decoded object.

        Returns:
            The value.
        """
        return cls(
            **{**value, "file": StoredFile.from_json(value["file"]), "fault": MediaFault(**value["fault"])}
        )


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything the generator left in a folder.

    Attributes:
        directory: The folder.
        specimens: In the order of publication.
    """

    directory: str
    specimens: tuple[Specimen, ...]

    def specimen(self, name: str) -> Specimen:
        """Find a specimen.

        Args:
            name: Its key.

        Returns:
            The specimen.

        Raises:
            KeyError: Where the corpus has none of that name.
        """
        for specimen in self.specimens:
            if specimen.name == name:
                return specimen
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class PlannedOutcome:
    """What the store should say about one upload in the end.

    Attributes:
        log_id: The upload's log id.
        title: Title at the time of the upload.
        specimen: Name of the specimen whose bytes it carries.
        expected: `scored-sfw`, `scored-nsfw` or `skip:<code>`.
        in_stream: False where the upload stands in the log only.
        published_at_s: When its event was sent, seconds since the epoch.
    """

    log_id: int
    title: str
    specimen: str
    expected: str
    in_stream: bool = True
    published_at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Every upload published so far.

    Attributes:
        outcomes: In the order of publication.
    """

    outcomes: tuple[PlannedOutcome, ...]

    def by_log_id(self) -> dict[int, PlannedOutcome]:
        """Index the outcomes by their natural key."""
        return {outcome.log_id: outcome for outcome in self.outcomes}

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, understood by `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Plan":
        """Rebuild from `as_json` after JSON.

        Args:
            value: The decoded object.

        Returns:
            The plan.
        """
        return cls(tuple(PlannedOutcome(**item) for item in value["outcomes"]))
