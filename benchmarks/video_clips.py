"""The clips that the video benchmark decodes: encoded once from procedural footage, kept in the user's cache.

Encoding is dear and copying is not, so only short reels are encoded; films of any length are spliced from
their packets with times counted in frames. Every reel starts with a keyframe and refers to nothing outside
itself, so that reels of one kind and codec follow each other in any order, and a planted piece can begin at
any frame.
"""

import contextlib
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import cv2
import imageio_ffmpeg  # type: ignore[import-untyped, unused-ignore]
import numpy as np
from platformdirs import user_cache_path
from rich.progress import Progress

from benchmarks import footage
from benchmarks.video_splice import splice
from classifier.values import Pixels

WIDTH_PX, HEIGHT_PX, RATE = 854, 480, 24
REELS_FRAMES = (727, 743, 769, 809)
"""Lengths of the different reels that take turns in a film: no multiples of any interval between samples, as
otherwise these would lie at the same few distances from the keyframes again and again."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How one of Commons' formats is made.

    Attributes:
        name: What the tables call it.
        encoder: Arguments of ffmpeg besides the bit rate; keyframes as the encoders place them.
        kbit_s: Bit rate at 854x480, about that of Commons' files.
        suffix: Of the container.
        muxer: ffmpeg's name of the container.
        format_name: What `classifier.decode.sniff` calls it.
    """

    name: str
    encoder: tuple[str, ...]
    kbit_s: int
    suffix: str
    muxer: str
    format_name: str


