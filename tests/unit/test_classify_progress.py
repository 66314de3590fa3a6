"""What somebody sees who waits for `classify`."""

import io
import re

import numpy as np
from rich.console import Console

from bot.classify_progress import watched
from classifier.values import DecodeSummary, Frame


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def frame(at_s: float | None) -> Frame:
    return Frame(np.zeros((2, 2, 3), np.uint8), at_s)


def length(duration_s: float | None) -> DecodeSummary:
    return DecodeSummary("video", "pyav", 0, duration_s, 0.0)


def test_a_single_film_shows_how_far_it_is_of_its_length() -> None:
    console = terminal()
    with watched(console, 1) as watcher:
        watcher.step("scoring", "[bold]film.webm")
        watcher.decoded(length(1920.0))
        for at_s in (0.0, 725.0, 750.0, 60.0):
            watcher.frame(frame(at_s), 0.1)
    assert "scoring [bold]film.webm" in shown(console)
    assert "12:30 of 32:00, 4 frames" in shown(console), "the farthest, whatever the order"


def test_without_a_known_length_the_position_alone_is_shown() -> None:
    console = terminal()
    with watched(console, 1) as watcher:
        watcher.decoded(length(None))
        watcher.frame(frame(5.0), 0.1)
    assert "0:05, 1 frame" in shown(console)


def test_of_several_files_those_that_are_done_are_counted() -> None:
    console = terminal()
    with watched(console, 4) as watcher:
        watcher.step("scoring", "film.webm")
        watcher.frame(frame(5.0), 0.1)
        for _ in range(3):
            watcher.done()
    assert "3 of 4 files" in shown(console)
    assert "film.webm" not in shown(console)


def test_without_a_terminal_nothing_is_drawn() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    for drawn in (console, None):
        with watched(drawn, 1) as watcher:
            watcher.step("scoring", "film.webm")
            watcher.frame(frame(5.0), 0.1)
            watcher.done()
    assert shown(console).strip() == ""
