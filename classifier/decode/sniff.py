"""What a file is, from its first bytes; its name and the server's word are not trusted.

Only what is recognised here reaches a decoder, and only the decoder for it: Pillow and ffmpeg know dozens of
formats that nobody uploads and that nobody hardens.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HEAD_BYTES = 65536

Family = Literal["image", "animation", "video", "audio", "unsupported", "unknown", "empty"]


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the bytes look like.

    Attributes:
        family: Who can decode it, or why nobody can.
        name: The format's name, for messages and for the choice of a decoder.
    """

    family: Family
    name: str


# Kept apart from the code: (offset, signature, result).
_SIGNATURES: tuple[tuple[int, bytes, Sniffed], ...] = (
    (0, b"\xff\xd8\xff", Sniffed("image", "JPEG")),
    (0, b"GIF87a", Sniffed("animation", "GIF")),
    (0, b"GIF89a", Sniffed("animation", "GIF")),
    (0, b"II*\0", Sniffed("image", "TIFF")),
    (0, b"MM\0*", Sniffed("image", "TIFF")),
    (0, b"II+\0", Sniffed("image", "TIFF")),
    (0, b"MM\0+", Sniffed("image", "TIFF")),
    (0, b"\x1a\x45\xdf\xa3", Sniffed("video", "Matroska")),
    (0, b"OggS", Sniffed("video", "Ogg")),
    (0, b"\0\0\x01\xba", Sniffed("video", "MPEG-PS")),
    (0, b"\0\0\x01\xb3", Sniffed("video", "MPEG-ES")),
    (0, b"fLaC", Sniffed("audio", "FLAC")),
    (0, b"ID3", Sniffed("audio", "MP3")),
    (0, b"MThd", Sniffed("audio", "MIDI")),
    (0, b"AT&TFORM", Sniffed("unsupported", "DjVu")),
    (0, b"gimp xcf", Sniffed("unsupported", "XCF")),
    (0, b"8BPS", Sniffed("unsupported", "PSD")),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Sniffed("unsupported", "JPEG 2000")),
    (0, b"\xff\x0a", Sniffed("unsupported", "JPEG XL")),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", Sniffed("unsupported", "JPEG XL")),
    (0, b"%!PS", Sniffed("unsupported", "PostScript")),
)
_PNG = b"\x89PNG\r\n\x1a\n"
_MPEG_TS_PACKET = 188
_AUDIO_BRANDS = (b"M4A ", b"M4B ")
_STILL_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_SVG = re.compile(rb"<(?:[\w.-]+:)?svg[\s>]", re.IGNORECASE)
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_STL_TEXT = re.compile(rb"\Asolid\b[^\n]*\n\s*facet\b")
_STL_HEADER_BYTES = 84
_STL_FACET_BYTES = 50

