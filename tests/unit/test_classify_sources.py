"""Files, titles and addresses on the command line are told apart by one rule."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.classify_sources import LocalFile, NoSource, WikiFile, file_title, read_source

PAGE_URL = "https://commons.wikimedia.org/wiki/{title}"


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ("File:Name.webm", "File:Name.webm"),
        ("file:Name_of_it.webm", "File:Name of it.webm"),
        ("Image: Name.png", "File:Name.png"),
        ("  File:Name.webm ", "File:Name.webm"),
        ("File:50% off & more?.jpg", "File:50% off & more?.jpg"),
        ("https://commons.wikimedia.org/wiki/File:Name_of_it.webm", "File:Name of it.webm"),
        ("https://commons.wikimedia.org/wiki/File%3AA_b.jpg", "File:A b.jpg"),
        ("HTTPS://COMMONS.wikimedia.org/wiki/File:Name.webm", "File:Name.webm"),
        ("https://commons.m.wikimedia.org/wiki/File:H%C3%BCgel_(1).jpg", "File:Hügel (1).jpg"),
        (
            "https://commons.wikimedia.org/wiki/File:50%25_off%3F.jpg?uselang=de#filehistory",
            "File:50% off?.jpg",
        ),
        ("https://commons.wikimedia.org/w/index.php?title=File:A_b.jpg&oldid=5", "File:A b.jpg"),
        ("https://commons.wikimedia.org/wiki/Category:Hills#/media/File:A_b.jpg", "File:A b.jpg"),
    ],
)
def test_titles_and_addresses_of_file_pages_name_a_file_of_the_wiki(given: str, title: str) -> None:
    assert read_source(given, PAGE_URL) == WikiFile(given, title)


@pytest.mark.parametrize(
    "given",
    [
        "https://example.org/wiki/File:Name.webm",
        "https://commons.wikimedia.org.example.org/wiki/File:Name.webm",
        "https://user@commons.wikimedia.org/wiki/File:Name.webm",
        "https://commons.wikimedia.org/wiki/Category:Hills",
        "https://commons.wikimedia.org/wiki/File:",
        "https://commons.wikimedia.org/",
        "https://upload.wikimedia.org/wikipedia/commons/a/ab/Name.webm",
        "ftp://commons.wikimedia.org/wiki/File:Name.webm",
        "file:///home/somebody/a.webm",
        "https://[::1/wiki/File:Name.webm",
    ],
)
def test_any_other_address_is_refused_with_the_host_that_would_do(given: str) -> None:
    source = read_source(given, PAGE_URL)
    assert isinstance(source, NoSource)
    assert "commons.wikimedia.org" in source.message


def test_what_exists_here_is_a_file_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "File:Name.webm").write_bytes(b"")
    assert read_source("File:Name.webm", PAGE_URL) == LocalFile("File:Name.webm", Path("File:Name.webm"))
    assert isinstance(read_source("File:Other.webm", PAGE_URL), WikiFile)


@pytest.mark.parametrize(
    "given", ["missing.webm", "/no/such/place.jpg", "File:", "Category:Hills", "x" * 5000]
)
def test_anything_else_is_a_file_that_is_missing(given: str) -> None:
    assert read_source(given, PAGE_URL) == LocalFile(given, Path(given))


@given(st.text(max_size=60))
def test_a_title_is_one_line_in_the_file_namespace_or_none(text: str) -> None:
    title = file_title(f"File:{text}")
    if title is not None:
        assert title.startswith("File:")
        assert title == " ".join(title.split())
        assert not {"#", "_", "\n"} & set(title)
