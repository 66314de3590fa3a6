"""What strangers wrote on description pages comes out as short plain text, whatever it is."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.describing.parsing import MAX_TEXT, address, parse_descriptions, plain
from bot.describing.values import Description
from bot.errors import BotError, RetryLater, SkipUpload

SHA1 = "a" * 40


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="//commons.wikimedia.org/wiki/User:J" title="x">Jane&nbsp;Doe</a>', "Jane Doe"),
        ("<script>alert(1)</script>Jane<style>b{}</style>", "Jane"),
        ("Jane<script>alert(1)", "Jane"),
        ("Jane<br>Doe<p>Esq.</p>", "Jane Doe Esq."),
        (
            '<bdi>Unknown author</bdi><span style="display: none;">Unknown <b>author</b></span>',
            "Unknown author",
        ),
        ('<span style="display:none">a<img src=x onerror=y>b</span>c', "c"),
        ("evil\u202egpj.exe\u0000\u200b", "evilgpj.exe"),
        ("=HYPERLINK(1)", "HYPERLINK(1)"),
        ("line\nbreak", "line break"),
        (7, ""),
        (None, ""),
        ({"_": "x"}, ""),
    ],
)
def test_html_becomes_one_line_of_plain_text(html: object, text: str) -> None:
    assert plain(html) == text


@given(st.text(alphabet=st.sampled_from("<>!-/ &#;=\"'abcscript\u202e\n\x00[]?"), max_size=400) | st.text())
def test_no_html_whatever_breaks_it(html: str) -> None:
    text = plain(html)
    assert len(text) <= MAX_TEXT
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)
    assert text[:1] not in ("=", "+", "-", "@")


def test_megabytes_are_cut() -> None:
    assert len(plain("x" * 5_000_000)) == MAX_TEXT
    assert plain("<!" * 2_000_000) is not None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://creativecommons.org/licenses/by/4.0", "https://creativecommons.org/licenses/by/4.0"),
        ("//creativecommons.org/x", "https://creativecommons.org/x"),
        ("javascript:alert(1)", ""),
        ("https://x.example/a b", ""),
        ("https://" + "x" * 600, ""),
        ("https://ex\u0430mple.org", ""),
        (["https://x.example"], ""),
    ],
)
def test_addresses_are_http_and_ascii_or_nothing(given: object, kept: str) -> None:
    assert address(given) == kept


def page(title: str, **info: Any) -> dict[str, Any]:
    whole = {"sha1": SHA1, "timestamp": "2025-05-01T00:00:00Z", "user": "U", "mediatype": "BITMAP", **info}
    return {"title": title, "imageinfo": [whole]}


def test_redirects_and_continued_answers_come_back_to_the_title_asked() -> None:
    answers = [
        {
            "query": {
                "redirects": [{"from": "File:Old.jpg", "to": "File:New.jpg"}],
                "pages": [
                    {
                        "title": "File:New.jpg",
                        "revisions": [{"revid": 7, "timestamp": "2025-05-02T00:00:00Z"}],
                    }
                ],
            }
        },
        {
            "query": {
                "pages": [
                    page(
                        "File:New.jpg",
                        extmetadata={
                            "Artist": {"value": "<i>Ann</i>"},
                            "LicenseShortName": {"value": "CC BY 4.0"},
                            "LicenseUrl": {"value": "javascript:x"},
                            "Credit": "not a mapping",
                        },
                    )
                ]
            }
        },
    ]
    found = parse_descriptions(answers, ["File:Old.jpg", "File:Unheard.jpg"])
    assert found["File:Old.jpg"] == Description(
        "File:New.jpg",
        SHA1,
        "2025-05-01T00:00:00Z",
        "BITMAP",
        uploader="U",
        author="Ann",
        licence="CC BY 4.0",
        revision_id=7,
        revision_timestamp="2025-05-02T00:00:00Z",
    )
    assert isinstance(found["File:Unheard.jpg"], RetryLater)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"title": "File:A", "missing": True}, "deleted"),
        ({"title": "File:A", "imageinfo": [{"filemissing": True}]}, "deleted"),
        (page("File:A", filehidden=True), "hidden"),
        (page("File:A", sha1="../../etc/passwd"), "hidden"),
        ({"title": "File:A"}, "rendition_unavailable"),
    ],
)
def test_what_cannot_be_collected_is_an_error_of_that_file(given: dict[str, Any], code: str) -> None:
    error = parse_descriptions([{"query": {"pages": [given]}}], ["File:A"])["File:A"]
    assert isinstance(error, SkipUpload | RetryLater)
    assert error.code == code


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "query",
                        "pages",
                        "title",
                        "imageinfo",
                        "extmetadata",
                        "Artist",
                        "value",
                        "revisions",
                        "sha1",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_no_answer_breaks_it(answer: Any) -> None:
    answers = [answer] if isinstance(answer, dict) else []
    found = parse_descriptions(answers, ["File:A"])
    assert isinstance(found["File:A"], Description | BotError)
