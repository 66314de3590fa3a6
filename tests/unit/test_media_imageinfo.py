from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.media.imageinfo import MAX_PAGE, parse_pages, parse_version

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "sha1", "timestamp", "size", "width", "pagecount", "duration", "mime", "mediatype", "url", "thumburl",
    "thumbwidth", "thumberror", "filehidden", "filemissing", "derivatives",
]  # fmt: skip
infos = st.dictionaries(st.sampled_from(FIELDS), json_values)


@given(infos)
def test_no_field_of_any_type_makes_parsing_raise_or_give_senseless_numbers(info):
    version = parse_version(info)
    assert 1 <= version.page_count <= MAX_PAGE
    assert version.width_px >= 0
    assert version.size_bytes is None or version.size_bytes >= 0
    assert 0 <= version.duration_s < 1e12


@given(
    st.dictionaries(st.sampled_from(["query", "normalized", "pages"]), json_values), json_values, json_values
)
def test_no_shape_of_an_answer_makes_parsing_raise(answer, pages, moves):
    parse_pages(
        [answer, {"query": {"pages": pages, "normalized": moves, "redirects": moves}}], ["File:A.jpg"]
    )


@given(infos)
def test_a_page_with_any_info_is_found_under_its_title(info):
    answer = {"query": {"pages": [{"title": "File:A.jpg", "imageinfo": [info]}]}}
    assert len(parse_pages([answer], ["File:A.jpg"])["File:A.jpg"].versions) == 1


def test_normalised_and_redirected_titles_come_back_under_the_title_asked():
    answer = {
        "query": {
            "normalized": [
                {"fromencoded": False, "from": "file:a_b.jpg", "to": "File:A b.jpg"},
                {"fromencoded": True, "from": "File:A%CC%88.jpg", "to": "File:Ä.jpg"},
            ],
            "redirects": [{"from": "File:A b.jpg", "to": "File:New.jpg"}],
            "pages": [{"title": "File:New.jpg", "missing": True}, {"title": "File:Ä.jpg", "missing": True}],
        }
    }
    found = parse_pages([answer], ["file:a_b.jpg", "File:New.jpg", "File:A\u0308.jpg", "File:Other.jpg"])
    assert {asked: page.title for asked, page in found.items()} == {
        "file:a_b.jpg": "File:New.jpg",
        "File:New.jpg": "File:New.jpg",
        "File:A\u0308.jpg": "File:Ä.jpg",
    }


def test_circular_redirects_do_not_hang():
    moves = [{"from": "File:A.jpg", "to": "File:B.jpg"}, {"from": "File:B.jpg", "to": "File:A.jpg"}]
    assert parse_pages([{"query": {"redirects": moves, "pages": []}}], ["File:A.jpg"]) == {}


def test_versions_of_a_continuation_are_joined_in_order():
    def answer(*sha1s: str):
        return {"query": {"pages": [{"title": "File:A.jpg", "imageinfo": [{"sha1": one} for one in sha1s]}]}}

    found = parse_pages([answer("3", "2"), answer("1")], ["File:A.jpg"])
    assert [version.sha1_hex for version in found["File:A.jpg"].versions] == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("page", "missing"),
    [
        ({"missing": True, "imagerepository": ""}, True),
        ({"imagerepository": ""}, True),
        ({"imagerepository": "local", "imageinfo": [{}]}, False),
        ({"missing": True, "imagerepository": "local", "imageinfo": [{}]}, False),
    ],
)
def test_a_file_is_missing_only_where_no_info_is_given(page, missing):
    found = parse_pages([{"query": {"pages": [{"title": "File:A.jpg", **page}]}}], ["File:A.jpg"])
    assert found["File:A.jpg"].missing is missing


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"thumburl": "https://u/t/330px-A.jpg"}, "https://u/t/330px-A.jpg"),
        ({"thumburl": "https://c/w/resources/assets/file-type-icons/fileicon-ogg.png?abc"}, None),
        ({"thumburl": "https://u/t/330px-A.jpg", "thumberror": "no"}, None),
        ({"thumberror": "no"}, None),
    ],
)
def test_an_icon_or_an_error_is_no_thumbnail(info, expected):
    assert parse_version(info).thumb_url == expected


@pytest.mark.parametrize(
    ("thumb", "same"),
    [
        ("https://u/a/A.jpg?utm_source=x&utm_content=thumbnail_unscaled", True),
        ("https://u/a/A.jpg", True),
        ("https://u/thumb/a/A.jpg/330px-A.jpg?utm_source=x", False),
        ("https://t/a/A.jpg", False),
    ],
)
def test_a_thumbnail_is_the_original_when_only_the_query_differs(thumb, same):
    version = parse_version({"url": "https://u/a/A.jpg?utm_source=y", "thumburl": thumb})
    assert version.thumb_is_original is same


def test_only_transcodes_count_as_derivatives():
    entries = [
        {"src": "o", "type": "video/webm", "width": 9, "height": 9},
        {"src": "a", "type": "audio/mpeg", "transcodekey": "mp3", "width": 0, "height": 0},
        {
            "src": "h",
            "type": "application/vnd.apple.mpegurl",
            "transcodekey": "m3u8",
            "width": 1,
            "height": 1,
        },
        {"src": "v", "type": 'video/webm; codecs="vp9"', "transcodekey": "k", "width": 426, "height": 240},
        {"src": None, "type": "video/webm", "transcodekey": "k", "width": 1, "height": 1},
        "nonsense",
    ]
    answer = {"query": {"pages": [{"title": "T", "videoinfo": [{"derivatives": entries}]}]}}
    assert [one.url for one in parse_pages([answer], ["T"])["T"].derivatives] == ["v"]


def test_times_are_aware():
    assert parse_version({"timestamp": "2025-05-01T12:00:00Z"}).timestamp == datetime(
        2025, 5, 1, 12, tzinfo=UTC
    )
    assert parse_version({"timestamp": "yesterday"}).timestamp is None
