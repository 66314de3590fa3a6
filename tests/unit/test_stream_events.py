"""Reading events: the table of what is what, and that nothing makes it raise."""

import copy
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.stream.events import (
    Ignored,
    event_meta_time,
    may_concern,
    parse_event,
    parse_title,
    parse_user,
    parse_wiki_time,
)
from storage.values import ChangeKind, FileChange, Source, Upload, UploadAction

# The shape of a real event of 2023-05-25, with a made-up file.
REAL = {
    "$schema": "/mediawiki/recentchange/1.0.0",
    "meta": {
        "uri": "https://commons.wikimedia.org/wiki/File:Hall_(06).jpg",
        "id": "c118d26b-d9a7-45bf-a25a-32a6821adf66",
        "dt": "2023-05-25T14:10:53.123Z",
        "domain": "commons.wikimedia.org",
        "stream": "mediawiki.recentchange",
        "topic": "eqiad.mediawiki.recentchange",
        "partition": 0,
        "offset": 4654334057,
    },
    "id": 2202323770,
    "type": "log",
    "namespace": 6,
    "title": "File:Hall é (06).jpg",
    "comment": "== {{int:filedesc}} ==",
    "timestamp": 1685023853,
    "user": "ExampleUploader",
    "bot": False,
    "log_id": 339161257,
    "log_type": "upload",
    "log_action": "upload",
    "log_params": {"img_sha1": "n7p91uyt4hcqqq8s0snqrsfdfc75xfx", "img_timestamp": "20230525141053"},
    "server_name": "commons.wikimedia.org",
    "wiki": "commonswiki",
}
UPLOADED_AT = datetime(2023, 5, 25, 14, 10, 53, tzinfo=UTC)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([10**30, "\ud800", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def parse(**fields):
    """The real event with fields replaced; `...` removes one."""
    event = {key: value for key, value in {**REAL, **fields}.items() if value is not ...}
    return parse_event(json.dumps(event), "commonswiki")


def test_a_real_upload_is_read_in_full():
    assert parse() == Upload(
        wiki="commonswiki",
        log_id=339161257,
        action=UploadAction.UPLOAD,
        title="File:Hall é (06).jpg",
        user="ExampleUploader",
        sha1="n7p91uyt4hcqqq8s0snqrsfdfc75xfx",
        file_timestamp=UPLOADED_AT,
        logged_at=UPLOADED_AT,
        source=Source.STREAM,
    )


@pytest.mark.parametrize("action", list(UploadAction))
def test_every_upload_action_is_an_upload(action):
    assert parse(log_action=action.value).action is action


@pytest.mark.parametrize(
    ("log_type", "action", "kind"),
    [
        ("move", "move", ChangeKind.MOVE),
        ("move", "move_redir", ChangeKind.MOVE),
        ("delete", "delete", ChangeKind.DELETE),
        ("delete", "restore", ChangeKind.RESTORE),
    ],
)
def test_file_changes_are_read(log_type, action, kind):
    found = parse(
        log_type=log_type, log_action=action, log_params={"target": "File:New_name.jpg", "noredir": "1"}
    )
    target = "File:New name.jpg" if kind is ChangeKind.MOVE else None
    assert found == FileChange(
        "commonswiki", 339161257, kind, "File:Hall é (06).jpg", target, "ExampleUploader", UPLOADED_AT
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {"target": "File:New.jpg", "noredir": "0"},
        {"4::target": "File:New.jpg"},
        ["File:New.jpg", "1"],
        "File:New.jpg\n1",
        "File:New.jpg",
    ],
)
def test_a_move_target_is_found_in_every_shape_of_log_params(parameters):
    assert parse(log_type="move", log_action="move", log_params=parameters).target_title == "File:New.jpg"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"meta": {"domain": "canary"}}, "canary"),
        ({"wiki": "dewiki"}, "foreign_wiki"),
        ({"wiki": ...}, "foreign_wiki"),
        ({"type": "edit"}, "no_log_event"),
        ({"type": None}, "no_log_event"),
        ({"log_type": "patrol"}, "other_log"),
        ({"namespace": 0, "log_type": "delete", "log_action": "delete"}, "other_namespace"),
        ({"log_type": "delete", "log_action": "revision"}, "other_action"),
        ({"log_type": "delete", "log_action": "event"}, "other_action"),
        ({"log_type": "delete", "log_action": "delete_redir"}, "other_action"),
    ],
)
def test_what_is_not_for_us_is_expected(fields, reason):
    assert parse(**fields) == Ignored(reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"log_type": None}, "no_log_type"),
        ({"log_action": ["upload"]}, "no_log_type"),
        ({"log_action": "teleport"}, "unknown_upload_action"),
        ({"namespace": None}, "no_namespace"),
        ({"namespace": "6"}, "no_namespace"),
        ({"log_id": None}, "no_log_id"),
        ({"log_id": True}, "no_log_id"),
        ({"log_id": 0}, "no_log_id"),
        ({"log_id": 2**63}, "no_log_id"),
        ({"log_id": 1.0}, "no_log_id"),
        ({"title": ""}, "no_title"),
        ({"title": "File:\ud800.jpg"}, "no_title"),
        ({"title": "File:a\nb.jpg"}, "no_title"),
        ({"title": "x" * 600}, "no_title"),
        ({"timestamp": None, "meta": {}, "log_params": {}}, "no_time"),
        ({"log_type": "move", "log_action": "move", "log_params": []}, "no_move_target"),
        ({"log_type": "move", "log_action": "move", "log_params": {"target": 7}}, "no_move_target"),
        ({"log_type": "move", "log_action": "move", "log_params": ""}, "no_move_target"),
    ],
)
def test_what_should_have_been_for_us_is_unexpected(fields, reason):
    assert parse(**fields) == Ignored(reason, unexpected=True)


