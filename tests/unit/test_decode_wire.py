import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.decode import wire
from classifier.decode.picture import Report
from classifier.values import Frame


def unpacked(message):
    header = wire.unpack_header(message[: wire.HEADER.size])
    middle = wire.HEADER.size + header.json_bytes
    return header, wire.unpack_values(message[wire.HEADER.size : middle]), bytearray(message[middle:])


def test_frames_survive_the_pipe():
    sent = [Frame(np.full((4, 6, 3), value, np.uint8), 0.5 * value, None) for value in range(3)]
    header, values, pixels = unpacked(wire.pack_frames(sent, wire.Status(Report("video", "pyav", 3.5), 0.25)))
    assert header.pixel_bytes == len(pixels) == 3 * 4 * 6 * 3
    received = wire.unpack_frames(values, pixels)
    assert [(frame.at_s, frame.page) for frame in received] == [(0.0, None), (0.5, None), (1.0, None)]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(sent, received, strict=True))
    assert wire.unpack_status(values) == wire.Status(Report("video", "pyav", 3.5), 0.25)


@pytest.mark.parametrize(
    "content",
    [
        wire.HEADER.pack(b"?", 2, 0),
        wire.HEADER.pack(wire.FRAMES, 10**6, 0),
        wire.HEADER.pack(wire.FRAMES, 2, 2**31),
        wire.HEADER.pack(wire.END, 2, 5),
    ],
)
def test_headers_that_ask_for_too_much_are_refused(content):
    with pytest.raises(wire.WireError):
        wire.unpack_header(content)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 60_000, b"9" * 60_000])
def test_json_that_is_no_object_is_refused(content):
    with pytest.raises(wire.WireError):
        wire.unpack_values(content)


GOOD = {"shape": [2, 2, 3], "frames": [[0.0, None]]}


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2, 2, 4]},
        {"shape": [-2, -2, 3]},
        {"shape": [True, 12, 3]},
        {"shape": "223"},
        {"shape": [2, 3, 3]},
        {"frames": []},
        {"frames": [[0.0, None]] * 9},
        {"frames": [[0.0]]},
        {"frames": [[float("nan"), None]]},
        {"frames": [[-1.0, None]]},
        {"frames": [["0", None]]},
        {"frames": [[0.0, 0]]},
        {"frames": [[0.0, "1"]]},
    ],
)
def test_frames_that_do_not_fit_their_description_are_refused(change):
    assert wire.unpack_frames(GOOD, bytearray(12))
    with pytest.raises(wire.WireError):
        wire.unpack_frames({**GOOD, **change}, bytearray(12))


@pytest.mark.parametrize("slot", [-1, 4, True, 1.0, "1", None, [0]])
def test_slots_that_do_not_exist_are_refused(slot):
    assert wire.unpack_place({**GOOD, "slot": 3}, 4, 12) == (3, 12)
    with pytest.raises(wire.WireError):
        wire.unpack_place({**GOOD, "slot": slot}, 4, 12)


@pytest.mark.parametrize(
    "change", [{"shape": [2, 3, 3]}, {"shape": [-2, 2, 3]}, {"shape": [2, 2]}, {"frames": []}, {"frames": 1}]
)
def test_frames_that_do_not_fit_their_slot_are_refused(change):
    with pytest.raises(wire.WireError):
        wire.unpack_place({**GOOD, "slot": 0, **change}, 4, 12)


def test_frames_in_a_slot_take_no_room_in_the_message():
    sent = [Frame(np.zeros((4, 6, 3), np.uint8))]
    header, values, _ = unpacked(wire.pack_frames(sent, wire.Status(Report(), 0.0), slot=2))
    assert header.pixel_bytes == 0
    assert wire.unpack_place(values, 4, 1000) == (2, 72)
    assert wire.unpack_place(GOOD, 4, 1000) is None


def test_codes_that_are_none_of_ours_are_refused():
    assert wire.unpack_failure({"code": "audio", "message": "x"}) == ("audio", "x")
    for values in ({"code": "safe", "message": "x"}, {"code": ["audio"], "message": "x"}, {"code": "audio"}):
        with pytest.raises(wire.WireError):
            wire.unpack_failure(values)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ["shape", "frames", "slot", "kind", "decoder", "truncated", "duration_s", "cpu_s", "code", "message"]


@given(st.dictionaries(st.sampled_from(KEYS), json_values), st.binary(max_size=40))
def test_whatever_a_worker_says_is_understood_or_refused(values, pixels):
    for read in (
        lambda: wire.unpack_frames(values, bytearray(pixels)),
        lambda: wire.unpack_place(values, 4, 1000),
        lambda: wire.unpack_status(values),
        lambda: wire.unpack_failure(values),
    ):
        with contextlib.suppress(wire.WireError):
            read()
