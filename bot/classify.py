"""Score local files for the `classify` command: each file on its own, in the order given."""

import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from bot.preparing import shown
from bot.review.wikitext import printable
from bot.scoring import Scorer
from bot.settings import Settings
from classifier.errors import DecodeError
from classifier.values import FrameResult, MediaPart


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file: either a score, or a code and a message.

    Attributes:
        file: As given on the command line.
        score: 0..1.
        label: `nsfw` or `sfw`.
        model: Name of the model.
        worst: The frame that gave the score.
        frames: How many frames were scored.
        code: Stable code of the failure.
        message: One sentence about the failure.
    """

    file: str
    score: float | None = None
    label: str | None = None
    model: str | None = None
    worst: FrameResult | None = None
    frames: int = 0
    code: str | None = None
    message: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The result as one line of `--json` shows it."""
        if self.code is not None:
            return {"file": self.file, "code": self.code, "message": self.message}
        assert self.score is not None and self.worst is not None
        return {
            "file": self.file,
            "score": round(self.score, 6),
            "label": self.label,
            "model": self.model,
            "at_s": self.worst.at_s,
        }


def classify_files(
    settings: Settings, files: Sequence[Path], *, progress: Console | None = None
) -> Iterator[FileResult]:
    """Score files with the configured model, several at a time.

    Args:
        settings: Model, level and limits.
        files: What to score.
        progress: Where to draw a progress bar; None draws none.

    Yields:
        One result per file, in the order given.

    Raises:
        ModelError: Where the weights cannot be had.
    """
    with shown(progress or Console(quiet=True), "loading the model") as on_step:
        scorer = Scorer.load(settings, on_step)
    try:
        with ThreadPoolExecutor(settings.decode.workers + 1) as executor:
            results = executor.map(lambda file: _classify(scorer, file), files)
            if progress is not None and len(files) > 1:
                results = iter(track(results, "scoring", total=len(files), console=progress, transient=True))
            yield from results
    finally:
        scorer.close()


def _classify(scorer: Scorer, file: Path) -> FileResult:
    try:
        # Asked first: opening a pipe waits for somebody who writes into it.
        if not stat.S_ISREG(file.stat().st_mode):
            return FileResult(str(file), code="unreadable", message=f"{file}: not a regular file")
        file.open("rb").close()
    except OSError as error:
        return FileResult(str(file), code="unreadable", message=f"{file}: {error.strerror}")
    try:
        scored = scorer.score([MediaPart(file)])
    except DecodeError as error:
        return FileResult(str(file), code=error.code, message=error.message)
    return FileResult(
        str(file),
        score=scored.score,
        label=scored.label,
        model=scorer.classifier.card.name,
        worst=scored.worst,
        frames=len(scored.frames),
    )


def position_of(frame: FrameResult) -> str:
    """Where a frame is, for people: `0:12`, `page 2`, or nothing for a single picture."""
    if frame.at_s is not None:
        minutes, seconds = divmod(int(frame.at_s), 60)
        return f"{minutes}:{seconds:02d}"
    return f"page {frame.page}" if frame.page is not None else ""


def print_table(console: Console, results: Iterator[FileResult]) -> bool:
    """Print the results as a table.

    Args:
        console: Where to print.
        results: What to print.

    Returns:
        Whether any file failed.
    """
    table = Table(box=None, header_style="bold")
    table.add_column("File", overflow="fold", ratio=3)
    for name in ("Label", "Score", "At", "Frames"):
        table.add_column(name, no_wrap=True)
    table.add_column("Remark", overflow="fold", ratio=2)
    failed = False
    for result in results:
        name = escape(printable(result.file))
        if result.code is not None:
            failed = True
            table.add_row(
                name, "–", "–", "", "", escape(printable(f"{result.code}: {result.message}")), style="yellow"
            )
        else:
            assert result.score is not None and result.worst is not None
            style = "bold red" if result.label == "nsfw" else ""
            table.add_row(
                name,
                result.label,
                f"{result.score:.4f}",
                position_of(result.worst),
                str(result.frames),
                "",
                style=style,
            )
    console.print(table)
    return failed
