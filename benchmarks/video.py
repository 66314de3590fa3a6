"""What looking at videos costs, next to the proposal's method, other decoders and the limit; what is found.

`python -m benchmarks.video [--quick] [--only decoders|table|early-exit|memory|planted]`; the last line is
JSON. Costs are CPU seconds of fresh processes, children included, so that a busy machine changes little;
ratios come from one run. Clips are made once and cached (`benchmarks.video_clips`). Decord, which nobody
keeps any more, takes part where it is installed (extra `decoders`).
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import video_decoders, video_early_exit, video_memory, video_planted, video_table
from benchmarks.video_clips import CODECS, REELS_FRAMES, Clips, Codec


@dataclass(frozen=True, slots=True)
class Run:
    """What the parts share.

    Attributes:
        clips: The films.
        progress: Shows what is being done.
        codecs: Which formats are measured.
        engine: Of the default model.
        quick: Whether to be done within two minutes rather than to be exact.
        seconds: Length of the films of the decoders' table.
        rounds: How often that is measured.
    """

    clips: Clips
    progress: Progress
    codecs: Sequence[Codec]
    engine: str
    quick: bool
    seconds: int
    rounds: int


Found = tuple[list[Table], dict[str, object]]


def decoders(run: Run) -> Found:
    """CPU per decoder and format."""
    results, tables = video_decoders.decoders(run.clips, run.progress, run.seconds, run.rounds, run.codecs)
    return tables, video_decoders.figures(results)


def table(run: Run) -> Found:
    """The proposal's four rows, end to end."""
    lengths_s = video_table.LENGTHS_S[: 1 if run.quick else None]
    return video_table.table(run.clips, run.progress, lengths_s, CODECS["H.264"], run.engine)


def early_exit(run: Run) -> Found:
    """What stopping at the first hit saves, in either order."""
    return video_early_exit.early_exit(
        run.clips, run.progress, 60 if run.quick else 600, run.codecs, run.engine
    )


def memory(run: Run) -> Found:
    """The decode worker's peak."""
    return video_memory.memory(run.clips, run.progress, run.quick)


def planted(run: Run) -> Found:
    """How often a short segment is found."""
    positions, films, seconds = (10, 1, 240) if run.quick else (100, 4, 1200)
    settings = video_planted.QUICK_SETTINGS if run.quick else video_planted.SETTINGS
    return video_planted.planted(
        run.clips, run.progress, run.codecs, run.engine, positions, films, seconds, settings
    )


PARTS: dict[str, Callable[[Run], Found]] = {
    "decoders": decoders,
    "table": table,
    "early-exit": early_exit,
    "memory": memory,
    "planted": planted,
}
QUICK_CODECS = ("H.264", "VP9", "Theora")


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short films, few positions, one round")
    parser.add_argument("--only", choices=[*PARTS], action="append", help="may be given several times")
    parser.add_argument("--codec", choices=[*CODECS], action="append", help="may be given several times")
    parser.add_argument("--minutes", type=float, default=4, help="length of the films of the decoders' table")
    parser.add_argument("--rounds", type=int, default=1, help="of the decoders' table")
    parser.add_argument("--engine", default="auto", help="of the default model")
    arguments = parser.parse_args()
    console = Console(width=max(Console().width, 150))
    codecs = [CODECS[name] for name in arguments.codec or (QUICK_CODECS if arguments.quick else CODECS)]
    figures: dict[str, object] = {}
    with Progress(console=console, transient=True) as progress:
        clips = Clips(progress, reels=1 if arguments.quick else len(REELS_FRAMES))
        clips.prepare(codecs)
        seconds = 30 if arguments.quick else round(arguments.minutes * 60)
        run = Run(clips, progress, codecs, arguments.engine, arguments.quick, seconds, arguments.rounds)
        for name in arguments.only or PARTS:
            tables, found = PARTS[name](run)
            for table in tables:
                console.print(table)
            figures[name.replace("-", "_")] = found
    figures |= {"quick": arguments.quick, "cpus": os.cpu_count() or 0, "python": platform.python_version()}
    print(json.dumps({"benchmark": "video", "figures": figures}))


if __name__ == "__main__":
    main()
