"""Small generated media files for tests: every format the decoders know, and hostile ones."""

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Corners of `corners`, in RGB: top left, top right, bottom left, bottom right.
RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 210, 30)


def corners(width_px: int = 96, height_px: int = 64) -> Image.Image:
    """A picture whose four quarters tell which way up it is."""
    pixels = np.zeros((height_px, width_px, 3), np.uint8)
    top, left = height_px // 2, width_px // 2
    pixels[:top, :left], pixels[:top, left:] = RED, GREEN
    pixels[top:, :left], pixels[top:, left:] = BLUE, YELLOW
    return Image.fromarray(pixels)


def corner_names(image: Image.Image | NDArray[np.uint8], order: str = "rgb") -> str:
    """Which colours stand in the corners: `RGBY` for an upright `corners`."""
    pixels = np.asarray(image)[:, :, :: -1 if order == "bgr" else 1].astype(int)
    height, width = pixels.shape[:2]
    names = ""
    for y, x in ((0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9)):
        pixel = pixels[int(y * height), int(x * width)]
        distances = [np.abs(pixel - colour).sum() for colour in (RED, GREEN, BLUE, YELLOW)]
        names += "RGBY"[int(np.argmin(distances))] if min(distances) < 120 else "?"
    return names


def photo(width_px: int, height_px: int, seed: int = 0) -> Image.Image:
    """Something with the statistics of a photograph: structure on every scale, falling with frequency."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height_px, width_px, 3), np.float32)
    weight, cells = 1.0, 2
    while cells < max(width_px, height_px):
        grid = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(grid[:, :, channel]).resize(
                (width_px, height_px), Image.Resampling.BICUBIC
            )
            total[:, :, channel] += weight * np.asarray(layer)
        weight, cells = weight * 0.62, cells * 2
    total += rng.normal(0, 0.03, total.shape).astype(np.float32)
    return Image.fromarray((255 / (1 + np.exp(-1.5 * total))).astype(np.uint8))


def grey_frames(
    count: int, width_px: int = 64, height_px: int = 48, noise: bool = False
) -> list[Image.Image]:
    """Frames of which number i has the brightness 8 * i (modulo 256)."""
    rng = np.random.default_rng(1)
    frames = []
    for index in range(count):
        pixels = np.full((height_px, width_px, 3), index * 8 % 256, np.float32)
        if noise:
            pixels += rng.normal(0, 20, pixels.shape)
        frames.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    return frames


def save_video(
    path: Path,
    frames: Sequence[Image.Image],
    codec: str = "libvpx-vp9",
    times_ms: Sequence[int] | None = None,
    rate: int = 10,
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    muxer_options: dict[str, str] | None = None,
) -> Path:
    """Encode a video; the container follows from the path."""
    with av.open(str(path), "w", options=muxer_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = pixel_format
        base = Fraction(1, rate) if times_ms is None else Fraction(1, 1000)
        stream.codec_context.time_base = base
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_image(image)
            frame.pts = index if times_ms is None else times_ms[index]
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def save_audio(path: Path, codec: str, seconds: float = 0.5) -> Path:
    """Encode a tone."""
    with av.open(str(path), "w") as container:
        rate = 48000
        stream = container.add_stream(codec, rate=rate, layout="mono")
        size = stream.codec_context.frame_size or 1024
        wave = np.sin(np.arange(int(rate * seconds)) / 20).astype(np.float32)
        for start in range(0, len(wave) - size, size):
            samples = wave[None, start : start + size]
            kind = stream.codec_context.format.name
            if kind.startswith("s16"):
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray((samples * 20000).astype(np.int16)), format="s16", layout="mono"
                )
            else:
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(samples), format="fltp", layout="mono"
                )
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def rotated_mp4(path: Path, quarter_turns_clockwise: int) -> Path:
    """An MP4 of `corners` whose track header asks players to turn it."""
    save_video(path, [corners()] * 5, "libx264")
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd")
    one, sign = 0x10000, 0xFFFF0000
    matrix = {
        0: (one, 0, 0, one),
        1: (0, one, sign, 0),
        2: (sign, 0, 0, sign),
        3: (0, sign, one, 0),
    }[quarter_turns_clockwise % 4]
    a, b, c, d = matrix
    struct.pack_into(">9I", content, header + 4 + 40, a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(content)
    return path


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bomb(width_px: int, height_px: int) -> bytes:
    """A PNG of that size in black, one bit a pixel, compressed to almost nothing."""
    row = b"\0" + bytes((width_px + 7) // 8)
    compressor = zlib.compressobj(9)
    rows = b"".join(compressor.compress(row) for _ in range(height_px)) + compressor.flush()
    header = struct.pack(">IIBBBBB", width_px, height_px, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    )


def gif_bomb(width_px: int, height_px: int, frames: int) -> bytes:
    """A GIF with a huge canvas and many frames of one pixel."""
    one_pixel = (
        b"\x21\xf9\x04\0\x0a\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0"
    )
    screen = struct.pack("<HHBBB", width_px, height_px, 0x80, 0, 0) + bytes(6)
    return b"GIF89a" + screen + one_pixel * frames + b"\x3b"


def jpeg_with_size(width_px: int, height_px: int) -> bytes:
    """A small JPEG whose header claims another size."""
    buffer = io.BytesIO()
    corners().save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    start = content.index(b"\xff\xc0")
    struct.pack_into(">HH", content, start + 5, height_px, width_px)
    return bytes(content)


def save_song_with_cover(path: Path) -> Path:
    """An MP4 of a tone whose only picture is its cover."""
    import os

    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    buffer = io.BytesIO()
    corners().save(buffer, "JPEG")
    song = save_audio(path.with_suffix(".m4a.mp4"), "aac")
    with av.open(str(song)) as source, av.open(str(path), "w") as target:
        sound = target.add_stream_from_template(source.streams.audio[0])
        cover = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height = corners().size
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.Packet(buffer.getvalue())
        picture.stream, picture.pts, picture.dts, picture.time_base = cover, 0, 0, Fraction(1, 1)
        target.mux(picture)
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = sound
                target.mux(packet)
    return path
