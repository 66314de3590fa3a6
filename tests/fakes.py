"""Hand-written stand-ins at our own Protocols, for the pipeline's unit tests."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.errors import BotError
from bot.upload import Downloaded, DownloadedPart, Part, Rendition
from classifier.values import DecodeSummary, FrameResult, MediaPart, MediaScore
from storage.values import ClaimedUpload, Source, Upload, UploadAction

RENDITION = Rendition("thumbnail", (Part("https://upload.wikimedia.org/330px-A.jpg"),), 330, 1_000_000)


def upload(log_id: int, title: str | None = None) -> Upload:
    """An upload as the stream would bring it."""
    now = datetime.now(UTC)
    return Upload(
        wiki="commonswiki",
        log_id=log_id,
        action=UploadAction.UPLOAD,
        title=title or f"File:Number {log_id}.jpg",
        user="Someone",
        sha1="0" * 31,
        file_timestamp=now,
        logged_at=now,
        source=Source.STREAM,
    )


def media_score(score: float, threshold: float = 0.8) -> MediaScore:
    """A finished score of one picture."""
    frame = FrameResult(score)
    return MediaScore(
        score=score,
        label="nsfw" if score >= threshold else "sfw",
        threshold=threshold,
        frames=(frame,),
        worst=frame,
        summary=DecodeSummary("image", "pillow", 1, None, 0.001),
        timings_s={"decode": 0.001, "classify": 0.002},
    )


class FakeLocator:
    """Answers with one rendition, or with what a test says per title."""

    def __init__(self, answers: Mapping[str, Rendition | BotError] | None = None) -> None:
        self.answers = dict(answers or {})
        self.error: BotError | None = None
        self.batches: list[int] = []

    def locate(self, claimed: Sequence[ClaimedUpload]) -> Mapping[int, Rendition | BotError]:
        """Answer."""
        self.batches.append(len(claimed))
        if self.error is not None:
            raise self.error
        return {one.id: self.answers.get(one.title, RENDITION) for one in claimed}


class FakeDownloader:
    """Hands out paths that do not exist and remembers which were discarded."""

    def __init__(self, error: BotError | None = None) -> None:
        self.error = error
        self.open = 0

    def download(self, rendition: Rendition, *, may_have_holes: bool = False) -> Downloaded:
        """Answer."""
        if self.error is not None:
            raise self.error
        self.open += 1
        return Downloaded(rendition, (DownloadedPart(Path("nowhere"), None, 10),), 0.01)

    def discard(self, downloaded: Downloaded) -> None:
        """Count."""
        self.open -= 1


def scores(value: float | Exception) -> Callable[[Sequence[MediaPart]], MediaScore]:
    """A scorer that always answers the same."""

    def score(parts: Sequence[MediaPart]) -> MediaScore:
        if isinstance(value, Exception):
            raise value
        return media_score(value)

    return score


class DeletedFilesWiki:
    """A wiki in which the same bytes were always deleted under the same titles.

    Attributes:
        titles: Under which the bytes were deleted.
        unlogged: Those of them that no public log tells of.
        hidden: Those whose log entries are hidden.
        failure: Raised in place of an answer.
        asked: Every question.
    """

    def __init__(self, titles: Sequence[str] = (), *, failure: BotError | None = None) -> None:
        self.titles, self.failure = list(titles), failure
        self.unlogged: set[str] = set()
        self.hidden: set[str] = set()
        self.asked: list[Mapping[str, str | int]] = []

    def query(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        """Answer as the action API does in `formatversion=2`."""
        self.asked.append(params)
        if self.failure is not None:
            raise self.failure
        if params["list"] == "filearchive":
            return {"query": {"filearchive": [{"title": title} for title in self.titles]}}
        title = str(params["letitle"])
        if title not in self.titles or title in self.unlogged:
            return {"query": {"logevents": []}}
        event = {"title": title, "type": "delete"} | ({"actionhidden": True} if title in self.hidden else {})
        return {"query": {"logevents": [event]}}
