"""Score files, local ones or the wiki's, for the `classify` command: each on its own, in the order given."""

import errno
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bot.classify_progress import Watcher, watched
from bot.classify_sources import LocalFile, Source, WikiFile, read_source
from bot.errors import RetryLater, ServiceDown, SkipUpload
from bot.preparing import shown
from bot.review.local_report import page_address
from bot.review.wikitext import printable
from bot.scoring import Scorer
from bot.settings import Settings
from bot.timeline_values import Scored, where
from classifier import preprocess
from classifier.aggregate import BUILT_IN
from classifier.errors import DecodeError
from classifier.values import Frame, FrameResult, MediaPart, ModelCard

if TYPE_CHECKING:
    from bot.classify_fetch import TitleFetcher
    from bot.timeline_strip import Strip
    from bot.upload import Downloaded

SERVICE_DOWN = "service_down"
"""Code of what failed because the wiki, or the disk for downloads, could not be reached."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file: either a score, or a code and a message.

    Attributes:
        file: As given on the command line.
        scored: Its score.
        strip: The frames for a timeline, where one was asked for.
        code: Stable code of the failure.
        message: One sentence about the failure.
    """

    file: str
    scored: Scored | None = None
    strip: "Strip | None" = None
    code: str | None = None
    message: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The result as one line of `--json` shows it.

        Where all frames were scored, `aggregates` tells what other ways to make one score of them would give;
        `score` and `label` go by the maximum.
        """
        if self.scored is None:
            return {"file": self.file, "code": self.code, "message": self.message}
        result, summary = self.scored.result, self.scored.summary
        answer: dict[str, Any] = {
            "file": self.file,
            "score": round(result.score, 6),
            "label": result.label,
            "threshold": result.threshold,
            "model": self.scored.model,
            "engine": self.scored.engine,
            **_position(result.worst),
            "kind": summary.kind,
            "duration_s": summary.duration_s,
            "frames": [{**_position(one), "score": round(one.score, 6)} for one in result.frames],
            "mode": summary.mode,
            "largest_gap_s": summary.largest_gap_s,
            "covered_share": summary.covered_share,
            "decoder": summary.decoder,
            "truncated": summary.truncated,
        }
        if not self.scored.stops_early:  # else the frames are missing that a mean would be made of
            answer["aggregates"] = {one.name: round(one.score(result.frames), 6) for one in BUILT_IN}
        if self.scored.downloaded is not None:
            answer["title"] = self.scored.name
            answer["downloaded"] = dict(self.scored.downloaded)
        return answer


def _position(frame: FrameResult) -> dict[str, float | int | None]:
    return {"at_s": frame.at_s} if frame.page is None else {"at_s": frame.at_s, "page": frame.page}


def classify_files(
    settings: Settings,
    files: Sequence[str],
    *,
    keep_going: bool = False,
    with_strip: bool = False,
    progress: Console | None = None,
) -> Iterator[FileResult]:
    """Score files with the configured model, several at a time.

    Args:
        settings: Model, level and limits; for titles also the wiki and the contact.
        files: What to score: paths, `File:…` titles, addresses of file pages.
        keep_going: Score all frames, also after the first one over the threshold; the other aggregates are
            then told, too.
        with_strip: Keep the frames that a timeline shows.
        progress: Where to draw a progress bar; None draws none.

    Yields:
        One result per file, in the order given.

    Raises:
        ConfigError: There are titles, but no contact is set.
        ServiceDown: There is nothing but titles, and the wiki does not answer.
        ModelError: Where the weights cannot be had.
    """
    sources = [read_source(given, settings.wiki.page_url) for given in files]
    stop = threading.Event()
    with ExitStack() as stack:
        fetcher = _fetcher(settings, sources, stop, stack)
        with shown(progress or Console(quiet=True), "loading the model") as on_step:
            scorer = Scorer.load(settings, on_step)
        executor = stack.enter_context(ThreadPoolExecutor(settings.decode.workers + 1))
        # Undone from the bottom up: whoever is interrupted waits for no download and no film.
        stack.callback(executor.shutdown, wait=False, cancel_futures=True)
        stack.callback(scorer.close)
        stack.callback(stop.set)
        watcher = stack.enter_context(watched(progress, len(sources)))
        work = _Work(settings, scorer, fetcher, watcher, keep_going, with_strip)
        yield from executor.map(work.classify, sources)


def _fetcher(
    settings: Settings, sources: Sequence[Source], stop: threading.Event, stack: ExitStack
) -> "TitleFetcher | ServiceDown | None":
    """Ask the wiki about all titles; where it does not answer, local files can still be scored."""
    titles = [source.title for source in sources if isinstance(source, WikiFile)]
    if not titles:
        return None
    # Whoever scores local files needs neither requests nor the API.
    from bot.classify_fetch import TitleFetcher

    fetcher = TitleFetcher(settings, stop)
    try:
        stack.enter_context(fetcher.located(titles))
    except ServiceDown as error:
        if len(titles) == len(sources):
            raise
        return error
    return fetcher


@dataclass(frozen=True, slots=True)
class _Work:
    """What all files share.

    Attributes:
        settings: See `classify_files`.
        scorer: Decodes and scores.
        fetcher: Downloads titles; the error instead where the wiki does not answer, None without titles.
        watcher: Draws progress.
        keep_going: See `classify_files`.
        with_strip: See `classify_files`.
    """

    settings: Settings
    scorer: Scorer
    fetcher: "TitleFetcher | ServiceDown | None"
    watcher: Watcher
    keep_going: bool
    with_strip: bool

    def classify(self, source: Source) -> FileResult:
        """Score one file; its own trouble is its result."""
        try:
            if isinstance(source, WikiFile):
                return self._wiki_file(source)
            if isinstance(source, LocalFile):
                return self._local_file(source)
            return FileResult(source.given, code="unknown_source", message=source.message)
        except (DecodeError, SkipUpload) as error:
            return FileResult(source.given, code=error.code, message=error.message)
        except RetryLater as error:
            message = f"{error.message} It may work later."
            return FileResult(source.given, code=error.code, message=message)
        except ServiceDown as error:
            return FileResult(source.given, code=SERVICE_DOWN, message=str(error))
        finally:
            self.watcher.done()

    def _local_file(self, source: LocalFile) -> FileResult:
        path = source.path
        try:
            # Asked first: opening a pipe waits for somebody who writes into it.
            if not stat.S_ISREG(path.stat().st_mode):
                return FileResult(source.given, code="unreadable", message=f"{path}: not a regular file")
            path.open("rb").close()
        except OSError as error:
            return FileResult(source.given, code="unreadable", message=_unreadable(path, error))
        return self._score(source.given, source.given, [MediaPart(path)])

    def _wiki_file(self, source: WikiFile) -> FileResult:
        if isinstance(self.fetcher, ServiceDown):
            raise self.fetcher
        assert self.fetcher is not None
        self.watcher.step("downloading", source.title)
        with self.fetcher.fetched(source.title) as downloaded:
            address = page_address(self.settings.wiki.page_url, source.title)
            return self._score(source.given, source.title, downloaded.media_parts(), address, downloaded)

    def _score(
        self,
        given: str,
        name: str,
        parts: Sequence[MediaPart],
        address: str | None = None,
        downloaded: "Downloaded | None" = None,
    ) -> FileResult:
        strip = _new_strip(self.scorer.classifier.card) if self.with_strip else None

        def on_frame(frame: Frame, score: float) -> None:
            self.watcher.frame(frame, score)
            if strip is not None:
                strip.add(frame, score)

        self.watcher.step("scoring", name)
        result = self.scorer.score(
            parts, stop_early=not self.keep_going, on_frame=on_frame, on_decoded=self.watcher.decoded
        )
        classifier = self.scorer.classifier
        level = self.settings.classifier.level
        record = None if downloaded is None else downloaded.record()
        scored = Scored(
            name,
            result,
            classifier.card.name,
            classifier.engine,
            level,
            address,
            record,
            stops_early=not self.keep_going,
        )
        return FileResult(given, scored, strip)


def _new_strip(card: ModelCard) -> "Strip":
    from bot.timeline_strip import Strip

    return Strip(preprocess.get(card.preprocessing).channels)


def _unreadable(path: Path, error: OSError) -> str:
    message = f"{path}: {error.strerror}"
    if error.errno != errno.ENOENT:
        return message
    return f"{message}. A file of the wiki is given as File:Name.webm, or by the address of its page"


def print_table(console: Console, results: Sequence[FileResult]) -> None:
    """Print the results as a table.

    Args:
        console: Where to print.
        results: What to print.
    """
    table = Table(box=None, header_style="bold")
    table.add_column("File", overflow="fold", ratio=3)
    for name in ("Label", "Score", "At", "Frames"):
        table.add_column(name, no_wrap=True)
    table.add_column("Remark", overflow="fold", ratio=2)
    for result in results:
        name = escape(printable(result.file))
        if result.scored is None:
            remark = escape(printable(f"{result.code}: {result.message}"))
            table.add_row(name, "–", "–", "", "", remark, style="yellow")
            continue
        scored = result.scored.result
        table.add_row(
            name,
            scored.label,
            f"{scored.score:.4f}",
            where(scored.worst),
            str(len(scored.frames)),
            "decoding ended early" if scored.summary.truncated and scored.label == "sfw" else "",
            style="bold red" if scored.label == "nsfw" else "",
        )
    console.print(table)