@pytest.mark.parametrize(
    ("text", "reason"), [("{", "bad_json"), ("[" * 200_000, "bad_json"), ("[]", "not_an_object")]
)
def test_what_is_no_event_is_unexpected(text, reason):
    assert parse_event(text, "commonswiki") == Ignored(reason, unexpected=True)


@pytest.mark.parametrize(
    "parameters", [[], "", None, {}, {"img_sha1": 5, "img_timestamp": False}, ["a"], {"img_sha1": "A" * 31}]
)
def test_an_upload_without_usable_details_is_still_an_upload(parameters):
    found = parse(log_params=parameters, user=None)
    assert (found.log_id, found.sha1, found.file_timestamp, found.user) == (339161257, None, None, None)


@pytest.mark.parametrize("timestamp", [None, "1685023853", -1, 10**40, True, ...])
def test_another_time_stands_in_for_a_missing_timestamp(timestamp):
    assert parse(timestamp=timestamp).logged_at == UPLOADED_AT.replace(microsecond=123000)
    assert parse(timestamp=timestamp, meta=None).logged_at == UPLOADED_AT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20230525141053", UPLOADED_AT),
        ("2023-05-25T14:10:53Z", UPLOADED_AT),
        ("2023-05-25T16:10:53+02:00", UPLOADED_AT),
        ("2023-05-25T14:10:53", UPLOADED_AT),
        ("20231325141053", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("infinity", None),
        ("٢٠٢٣٠٥٢٥١٤١٠٥٣", None),
        (20230525141053, None),
    ],
)
def test_times_are_read_in_both_of_the_wikis_forms(text, expected):
    assert parse_wiki_time(text) == expected


@given(json_values)
def test_no_json_value_raises(value):
    text = json.dumps(value)
    assert isinstance(parse_event(text, "commonswiki"), Ignored)
    event_meta_time(text.encode())


@given(st.binary())
def test_no_bytes_raise(data):
    assert isinstance(parse_event(data, "commonswiki"), Ignored)
    event_meta_time(data)


@settings(max_examples=300)
@given(st.data())
def test_a_mutated_event_never_raises_and_what_is_read_can_be_stored(data):
    event = copy.deepcopy(REAL)
    event["log_type"], event["log_action"] = data.draw(
        st.sampled_from([("upload", "upload"), ("move", "move"), ("delete", "delete"), ("delete", "restore")])
    )
    for key in data.draw(st.lists(st.sampled_from(sorted(event)), max_size=3, unique=True)):
        event[key] = data.draw(json_values)
    found = parse_event(json.dumps(event), "commonswiki")
    if not isinstance(found, Ignored):
        assert 0 < found.log_id < 2**63
        for text in (found.title, found.user, getattr(found, "target_title", None)):
            assert text is None or (text.encode() and "\0" not in text)
        assert found.logged_at.utcoffset() is not None


def escaped(text: str, positions: list[bool]) -> str:
    """The same JSON text with letters inside strings written as escapes."""
    chosen = [*positions, *([False] * len(text))]
    return "".join(
        f"\\u{ord(letter):04x}" if escape and letter.isalpha() and letter.isascii() else letter
        for letter, escape in zip(text, chosen, strict=False)
    )


@given(st.lists(st.booleans(), max_size=60), st.booleans(), st.sampled_from(["", " ", "\n  "]))
def test_the_bytes_test_never_drops_what_the_parser_would_take(positions, ascii_only, space):
    text = json.dumps(REAL, ensure_ascii=ascii_only, separators=(f",{space}", f":{space}"))
    for name in ("log_type", "commonswiki", "upload"):
        text = text.replace(f'"{name}"', f'"{escaped(name, positions)}"')
    assert isinstance(parse_event(text, "commonswiki"), Upload)
    block = b"event: message\n" + b"\n".join(b"data: " + line for line in text.encode().split(b"\n"))
    assert may_concern(block, b"commonswiki")
    assert may_concern(block)


@pytest.mark.parametrize(
    "fields", [{"wiki": "dewiki", "type": "edit"}, {"comment": "caf\u00e9 \x01 \ud83d\ude00 C:\\u1234"}]
)
def test_the_bytes_test_drops_edits_and_foreign_wikis(fields):
    event = {key: value for key, value in {**REAL, **fields}.items() if not key.startswith("log_")}
    assert not may_concern(
        json.dumps(event, ensure_ascii=False).encode(errors="surrogatepass"), b"commonswiki"
    )
    assert not may_concern(json.dumps({**REAL, "wiki": "dewiki"}).encode(), b"commonswiki")


def test_names_longer_than_the_store_s_columns_are_no_names():
    assert parse_title("File:" + "a" * 295) is not None
    assert parse_title("File:" + "a" * 296) is None
    assert parse_user("a" * 255) is not None
    assert parse_user("a" * 256) is None