_VP9 = ("-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "4", "-row-mt", "1", "-threads", "2")
CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec("H.264", ("-c:v", "libx264", "-g", "250"), 1000, ".mp4", "mp4", "MP4"),
        Codec("VP9", _VP9, 800, ".webm", "webm", "Matroska"),
        Codec("AV1", ("-c:v", "libsvtav1", "-preset", "9"), 700, ".webm", "webm", "Matroska"),
        Codec("Theora", ("-c:v", "libtheora", "-g", "64"), 1500, ".ogv", "ogg", "Ogg"),
        Codec("MPEG-2", ("-c:v", "mpeg2video", "-g", "15", "-bf", "2"), 4000, ".mpg", "vob", "MPEG-PS"),
        Codec(
            "VP8",
            ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "4"),
            1200,
            ".webm",
            "webm",
            "Matroska",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Take:
    """What is filmed in one reel.

    Attributes:
        kind: `film`; `enlarged`, a film drawn with a quarter of the side; `slides`; or `positive`, a harmless
            picture that the default model flags, with flicker and grain.
        width_px: Width.
        height_px: Height.
        frames: Length.
        rate: Frames per second.
        seed: Chooses the pictures.
        kbit_s: Bit rate; 0: in proportion to the codec's at 854x480.
    """

    kind: str
    width_px: int
    height_px: int
    frames: int
    rate: int
    seed: int
    kbit_s: int = 0

    def pictures(self) -> Iterator[Pixels]:
        """The frames, uint8 (height, width, 3), BGR."""
        width, height = self.width_px, self.height_px
        if self.kind == "film":
            return footage.film(width, height, self.frames, self.rate, self.seed)
        if self.kind == "enlarged":
            small = footage.film(width // 4, height // 4, self.frames, self.rate, self.seed)
            return (np.asarray(cv2.resize(picture, (width, height)), np.uint8) for picture in small)
        if self.kind == "positive":
            from tests.model_weights import positive  # torch, only where the reel is missing

            rgb = positive(width, height, self.seed, robust="video")
            return footage.lively(np.ascontiguousarray(rgb[:, :, ::-1]), self.frames, self.seed)
        return footage.slides(width, height, self.frames, self.rate, self.seed)


@dataclass(frozen=True, slots=True)
class Film:
    """A finished film.

    Attributes:
        path: The file.
        duration_s: Its length in seconds.
    """

    path: Path
    duration_s: float


def running_order(takes: Sequence[Take], seconds: int) -> list[Take]:
    """The takes in turn, until they last long enough.

    Args:
        takes: All of one rate.
        seconds: How long.
    """
    order: list[Take] = []
    for take in cycle(takes):
        if sum(one.frames for one in order) >= seconds * take.rate:
            break
        order.append(take)
    return order


def default_directory() -> Path:
    """Where clips are kept."""
    return user_cache_path("commons-nsfw-bot") / "benchmarks" / f"footage-v{footage.VERSION}"


class Clips:
    """Finds clips in the cache and makes those that are missing.

    Args:
        progress: Shows what is being made.
        directory: The cache; None: the user's.
        reels: How many different reels a film is made of, from 1 on.
    """

    def __init__(
        self, progress: Progress, directory: Path | None = None, reels: int = len(REELS_FRAMES)
    ) -> None:
        self._progress = progress
        self.directory = directory or default_directory()
        self._reels = reels

    def film(self, codec: Codec, seconds: int) -> Film:
        """A film of 854x480 and 24 frames a second.

        Args:
            codec: How it is encoded.
            seconds: Its length at least; reels are not cut.
        """
        takes = self._film_takes()
        frames = sum(take.frames for take in running_order(takes, seconds))
        return Film(self._spliced(f"film{self._reels}", codec, takes, seconds), frames / RATE)

    def lecture(self, codec: Codec, seconds: int) -> Path:
        """Standing slides, so that hours fit into some megabytes; the same format as `film`."""
        takes = [Take("slides", WIDTH_PX, HEIGHT_PX, 60 * RATE, RATE, seed=1, kbit_s=60)]
        return self._spliced("lecture", codec, takes, seconds)

    def still(self, codec: Codec, seconds: int) -> Path:
        """One picture at one frame a second: the 24-hour still."""
        takes = [Take("slides", WIDTH_PX, HEIGHT_PX, 300, 1, seed=2, kbit_s=20)]
        return self._spliced("still", codec, takes, seconds)

    def four_k(self, codec: Codec, seconds: int) -> Path:
        """A film of 3840x2160."""
        takes = [Take("enlarged", 3840, 2160, 2 * RATE, RATE, seed=3)]
        return self._spliced("4k", codec, takes, seconds)

    def prepare(self, codecs: Sequence[Codec]) -> None:
        """Make the missing reels of `film` for several codecs at once, drawing each only once."""
        for take in self._film_takes():
            self.film_takes(codecs, take)

    def _film_takes(self) -> list[Take]:
        return [
            Take("film", WIDTH_PX, HEIGHT_PX, frames, RATE, seed=number)
            for number, frames in enumerate(REELS_FRAMES[: self._reels])
        ]

    def reel(self, codec: Codec, take: Take) -> Path:
        """One encoded reel in Matroska, which holds every codec here.

        Args:
            codec: How it is encoded.
            take: What is in it.
        """
        self.film_takes([codec], take)
        return self._reel_path(codec, take)

    def film_takes(self, codecs: Sequence[Codec], take: Take) -> None:
        """Make one take's reels for several codecs while drawing it only once.

        Args:
            codecs: Those of which the reel may be missing.
            take: What is in it.
        """
        missing = [codec for codec in codecs if not self._reel_path(codec, take).exists()]
        if not missing:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        names = ", ".join(codec.name for codec in missing)
        task = self._progress.add_task(f"filming for {names}", total=take.frames)
        pictures = self._progress.track(take.pictures(), total=take.frames, task_id=task)
        targets = {codec: self._reel_path(codec, take) for codec in missing}
        encode(pictures, take, targets)
        self._progress.remove_task(task)

    def _reel_path(self, codec: Codec, take: Take) -> Path:
        key = hashlib.sha256(repr((codec.encoder, bit_rate(codec, take), take)).encode()).hexdigest()[:12]
        return self.directory / f"{take.kind}-{take.width_px}-{take.frames}f-{codec.name}-{key}.mkv"

    def _spliced(self, name: str, codec: Codec, takes: Sequence[Take], seconds: int) -> Path:
        reels = [self.reel(codec, take) for take in takes]
        key = hashlib.sha256("/".join(reel.name for reel in reels).encode()).hexdigest()[:12]
        path = self.directory / f"{name}-{seconds}s-{key}{codec.suffix}"
        if not path.exists():
            order = [self._reel_path(codec, take) for take in running_order(takes, seconds)]
            task = self._progress.add_task(f"splicing {path.name}", total=len(order))
            splice(order, path, codec.muxer, takes[0].rate, lambda: self._progress.advance(task))
            self._progress.remove_task(task)
        return path


def bit_rate(codec: Codec, take: Take) -> int:
    """Kilobits per second for a take; in proportion to a film's area to the power 3/4, as is usual."""
    area = take.width_px * take.height_px / (WIDTH_PX * HEIGHT_PX)
    return take.kbit_s or round(codec.kbit_s * area**0.75)


def encode(pictures: Iterable[Pixels], take: Take, targets: dict[Codec, Path]) -> None:
    """Encode frames with several codecs at once, each by a process of ffmpeg's.

    Args:
        pictures: uint8 (height, width, 3), BGR, sides even.
        take: Their size and rate.
        targets: What to make; a file appears under its name only when it is complete.
    """
    # libsvtav1 prints greetings whatever ffmpeg's log level.
    environment = {**os.environ, "SVT_LOG": "1"}
    with contextlib.ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=next(iter(targets.values())).parent))
        )
        running = {
            codec: stack.enter_context(
                subprocess.Popen(
                    _command(codec, take, folder / path.name), stdin=subprocess.PIPE, env=environment
                )
            )
            for codec, path in targets.items()
        }
        with contextlib.suppress(BrokenPipeError):  # its exit status says why
            for picture in pictures:
                planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes()
                for process in running.values():
                    assert process.stdin is not None
                    process.stdin.write(planes)
        for codec, process in running.items():
            process.communicate()
            if process.returncode:
                raise SystemExit(f"ffmpeg cannot encode {codec.name}: exit status {process.returncode}")
        for path in targets.values():
            (folder / path.name).replace(path)


def _command(codec: Codec, take: Take, path: Path) -> list[str]:
    size = f"{take.width_px}x{take.height_px}"
    source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", str(take.rate), "-i", "-"]
    rate = ["-b:v", f"{bit_rate(codec, take)}k"]
    exact = ["-flags", "+bitexact", "-fflags", "+bitexact"]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    return [
        ffmpeg,
        "-nostdin",
        "-loglevel",
        "error",
        *source,
        *codec.encoder,
        *rate,
        *exact,
        "-f",
        "matroska",
        str(path),
    ]


__all__ = [
    "CODECS",
    "HEIGHT_PX",
    "RATE",
    "REELS_FRAMES",
    "WIDTH_PX",
    "Clips",
    "Codec",
    "Film",
    "Take",
    "default_directory",
    "running_order",
]
