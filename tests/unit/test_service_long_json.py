"""JSON whose long strings stay in the buffer: as strict as `json`, and never a picture in memory unasked."""

import base64
import json
import os
from mmap import ACCESS_READ, mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.service.long_json import LONG_BYTES, MAX_DEPTH, MAX_STRING_BYTES, JsonError, LongText, loads

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(value=PLAIN, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_it_reads_what_the_standard_library_writes(
    value: object, ascii_only: bool, indent: int | None
) -> None:
    try:
        text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, allow_nan=False).encode()
    except UnicodeEncodeError:
        return
    assert loads(text) == json.loads(text)


@given(st.binary(max_size=60))
def test_whatever_is_no_json_is_an_error_that_names_a_place(text: bytes) -> None:
    try:
        expected = json.loads(text.decode("utf-8"))
    except ValueError:
        with pytest.raises(JsonError, match="at byte"):
            loads(text)
    else:
        assert loads(text) == expected or "NaN" in text.decode() or "Infinity" in text.decode()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1,]", '{"a":1,}', '{"a" 1}', "{1:2}", "01", "1 2", '"\x01"', '"\\x"', "nul", "NaN", "+1"],
)
def test_what_json_forbids_is_refused(text: str) -> None:
    with pytest.raises(JsonError):
        loads(text.encode())


def test_a_long_string_stays_where_it_is_and_can_be_had() -> None:
    content = base64.b64encode(os.urandom(LONG_BYTES))
    buffer = b'{"a": "' + content + b'", "b": "short"}'
    values = loads(buffer)
    assert isinstance(values["a"], LongText)
    assert values["b"] == "short"
    assert values["a"].raw(buffer) == content


def test_escapes_in_a_long_string_are_undone() -> None:
    """PHP writes every slash of base64 as `\\/`."""
    content = base64.b64encode(b"\xff" * LONG_BYTES)
    assert b"/" in content
    buffer = b'["' + content.replace(b"/", b"\\/") + b'"]'
    assert loads(buffer)[0].raw(buffer) == content


def test_a_file_is_read_through_a_map(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(json.dumps({"a": ["x" * 100_000, "y" * 200_000, 3]}).encode())
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as buffer:
        first, second, third = loads(buffer)["a"]
        assert (first.raw(buffer), second.raw(buffer), third) == (b"x" * 100_000, b"y" * 200_000, 3)


def test_depth_number_and_length_are_bounded() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    for text in (
        b"[" * 10_000 + b"]" * 10_000,
        b"[" + b"1," * 100_000 + b"1]",
        b'["' + b"a" * (MAX_STRING_BYTES + 1) + b'"]',
        b'{"' + b"a" * (LONG_BYTES + 1) + b'": 1}',
    ):
        with pytest.raises(JsonError):
            loads(text)
