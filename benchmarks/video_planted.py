"""Whether two seconds of a harmless positive are found in a film of twenty minutes, wherever they are.

Every film is really decoded, in the bot's own workers, and every frame really scored; equal pictures only
once. To be done in minutes, one film holds many planted segments at random places and is read to its end, and
each segment counts by itself: whether a frame is taken does not depend on what others show. The films are
small, so that decoding is cheap. As behind a cut, a segment begins with a keyframe: which frames the exact
mode takes does not depend on that, but the economical mode prefers keyframes and finds more than chance.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from rich.table import Table

from benchmarks.video_clips import Clips, Codec, Take
from benchmarks.video_methods import limits
from benchmarks.video_models import default_model
from benchmarks.video_splice import splice
from classifier.batching import Batcher
from classifier.decode.sampling import SamplingMode
from classifier.decode.sandbox import DecodePool
from classifier.scoring import score_media
from classifier.values import Classifier, FrameResult, MediaPart, ModelCard, Pixels

WIDTH_PX, HEIGHT_PX, RATE = 320, 180, 24
PLANTED_S = 2
_KBIT_S = 400
_LONG_FRAMES, _LONG_PIECES = 240, 3
_SHORT_FRAMES = tuple(2**power for power in range(8))
SETTINGS: tuple[tuple[SamplingMode, float], ...] = (
    ("exact", 1.0),
    ("exact", 2.0),
    ("exact", 3.0),
    ("exact", 5.0),
    ("economical", 1.0),
    ("economical", 5.0),
)
QUICK_SETTINGS = (SETTINGS[0], SETTINGS[3], SETTINGS[5])
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class Found:
    """What one setting found in one codec's films.

    Attributes:
        planted: How many segments there were.
        found: In how many a frame was flagged.
        false_alarms: Frames flagged outside of any.
        highest_clean: The highest score outside.
    """

    planted: int
    found: int
    false_alarms: int
    highest_clean: float


class _Memory:
    """A classifier that scores equal pictures once."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._known: dict[bytes, np.float32] = {}

    @property
    def card(self) -> ModelCard:
        return self._classifier.card

    @property
    def engine(self) -> str:
        return self._classifier.engine

    def predict(self, pixels: Pixels) -> NDArray[np.float32]:
        names = [
            hashlib.blake2b(picture, digest_size=16).digest() for picture in np.ascontiguousarray(pixels)
        ]
        new = {name: index for index, name in enumerate(names) if name not in self._known}
        if new:
            scores = self._classifier.predict(pixels[list(new.values())])
            self._known.update(zip(new, scores, strict=True))
        return np.array([self._known[name] for name in names], np.float32)


def starts(frames: int, segments: int, seed: int) -> list[int]:
    """Where segments begin: one at a random frame of each equal part of the film.

    Args:
        frames: Length of the film.
        segments: How many; each part must be longer than a segment.
        seed: Chooses the places.

    Returns:
        Ascending frame numbers.
    """
    rng = np.random.default_rng(seed)
    part = frames // segments
    return [number * part + int(rng.integers(part - PLANTED_S * RATE + 1)) for number in range(segments)]


def filler(frames: int) -> list[int]:
    """Lengths of pieces that together have so many frames: long ones, and powers of two for the rest."""
    long, rest = divmod(frames, _LONG_FRAMES)
    return [_LONG_FRAMES] * long + [length for length in reversed(_SHORT_FRAMES) if rest & length]


class _Pieces:
    """The encoded pieces of one codec's films."""

    def __init__(self, clips: Clips, codec: Codec) -> None:
        self.codec = codec
        takes = _takes()
        self._planted = clips.reel(codec, takes["planted"])
        self._long = [clips.reel(codec, takes[f"long {number}"]) for number in range(_LONG_PIECES)]
        self._short = {length: clips.reel(codec, takes[f"short {length}"]) for length in _SHORT_FRAMES}

    def film(self, target: Path, frames: int, segments: Sequence[int]) -> None:
        """Splice a film with planted segments at the given frames."""
        order: list[Path] = []
        rng = np.random.default_rng(frames)
        at = 0
        for start in [*segments, frames]:
            # Shuffled: else the short pieces' keyframes would crowd together just before the segment.
            for number, length in enumerate(rng.permutation(filler(start - at)).astype(int).tolist()):
                long = self._long[(len(order) + number) % _LONG_PIECES]
                order.append(long if length == _LONG_FRAMES else self._short[length])
            if start < frames:
                order.append(self._planted)
            at = start + PLANTED_S * RATE
        splice(order, target, self.codec.muxer, RATE)


def _takes() -> dict[str, Take]:
    lengths = {f"short {length}": length for length in _SHORT_FRAMES}
    lengths |= {f"long {number}": _LONG_FRAMES for number in range(_LONG_PIECES)}
    takes = {
        name: Take("film", WIDTH_PX, HEIGHT_PX, length, RATE, seed=100 + number, kbit_s=_KBIT_S)
        for number, (name, length) in enumerate(lengths.items())
    }
    frames = PLANTED_S * RATE
    return {**takes, "planted": Take("positive", WIDTH_PX, HEIGHT_PX, frames, RATE, seed=0, kbit_s=_KBIT_S)}


def chance(interval_s: float) -> float:
    """The chance that a sample falls into a segment at a random place."""
    return min(PLANTED_S / interval_s, 1.0)


