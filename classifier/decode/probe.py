"""Can this installation decode what the wiki accepts? Asked at start and by `check-config`.

A wheel that lacks a decoder is otherwise noticed as a rising number of undecodable files, weeks later. The
samples are made on the spot and are tiny; formats that cannot be made here are looked up among ffmpeg's
decoders.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal, cast

import av
import av.codec
import av.video.stream
import numpy as np
from PIL import Image

from classifier.decode.job import pictures
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.errors import DecodeError
from classifier.values import MediaPart

_SIDE_PX = 64
_PICTURES = ("JPEG", "PNG", "GIF", "WEBP", "TIFF")
# Encoders by the format they prove; the first one that is there is taken.
_VIDEOS = {
    "VP8": ("libvpx",),
    "VP9": ("libvpx-vp9",),
    "AV1": ("libsvtav1", "libaom-av1", "librav1e"),
    "H.264": ("libx264", "libopenh264"),
}
_DECODERS = {
    "VP8": "vp8",
    "VP9": "vp9",
    "AV1": "libdav1d",
    "H.264": "h264",
    "Theora": "theora",
    "MPEG-1": "mpeg1video",
    "MPEG-2": "mpeg2video",
}


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """What was found about one format.

    Attributes:
        format: Its name.
        decoder: Which decoder read the sample; `ffmpeg` where only its presence was looked up.
        ok: Whether it can be decoded.
        detail: How it was found out, or what is wrong.
    """

    format: str
    decoder: str
    ok: bool
    detail: str


def probe(limits: DecodeLimits | None = None) -> list[ProbeRow]:
    """Decode a generated sample of every format, in this very process: the samples are our own.

    Args:
        limits: What one file may cost; None for the defaults.

    Returns:
        One row a format.
    """
    limits = limits or DecodeLimits()
    with tempfile.TemporaryDirectory(prefix="decode-probe-") as folder:
        return list(_rows(Path(folder), limits))


def _rows(folder: Path, limits: DecodeLimits) -> Iterator[ProbeRow]:
    for name in _PICTURES:
        yield _decoded(name, folder, limits, partial(_save_picture, name))
    for name in _DECODERS:
        encoder = next((encoder for encoder in _VIDEOS.get(name, ()) if _has(encoder, "w")), None)
        if encoder is None:
            yield _looked_up(name)
        else:
            yield _decoded(name, folder, limits, partial(_save_video, encoder))


def _decoded(name: str, folder: Path, limits: DecodeLimits, save: Callable[[Path], None]) -> ProbeRow:
    path = folder / f"{name}.mkv"
    report = Report()
    try:
        save(path)
        count = sum(1 for _ in pictures(MediaPart(path), limits, report))
    except DecodeError as error:
        return ProbeRow(name, report.decoder, ok=False, detail=error.message)
    except (av.error.FFmpegError, OSError) as error:
        return ProbeRow(name, report.decoder, ok=False, detail=f"no sample could be made: {error}")
    return ProbeRow(name, report.decoder, ok=count > 0, detail=f"{count} frame(s) of a sample decoded")


def _looked_up(name: str) -> ProbeRow:
    present = _has(_DECODERS[name], "r")
    detail = "decoder present" if present else f"ffmpeg in PyAV {av.__version__} lacks {_DECODERS[name]}"
    return ProbeRow(name, "ffmpeg", ok=present, detail=detail)


def _has(codec: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.codec.Codec(codec, mode)
    except (av.codec.codec.UnknownCodecError, ValueError):
        return False
    return True


def _sample_picture() -> Image.Image:
    ramp = np.add.outer(np.arange(_SIDE_PX), np.arange(_SIDE_PX)).astype(np.uint8)
    return Image.fromarray(np.stack([ramp, ramp[::-1], ramp.T], axis=-1))


def _save_picture(format_name: str, path: Path) -> None:
    _sample_picture().save(path, format_name)


def _save_video(encoder: str, path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as container:
        stream = cast("av.video.stream.VideoStream", container.add_stream(encoder, rate=10))
        stream.width = stream.height = _SIDE_PX
        stream.pix_fmt = "yuv420p"
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.asarray(_sample_picture()), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


__all__ = ["ProbeRow", "probe"]
