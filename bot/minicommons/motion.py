"""Specimens that move or sound: animations, video in three codecs, audio.

VP9 and AV1 are encoded through PyAV, which has no encoder for Theora; imageio-ffmpeg's ffmpeg has one.
"""

import math
import os
import subprocess
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from bot.minicommons.pictures import Built, Pixels, scene
from bot.minicommons.plan import Transcode

FRAMES_PER_S = 10
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "24", "b": "0", "row-mt": "1"}),
    "av1": ("libsvtav1", {"preset": "10", "crf": "30", "svtav1-params": "lp=1"}),
}
_SAMPLE_RATE_HZ = 48_000


class EncoderMissing(Exception):
    """An encoder that a specimen needs is not installed; the message says what to do."""


def moving_scene(width: int, height: int, seed: int, frames: int) -> list[Pixels]:
    """A scene with a square that wanders over it.

    Args:
        width: Pixels.
        height: Pixels.
        seed: Chooses the scene.
        frames: How many.

    Returns:
        uint8 arrays (height, width, 3), RGB.
    """
    background, side = scene(width, height, seed), height // 8
    pictures = []
    for number in range(frames):
        picture = background.copy()
        left = (width - side) * number // max(1, frames - 1)
        top = height // 3 + round(height / 6 * math.sin(number / 6))
        picture[top : top + side, left : left + side] = (210, 70, 60)
        pictures.append(picture)
    return pictures


def gif(folder: Path, frames: Sequence[Pixels], frame_ms: int = 200) -> Built:
    """Save as animated GIF; the API tells its length."""
    return _animation(folder / "file.gif", frames, frame_ms, duration_s=len(frames) * frame_ms / 1000)


def webp(folder: Path, frames: Sequence[Pixels], frame_ms: int = 200) -> Built:
    """Save as animated WebP without loss; the API does not tell its length, as the real one does not."""
    return _animation(folder / "file.webp", frames, frame_ms, duration_s=None)


def _animation(path: Path, frames: Sequence[Pixels], frame_ms: int, duration_s: float | None) -> Built:
    first, *others = [Image.fromarray(frame) for frame in frames]
    # The writer of GIF ignores what only WebP knows.
    first.save(path, save_all=True, append_images=others, duration=frame_ms, loop=0, lossless=True, method=0)
    return Built(path.name, first.width, first.height, duration_s=duration_s)


def webm(folder: Path, frames: Sequence[Pixels], codec: str, reduced_height: int | None = None) -> Built:
    """Save as WebM.

    Args:
        folder: Where to write.
        frames: The pictures, ten a second.
        codec: `vp9` or `av1`.
        reduced_height: Height of a VP9 transcode, or None for none, as with a fresh upload.

    Returns:
        What was built.
    """
    height, width = frames[0].shape[:2]
    _encode(folder / "file.webm", frames, codec)
    transcodes: tuple[Transcode, ...] = ()
    if reduced_height is not None:
        # Even sides, which 4:2:0 needs.
        size = (round(width * reduced_height / height / 2) * 2, reduced_height)
        key = f"{reduced_height}p.vp9.webm"
        reduced = [
            np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR)) for frame in frames
        ]
        _encode(folder / key, reduced, "vp9")
        bandwidth = (folder / key).stat().st_size * 8 * FRAMES_PER_S // len(frames)
        transcodes = (Transcode(key, key, 'video/webm; codecs="vp9"', *size, bandwidth),)
    return _video(folder, "file.webm", frames, transcodes)


def _video(
    folder: Path, name: str, frames: Sequence[Pixels], transcodes: tuple[Transcode, ...] = ()
) -> Built:
    height, width = frames[0].shape[:2]
    Image.fromarray(frames[len(frames) // 2]).save(folder / "poster.png", compress_level=3)
    duration_s = len(frames) / FRAMES_PER_S
    return Built(name, width, height, duration_s=duration_s, renders=("poster.png",), transcodes=transcodes)


def _encode(path: Path, frames: Sequence[Pixels], codec: str) -> None:
    encoder, options = _ENCODERS[codec]
    height, width = frames[0].shape[:2]
    # SVT-AV1 writes its settings to standard error unless told otherwise, and reads this at every start.
    os.environ.setdefault("SVT_LOG", "1")
    try:
        with av.open(str(path), "w", format="webm") as container:
            stream = container.add_stream(encoder, rate=FRAMES_PER_S, options=options)
            # What it is depends on the encoder's name.
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.thread_count = 1
            for number, pixels in enumerate(frames):
                frame = VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_S)
                if number % FRAMES_PER_S == 0:
                    frame.pict_type = PictureType.I
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    except av.codec.codec.UnknownCodecError as error:
        raise EncoderMissing(f"PyAV has no encoder {encoder}: install the wheel `av` from PyPI") from error


def theora(folder: Path, frames: Sequence[Pixels]) -> Built:
    """Save as Ogg Theora.

    Args:
        folder: Where to write.
        frames: The pictures, ten a second.

    Returns:
        What was built.

    Raises:
        EncoderMissing: Where imageio-ffmpeg is not installed or cannot encode Theora.
    """
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise EncoderMissing("imageio-ffmpeg is missing: pip install 'commons-nsfw-bot[demo]'") from error
    height, width = frames[0].shape[:2]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", str(FRAMES_PER_S), "-i", "-"]
    command += ["-c:v", "libtheora", "-q:v", "7", "-threads", "1", "-y", str(folder / "file.ogv")]
    content = b"".join(frame.tobytes() for frame in frames)
    result = subprocess.run(command, input=content, capture_output=True, check=False)
    if result.returncode:
        reason = result.stderr.decode(errors="replace").strip()
        raise EncoderMissing(f"ffmpeg of imageio-ffmpeg cannot encode Theora: {reason}")
    return _video(folder, "file.ogv", frames)


def opus(folder: Path, seconds: float = 2.0) -> Built:
    """Save a tone as Opus in Ogg."""
    samples = _sine(seconds)
    with av.open(str(folder / "file.ogg"), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=_SAMPLE_RATE_HZ)
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = _SAMPLE_RATE_HZ, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Built("file.ogg", 0, 0, duration_s=seconds, thumbnails=False)


def wav(folder: Path, seconds: float = 1.0) -> Built:
    """Save a tone as WAV."""
    with wave.open(str(folder / "file.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_SAMPLE_RATE_HZ)
        sound.writeframes(_sine(seconds).tobytes())
    return Built("file.wav", 0, 0, duration_s=seconds, thumbnails=False)


def _sine(seconds: float) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    t = np.arange(round(seconds * _SAMPLE_RATE_HZ)) / _SAMPLE_RATE_HZ
    return np.asarray(9000 * np.sin(2 * np.pi * 440 * t), dtype=np.int16)
