"""What a hostile or broken client may send: files that are not what they seem, and requests that are none."""

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.media import (
    gif_bomb,
    grey_frames,
    jpeg_with_size,
    photo,
    png_bomb,
    png_chunk,
    save_audio,
    save_video,
)

MIB = 1024**2
BOUNDARY = "xxBOUNDARYxx"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
NAMED = "Geheimname"
"""Stands in every file name that is sent; nothing that is written down may hold it."""


def picture(kind: str = "PNG", side_px: int = 128) -> bytes:
    """A good picture."""
    written = io.BytesIO()
    photo(side_px, side_px).save(written, kind)
    return written.getvalue()


def files(folder: Path) -> dict[str, bytes]:
    """Bodies for `POST /v1/classify` that are no plain good pictures."""
    png, jpeg, gif = picture(), picture("JPEG"), picture("GIF")
    film = save_video(folder / "film.webm", grey_frames(10, 64, 48), rate=5).read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(200 * MIB))
    return {
        **{f"truncated {name}": whole[: len(whole) // 2] for name, whole in _KINDS(png, jpeg, gif, film)},
        **{f"first bytes of {name}": whole[:20] for name, whole in _KINDS(png, jpeg, gif, film)},
        "one byte": b"\x89",
        "NUL bytes": bytes(100_000),
        "text": b"this is no picture\n" * 100,
        "HTML": b"<!DOCTYPE html><script>alert(1)</script>",
        "PNG head before HTML": png[:8] + b"<script>alert(1)</script>" * 100,
        "GIF and JavaScript": b"GIF89a/*" + b"\x00" * 20 + b"*/=1;alert(1)//",
        "JPEG and archive": jpeg + archive.getvalue(),
        "picture and film": png + film,
        "picture twice": png + png,
        "archive": archive.getvalue(),
        "gzip": gzip.compress(bytes(100 * MIB)),
        "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n" + jpeg,
        "SVG that grows": _growing_svg(),
        "SVG that fetches": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:1/"/></svg>',
        "film that names files": b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile:///etc/passwd\n",
        "film list": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "sound": save_audio(folder / "sound.flac", "flac").read_bytes(),
        "PNG bomb": png_bomb(50_000, 50_000),
        "PNG bomb within the pixels": png_bomb(10_000, 9_000),
        "PNG without end": png_head(2**31 - 1, 2**31 - 1) + png[33:],
        "JPEG bomb": jpeg_with_size(65_500, 65_500),
        "GIF bomb": gif_bomb(20_000, 20_000, 3),
        "GIF of many frames": gif_bomb(2_000, 2_000, 3_000),
        "GIF of very many frames": gif_bomb(4, 4, 3_000),
        "PNG with damage": bytes(byte ^ (position % 97 == 50) for position, byte in enumerate(png)),
    }


def _KINDS(png: bytes, jpeg: bytes, gif: bytes, film: bytes) -> tuple[tuple[str, bytes], ...]:  # noqa: N802
    mp4 = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + film
    return (
        ("PNG", png),
        ("JPEG", jpeg),
        ("GIF", gif),
        ("WebM", film),
        ("MP4", mp4),
        ("WebP", picture("WEBP")),
        ("TIFF", picture("TIFF")),
    )


def png_head(width_px: int, height_px: int) -> bytes:
    """The first chunk of a PNG that says how large it is."""
    size = width_px.to_bytes(4) + height_px.to_bytes(4)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", size + b"\x08\x02\x00\x00\x00")


def _growing_svg() -> bytes:
    entities = "".join(
        f'<!ENTITY e{level} "{f"&e{level - 1};" * 10 if level else "ha" * 10}">' for level in range(10)
    )
    return f'<!DOCTYPE svg [{entities}]><svg xmlns="http://www.w3.org/2000/svg">&e9;</svg>'.encode()


def part(content: bytes, disposition: str, *headers: str) -> bytes:
    """One part of a form."""
    lines = "".join(f"{line}\r\n" for line in (f"Content-Disposition: {disposition}", *headers))
    return f"--{BOUNDARY}\r\n{lines}\r\n".encode("utf-8", "surrogatepass") + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def forms() -> dict[str, bytes]:
    """Bodies of type `FORM`."""
    png = picture()
    named = f'form-data; name="file"; filename="{NAMED}.png"'
    good = part(png, named)
    return {
        "empty": b"",
        "no parts": END,
        "no end": good,
        "end within a part": good[: len(good) // 2],
        "end within a head": good[:40],
        "another boundary": good.replace(BOUNDARY.encode(), b"other") + END,
        "no disposition": f"--{BOUNDARY}\r\n\r\n".encode() + png + b"\r\n" + END,
        "no head": f"--{BOUNDARY}\r\n".encode() + png + END,
        "empty file": part(b"", named) + END,
        "two files": good + good + END,
        "ten thousand files": part(b"x", named) * 10_000 + END,
        "hundred thousand fields": part(b"x", 'form-data; name="a"') * 100_000 + END,
        "a huge field": part(b"x" * (8 * MIB), 'form-data; name="a"') + END,
        "a huge head": part(png, named, "X-Long: " + "x" * (32 * MIB)) + END,
        "a huge header name": part(png, named, "x" * (32 * MIB) + ": x") + END,
        "a huge disposition": part(png, f'{named}; x="{"x" * (8 * MIB)}"') + END,
        "many headers": part(png, named, *(f"X-{number}: x" for number in range(100_000))) + END,
        "line breaks everywhere": b"\r\n" * 100_000 + good + END,
        "bytes for text": good.replace(NAMED.encode(), b"\xff\xfe\x00") + END,
        "garbage": bytes(range(256)) * 1000,
    }


NAMES: Mapping[str, str] = {
    "path": f'filename="../../../../tmp/{NAMED}"',
    "absolute path": f'filename="/etc/{NAMED}"',
    "Windows path": f'filename="..\\\\..\\\\{NAMED}.png"',
    "drive": f'filename="C:\\\\{NAMED}.png"',
    "NUL": f'filename="{NAMED}\x00.png"',
    "nothing": 'filename=""',
    "dots": 'filename=".."',
    "long": f'filename="{NAMED * 3000}"',
    "device": f'filename="/dev/stdin/{NAMED}"',
    "shell": f'filename="$(touch {NAMED}).png"',
    "line break": f'filename="a%0d%0aX: {NAMED}"',
    "other alphabet": f"filename*=UTF-8''%e2%82%ac%20{NAMED}",
    "wrong alphabet": f"filename*=nosuch''%ff%fe{NAMED}",
    "emoji": f'filename="🙈{NAMED}.png"',
    "surrogate": f'filename="\ud800{NAMED}.png"',
    "terminal": f'filename="\x1b[31m{NAMED}.png"',
}


def texts() -> dict[str, bytes]:
    """Bodies of type JSON, for every address that takes them."""
    deep = 200_000
    return {
        "empty": b"",
        "no JSON": b"{",
        "NaN": b'{"instances": NaN}',
        "a number": b"1",
        "null": b"null",
        "a list": b"[]",
        "a list for an object": b'[{"title": "File:A.jpg"}]',
        "wrong types": b'{"title": 1, "items": {}, "instances": "x", "inputs": 5}',
        "nulls": b'{"title": null, "url": null, "items": [null], "instances": [null], "inputs": [null]}',
        "deep lists": b"[" * deep,
        "deep lists, closed": b"[" * deep + b"]" * deep,
        "deep objects": b'{"a":' * deep + b"1" + b"}" * deep,
        "deep instances": b'{"instances":' + b"[" * deep + b"]" * deep + b"}",
        "many values": b'{"instances":[' + b"1," * 900_000 + b"1]}",
        "many keys": b"{" + b",".join(b'"%d":1' % number for number in range(300_000)) + b"}",
        "long key": b'{"' + b"k" * (2 * MIB) + b'":1}',
        "long number": b'{"title":' + b"1" * 500_000 + b"}",
        "huge exponent": b'{"title":1e999999999,"instances":-1e999999999}',
        "bad UTF-8": b'{"title":"\xff\xfe\xfd"}',
        "overlong UTF-8": b'{"title":"\xc0\xaf\xed\xa0\x80"}',
        "UTF-16": '{"title": "File:A.jpg"}'.encode("utf-16"),
        "byte order mark": b'\xef\xbb\xbf{"title": "File:A.jpg"}',
        "surrogate": b'{"title":"File:\\ud800.jpg","instances":[{"image":"\\ud800","filename":"\\ud800"}]}',
        "NUL": b'{"title":"File:\\u0000.jpg","url":"https://\\u0000/"}',
        "both names": b'{"title":"File:A.jpg","url":"https://upload.wikimedia.org/a.jpg"}',
        "foreign address": b'{"url":"http://169.254.169.254/latest/meta-data/"}',
        "foreign addresses": json.dumps(
            {"items": [{"url": f"http://127.0.0.{n}/"} for n in range(50)]}
        ).encode(),
        "too many items": json.dumps({"items": [{"title": f"File:{n}.jpg"} for n in range(5000)]}).encode(),
        "control characters": b'{"title":"a\x00b\nc"}',
        "script": b'{"title":"<script>alert(1)</script>"}',
    }


def _items(named: Iterable[Mapping[str, str]]) -> bytes:
    return json.dumps({"items": list(named)}).encode()


def predictions(instances: list[dict[str, Any]]) -> bytes:
    """A body of KServe's first protocol."""
    return json.dumps({"instances": instances}).encode()


def tensors(elements: list[Any], **changes: Any) -> bytes:
    """A body of the Open Inference Protocol."""
    tensor = {"name": "image", "shape": [len(elements)], "datatype": "BYTES", "data": elements, **changes}
    return json.dumps({"inputs": [tensor]}).encode()


def base64_bodies() -> Iterator[tuple[str, str, bytes]]:
    """Name, protocol (`v1`, `v2`) and body of requests with pictures in base64."""
    png = base64.b64encode(picture()).decode()
    huge = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(4 * MIB - 8)).decode()
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in "QUJD" * 300_000)
    yield "fifty huge", "v1", predictions([{"image": huge}] * 50)
    yield "fifty huge", "v2", tensors([huge] * 50)
    yield "fifty-one", "v1", predictions([{"image": png}] * 51)
    yield "fifty-one", "v2", tensors([png] * 51)
    yield "one of twelve MiB", "v1", predictions([{"image": "A" * (12 * MIB)}])
    yield "one of six MiB", "v2", tensors(["A" * (6 * MIB)])
    yield "nothing but escapes", "v1", f'{{"instances":[{{"image":"{escaped}"}}]}}'.encode()
    yield (
        "no base64",
        "v1",
        predictions([{"image": text} for text in ("", "A", "====", "ä", "/etc/passwd", "%")]),
    )
    yield "no base64", "v2", tensors(["", "A", "====", "ä", "/etc/passwd", "%"])
    yield "wrong types", "v1", predictions([{"image": 1}, {"image": None}, {"image": [png]}, {}])
    yield "no objects", "v1", b'{"instances":["a", 1, null, []]}'
    yield (
        "long name with a bad escape",
        "v1",
        (b'{"instances":[{"image":"' + png.encode() + b'","filename":"' + b"\\q" * 5000 + b'"}]}'),
    )
    yield "long id with a bad escape", "v2", (b'{"id":"' + b"\\q" * 5000 + b'",' + tensors([png])[1:])
    yield (
        "names of other types",
        "v1",
        predictions(
            [{"image": png, "filename": name} for name in (None, 1, [], {}, "x" * 100_000, "\ud800", "\x00")]
        ),
    )
    yield "a shape that lies", "v2", tensors([png], shape=[10**12])
    yield "a negative shape", "v2", tensors([png], shape=[-1])
    yield "shape of other types", "v2", tensors([png], shape="1")
    yield "data in lists", "v2", tensors([[[png]]], shape=[1])
    yield "other datatype", "v2", tensors([1.5], datatype="FP32")
    yield "binary data", "v2", tensors([], parameters={"binary_data_size": 10**12})
    yield "cut within a picture", "v1", predictions([{"image": huge}])[: 3 * MIB]
    yield "cut within a picture", "v2", tensors([huge])[: 3 * MIB]


__all__ = [
    "BOUNDARY",
    "END",
    "FORM",
    "MIB",
    "NAMED",
    "NAMES",
    "base64_bodies",
    "files",
    "forms",
    "part",
    "picture",
    "predictions",
    "tensors",
    "texts",
]
