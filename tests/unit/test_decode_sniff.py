import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from classifier.decode.sniff import sniff, sniff_file
from tests import media


def saved(format_name, **options):
    buffer = io.BytesIO()
    media.corners().save(buffer, format_name, **options)
    return buffer.getvalue()


def animated(format_name):
    frames = media.grey_frames(3)
    return saved_frames(frames, format_name)


def saved_frames(frames, format_name):
    buffer = io.BytesIO()
    frames[0].save(buffer, format_name, save_all=True, append_images=frames[1:], duration=100)
    return buffer.getvalue()


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
def test_still_pictures_are_recognised(format_name):
    assert (sniff(saved(format_name)).family, sniff(saved(format_name)).name) == ("image", format_name)


@pytest.mark.parametrize("format_name", ["GIF", "PNG", "WEBP"])
def test_animations_are_told_from_still_pictures(format_name):
    assert (sniff(animated(format_name)).family, sniff(animated(format_name)).name) == (
        "animation",
        format_name,
    )


@pytest.mark.parametrize(
    ("content", "family", "name"),
    [
        (b"\x1a\x45\xdf\xa3....", "video", "Matroska"),
        (b"OggS\0\x02", "video", "Ogg"),
        (b"\0\0\0\x18ftypisom....", "video", "MP4"),
        (b"\0\0\0\x18ftypM4A ....", "audio", "M4A"),
        (b"\0\0\0\x18ftypavif....", "unsupported", "AVIF"),
        (b"\0\0\x01\xba\x44", "video", "MPEG-PS"),
        (b"\0\0\x01\xb3\x44", "video", "MPEG-ES"),
        ((b"G" + bytes(187)) * 5, "video", "MPEG-TS"),
        (b"fLaC\0\0", "audio", "FLAC"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio", "WAV"),
        (b"ID3\x04\0\0", "audio", "MP3"),
        ((b"\xff\xfb\x90\x00" + bytes(413)) * 2, "audio", "MP3"),
        (b"MThd\0\0\0\x06", "audio", "MIDI"),
        (b"<?xml version='1.0'?>\n<!-- made by hand --><svg xmlns='x'>", "unsupported", "SVG"),
        (b"\xef\xbb\xbf<svg:svg xmlns:svg='x'>", "unsupported", "SVG"),
        ("<svg width='1'>".encode("utf-16"), "unsupported", "SVG"),
        (b"%PDF-1.7", "unsupported", "PDF"),
        (b"junk\n%PDF-1.7", "unsupported", "PDF"),
        (b"AT&TFORM\0\0", "unsupported", "DjVu"),
        (b"gimp xcf v011", "unsupported", "XCF"),
        (b"solid cube\n facet normal 0 0 1", "unsupported", "STL"),
        (bytes(80) + b"\x01\0\0\0" + bytes(50), "unsupported", "STL"),
        (b"<!DOCTYPE html><html><svg></svg>", "unknown", "HTML"),
        (b"\n <!-- x --><HTML>", "unknown", "HTML"),
        (b"", "empty", "nothing"),
        (b"BM or not to be", "unknown", "unknown"),
        (b"hello, world", "unknown", "unknown"),
        (b"\xff\xfb\x90\x00 one frame header is found in any noise", "unknown", "unknown"),
    ],
)
def test_formats_are_recognised_by_their_first_bytes(content, family, name):
    assert (sniff(content).family, sniff(content).name) == (family, name)


def test_the_name_of_a_file_does_not_matter(tmp_path):
    path = tmp_path / "song.mp3"
    Image.new("RGB", (5, 5)).save(path, "PNG")
    assert sniff_file(path).name == "PNG"


def test_many_comments_cost_no_more_than_reading_them():
    assert sniff(b"<!-- -->" * 8000).family == "unknown"


SIGNATURES = [
    b"\x89PNG\r\n\x1a\n",
    b"RIFF....WEBP",
    b"RIFF",
    b"BM",
    b"....ftyp",
    b"\xff\xfb",
    b"<svg",
    b"G",
    b"<",
]


@given(st.one_of(st.binary(max_size=400), st.builds(bytes.__add__, st.sampled_from(SIGNATURES), st.binary())))
def test_no_bytes_make_it_raise(content):
    assert sniff(content).name
    assert sniff(content, 10**9).name