# ISO/IEC 11172-3: kbit/s by index for layers III, II, I of MPEG-1 and for MPEG-2, and Hz by index for MPEG-1.
_MP3_KBITS = {
    (3, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (2, 1): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_HZ = (44100, 48000, 32000)


def sniff(head: bytes, size_bytes: int | None = None) -> Sniffed:
    """Recognise a format.

    Args:
        head: The first bytes of the file, `HEAD_BYTES` are enough.
        size_bytes: Size of the whole file, None to take the head for the whole.

    Returns:
        The format; never raises, whatever the bytes.
    """
    size_bytes = len(head) if size_bytes is None else size_bytes
    if not head:
        return Sniffed("empty", "nothing")
    for offset, signature, sniffed in _SIGNATURES:
        if head.startswith(signature, offset):
            return sniffed
    return (
        _png(head)
        or _riff(head)
        or _bmp(head)
        or _iso_media(head)
        or _mpeg_ts(head)
        or _mpeg_audio(head)
        or _text(head)
        or _binary_stl(head, size_bytes)
        or Sniffed("unknown", "unknown")
    )


def sniff_file(path: Path) -> Sniffed:
    """Recognise a file.

    Args:
        path: The file.

    Returns:
        Its format.

    Raises:
        OSError: Where it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return sniff(head, path.stat().st_size)


def _png(head: bytes) -> Sniffed | None:
    if not head.startswith(_PNG):
        return None
    position = len(_PNG)
    while position + 8 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, position)
        if kind == b"acTL":
            return Sniffed("animation", "PNG")
        if kind == b"IDAT":
            break
        position += 12 + length
    return Sniffed("image", "PNG")


def _riff(head: bytes) -> Sniffed | None:
    if not head.startswith(b"RIFF"):
        return None
    if head[8:12] == b"WAVE":
        return Sniffed("audio", "WAV")
    if head[8:12] == b"AVI ":
        return Sniffed("video", "AVI")
    if head[8:12] == b"WEBP":
        # VP8X flags: bit 1 is "animation" (developers.google.com/speed/webp/docs/riff_container).
        animated = head[12:16] == b"VP8X" and len(head) > 20 and head[20] & 0x02
        return Sniffed("animation" if animated else "image", "WEBP")
    return None


def _bmp(head: bytes) -> Sniffed | None:
    # Two letters are too little to go by: the size of the second header must be a known one.
    if head[:2] == b"BM" and len(head) >= 18 and head[14] in (12, 40, 52, 56, 64, 108, 124):
        return Sniffed("image", "BMP")
    return None


def _iso_media(head: bytes) -> Sniffed | None:
    if head[4:8] not in _ISO_BOXES:
        return None
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in _STILL_BRANDS:
        return Sniffed("unsupported", _STILL_BRANDS[brand])
    if brand in _AUDIO_BRANDS:
        return Sniffed("audio", "M4A")
    return Sniffed("video", "MP4")


def _mpeg_ts(head: bytes) -> Sniffed | None:
    packets = range(0, 4 * _MPEG_TS_PACKET, _MPEG_TS_PACKET)
    if len(head) > packets[-1] and all(head[start] == 0x47 for start in packets):
        return Sniffed("video", "MPEG-TS")
    return None


def _mpeg_audio(head: bytes) -> Sniffed | None:
    """Two frame headers in the right distance: one alone is found in any noise."""
    first = _mpeg_audio_frame_bytes(head, 0)
    if first and _mpeg_audio_frame_bytes(head, first):
        return Sniffed("audio", "MP3")
    return None


def _mpeg_audio_frame_bytes(head: bytes, start: int) -> int:
    if len(head) < start + 4 or head[start] != 0xFF or head[start + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = (head[start + 1] >> 3) & 3, (head[start + 1] >> 1) & 3
    bitrate, rate = head[start + 2] >> 4, (head[start + 2] >> 2) & 3
    kbits = _MP3_KBITS.get((3 if version == 3 else 2, layer))
    if version == 1 or kbits is None or bitrate in (0, 15) or rate == 3:
        return 0
    hz = _MP3_HZ[rate] // {3: 1, 2: 2, 0: 4}[version]
    samples_in_bytes = 72 if layer == 1 and version != 3 else 144
    return samples_in_bytes * kbits[bitrate] * 1000 // hz + ((head[start + 2] >> 1) & 1)


def _text(head: bytes) -> Sniffed | None:
    if b"%PDF-" in head[:1024]:
        return Sniffed("unsupported", "PDF")
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
        text = text.replace(b"\0", b"")[2:]
    if _HTML.match(_after_preamble(text)):
        return Sniffed("unknown", "HTML")
    if text.lstrip()[:1] == b"<" and _SVG.search(text):
        return Sniffed("unsupported", "SVG")
    if _STL_TEXT.match(text):
        return Sniffed("unsupported", "STL")
    return None


def _after_preamble(text: bytes) -> bytes:
    """Skip white space, comments and the XML declaration."""
    text = text.lstrip()
    for opening, closing in ((b"<?xml", b"?>"), (b"<!--", b"-->")):
        while text.startswith(opening) and closing in text:
            text = text.partition(closing)[2].lstrip()
    return text


def _binary_stl(head: bytes, size_bytes: int) -> Sniffed | None:
    if len(head) < _STL_HEADER_BYTES:
        return None
    (facets,) = struct.unpack_from("<I", head, _STL_HEADER_BYTES - 4)
    if facets and size_bytes == _STL_HEADER_BYTES + _STL_FACET_BYTES * facets:
        return Sniffed("unsupported", "STL")
    return None


__all__ = ["HEAD_BYTES", "Family", "Sniffed", "sniff", "sniff_file"]