def judged(
    results: Sequence[FrameResult], segments: Sequence[int], threshold: float
) -> tuple[int, int, float]:
    """Count what was found.

    Args:
        results: The scored frames of a film.
        segments: At which frames segments begin.
        threshold: Score from which a frame is flagged.

    Returns:
        Segments with a flagged frame, flagged frames outside of all, and the highest score outside.
    """
    half_s = 0.5 / RATE
    found: set[int] = set()
    outside: list[float] = []
    for result in results:
        at_s = (result.at_s or 0.0) + half_s
        within = next((start for start in segments if 0 <= at_s - start / RATE < PLANTED_S), None)
        if within is None:
            outside.append(result.score)
        elif result.score >= threshold:
            found.add(within)
    return len(found), sum(score >= threshold for score in outside), max(outside, default=0.0)


def planted(
    clips: Clips,
    progress: Progress,
    codecs: Sequence[Codec],
    engine: str,
    positions: int,
    films: int,
    seconds: int,
    settings: Sequence[tuple[SamplingMode, float]] = SETTINGS,
) -> tuple[list[Table], dict[str, object]]:
    """Measure.

    Args:
        clips: Makes the pieces.
        progress: Shows what is being done.
        codecs: Which formats.
        engine: Of the default model.
        positions: Planted segments per codec.
        films: Spread over so many films.
        seconds: Length of a film.
        settings: Modes and intervals in seconds.

    Returns:
        The table, and its figures.
    """
    for take in _takes().values():
        clips.film_takes(codecs, take)
    classifier = _Memory(default_model(engine))
    threshold = classifier.card.thresholds["balanced"]
    task = progress.add_task("planted", total=len(codecs) * (1 + len(settings)))
    found: dict[tuple[str, SamplingMode, float], Found] = {}
    frames = seconds * RATE
    places = [starts(frames, positions // films, seed) for seed in range(films)]
    for codec in codecs:
        pieces = _Pieces(clips, codec)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number}{codec.suffix}" for number in range(films)]
            progress.update(task, description=f"planted: splicing {codec.name}")
            for path, segments in zip(paths, places, strict=True):
                pieces.film(path, frames, segments)
            progress.advance(task)
            for mode, interval_s in settings:
                progress.update(task, description=f"planted: {codec.name}, {mode}, {interval_s:g} s")
                scored = _scored(paths, classifier, mode, interval_s, frames)
                outcomes = [judged(*one, threshold) for one in zip(scored, places, strict=True)]
                found[codec.name, mode, interval_s] = Found(
                    planted=sum(len(segments) for segments in places),
                    found=sum(outcome[0] for outcome in outcomes),
                    false_alarms=sum(outcome[1] for outcome in outcomes),
                    highest_clean=max(outcome[2] for outcome in outcomes),
                )
                progress.advance(task)
    progress.remove_task(task)
    return [_table(found, [codec.name for codec in codecs], seconds)], _figures(found)


def _scored(
    paths: Sequence[Path], classifier: Classifier, mode: SamplingMode, interval_s: float, frames: int
) -> list[tuple[FrameResult, ...]]:
    allowed = limits(mode, interval_s, max_frames=frames)
    with (
        DecodePool(allowed, _WORKERS) as pool,
        Batcher(classifier) as batcher,
        ThreadPoolExecutor(_WORKERS) as threads,
    ):

        def score(path: Path) -> tuple[FrameResult, ...]:
            return score_media([MediaPart(path)], pool, batcher, threshold=1.0, stop_early=False).frames

        return list(threads.map(score, paths))


def _table(found: dict[tuple[str, SamplingMode, float], Found], codecs: Sequence[str], seconds: int) -> Table:
    planted = next(iter(found.values())).planted
    table = Table(
        title=f"{planted} planted segments of {PLANTED_S} s in films of {seconds / 60:g} min: "
        "how many were found (+: false alarms; the economical mode is helped by "
        "their beginning with a keyframe, as after a cut)",
        title_justify="left",
    )
    for heading in ("sampling", *codecs, "theoretical chance"):
        table.add_column(heading, justify="left" if heading == "sampling" else "right")
    for mode, interval_s in dict.fromkeys((mode, interval_s) for _, mode, interval_s in found):
        cells = []
        for codec in codecs:
            one = found[codec, mode, interval_s]
            alarms = f" +{one.false_alarms}" if one.false_alarms else ""
            verdict = ""
            if (mode, interval_s) == ("exact", 1.0):
                verdict = " (met)" if one.found == one.planted else " (MISSED)"
            cells.append(f"{one.found / one.planted:.0%}{alarms}{verdict}")
        table.add_row(f"{mode}, {interval_s:g} s", *cells, f"{chance(interval_s):.0%}")
    return table


def _figures(found: dict[tuple[str, SamplingMode, float], Found]) -> dict[str, object]:
    return {
        f"{codec}, {mode}, {interval_s:g} s": {
            "planted": one.planted,
            "found": one.found,
            "chance": round(chance(interval_s), 3),
            "false_alarms": one.false_alarms,
            "highest_clean": round(one.highest_clean, 3),
        }
        for (codec, mode, interval_s), one in found.items()
    }


__all__ = [
    "PLANTED_S",
    "QUICK_SETTINGS",
    "SETTINGS",
    "Found",
    "chance",
    "filler",
    "judged",
    "planted",
    "starts",
]
