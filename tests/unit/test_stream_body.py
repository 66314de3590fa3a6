"""Undoing the chunked transfer coding, however the connection cuts it."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.stream.body import MAX_HEAD_BYTES, ChunkDecoder, ChunkError

BAD = [b"xyz\r\n", b"\r\n", b"-5\r\nabcde\r\n", b"1\r\nabc\r\n", b"1\r\na\r\nq\r\n", b";a\r\n", b"<html>\r\n"]
payloads = st.lists(st.binary(min_size=1, max_size=40), max_size=8)
trailers = st.sampled_from([b"", b"X-T: 1\r\n"])
cut_points = st.lists(st.integers(0, 10**6))
extensions = st.sampled_from([b"", b";name", b' ; name="value"', b"  "])


def decode(data: bytes, cuts: list[int]) -> tuple[bytes, ChunkDecoder]:
    decoder = ChunkDecoder()
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return b"".join(decoder.feed(data[start:end]) for start, end in pairwise(bounds)), decoder


@given(
    payloads,
    extensions,
    st.sampled_from(["%x", "%X", "%08x"]),
    cut_points,
    st.sampled_from([b"", b"X-T: 1\r\n"]),
)
def test_the_payload_comes_out_whole_however_it_is_cut(chunks, extension, size, cuts, trailer):
    data = b"".join((size % len(chunk)).encode() + extension + b"\r\n" + chunk + b"\r\n" for chunk in chunks)
    found, decoder = decode(data + b"0\r\n" + trailer + b"\r\n", cuts)
    assert found == b"".join(chunks)
    assert decoder.finished


@given(payloads, cut_points)
def test_without_the_last_chunk_the_body_is_not_finished(chunks, cuts):
    data = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    found, decoder = decode(data, cuts)
    assert found == b"".join(chunks)
    assert not decoder.finished


def test_payload_is_given_out_before_its_chunk_is_complete():
    decoder = ChunkDecoder()
    assert decoder.feed(b"a\r\nabc") == b"abc"
    assert decoder.feed(b"defg") == b"defg"
    assert decoder.feed(b"hij") == b"hij"
    assert decoder.feed(b"\r\n2\r\nkl\r\n") == b"kl"


@pytest.mark.parametrize("cuts", [[], list(range(40))])
@pytest.mark.parametrize(
    "data",
    [b"xyz\r\n", b"\r\n", b"-5\r\nabcde\r\n", b"1\r\nabc\r\n", b"1\r\na\r\nq\r\n", b";a\r\n", b"<html>\r\n"],
)
def test_what_is_no_chunk_is_an_error(data, cuts):
    with pytest.raises(ChunkError):
        decode(data, cuts)


def test_an_endless_head_is_an_error():
    with pytest.raises(ChunkError):
        decode(b"1" * (MAX_HEAD_BYTES + 2), list(range(MAX_HEAD_BYTES + 2)))


@given(st.binary(max_size=200), cut_points)
def test_other_bytes_raise_nothing_else(data, cuts):
    with suppress(ChunkError):
        decode(data, cuts)
