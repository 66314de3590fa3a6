"""Titles and addresses have Wikimedia's form, and are read back as they were written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.minicommons import titles

NAMES = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="/|#<>[]{}!:"
    ),
    min_size=1,
    max_size=40,
).map(lambda text: titles.file_name(f"File:{text}.jpg"))


def test_the_original_lies_where_wikimedia_puts_it():
    assert titles.original_path("Example.jpg") == "/wikipedia/commons/a/a9/Example.jpg"


@pytest.mark.parametrize(
    ("mime", "page", "last"),
    [
        ("image/jpeg", None, "330px-Example.x"),
        ("image/svg+xml", None, "330px-Example.x.png"),
        ("image/webp", None, "330px-Example.x.png"),
        ("image/tiff", 3, "lossy-page3-330px-Example.x.jpg"),
        ("application/pdf", 1, "page1-330px-Example.x.jpg"),
        ("video/webm", None, "330px--Example.x.jpg"),
    ],
)
def test_a_thumbnail_is_named_by_what_it_is_made_from(mime, page, last):
    assert titles.thumbnail_path("Example.x", mime, 330, page).rpartition("/")[2] == last


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("File:Foo.jpg", "File:Foo.jpg"),
        ("file:foo_bar.jpg", "File:Foo bar.jpg"),
        ("Image: ä b.png", "File:Ä b.png"),
        ("Talk_page", "Talk page"),
    ],
)
def test_titles_are_normalized_as_the_wiki_does(written, normal):
    assert titles.normalized(written) == normal


@given(NAMES, st.sampled_from(titles.THUMBNAIL_STEPS), st.sampled_from([None, 1, 17]))
def test_a_thumbnail_address_is_read_back_as_written(name, width, page):
    address = titles.parse_address(titles.thumbnail_path(name, "image/tiff", width, page))
    assert address == titles.MediaAddress("thumb", name, width=width, page=page or 1)


@given(NAMES)
def test_originals_archives_and_transcodes_are_told_apart(name):
    archive = f"20260101000000!{name}"
    assert titles.parse_address(titles.original_path(name)) == titles.MediaAddress("original", name)
    assert titles.parse_address(titles.original_path(name, archive)) == titles.MediaAddress(
        "original", archive, archived=True
    )
    assert titles.parse_address(titles.transcode_path(name, "240p.vp9.webm")) == titles.MediaAddress(
        "transcoded", name, transcode="240p.vp9.webm"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/wikipedia/commons/a/aa/Example.jpg",
        "/wikipedia/commons/thumb/a/a9/Example.jpg",
        "/wikipedia/commons/thumb/a/a9/Example.jpg/large.jpg",
        "/wikipedia/commons/a/a9/Example.jpg/more",
        "/wikipedia/en/a/a9/Example.jpg",
    ],
)
def test_what_is_no_address_is_refused(path):
    assert titles.parse_address(path) is None


@given(st.binary(min_size=20, max_size=20))
def test_base_36_hashes_have_31_digits_and_the_same_value(digest):
    text = titles.base36_sha1(digest.hex())
    assert len(text) == 31
    assert int(text, 36) == int.from_bytes(digest)
