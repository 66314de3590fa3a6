import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.media.sha1 import base36_from_hex, hex_from_base36


@given(st.binary(min_size=20, max_size=20))
def test_every_sha1_survives_both_conversions(digest: bytes):
    base36 = base36_from_hex(digest.hex())
    assert len(base36) == 31
    assert int(base36, 36) == int.from_bytes(digest)
    assert hex_from_base36(base36) == digest.hex()


def test_the_sha1_of_a_real_event_is_padded_hexadecimal():
    converted = hex_from_base36("n7p91uyt4hcqqq8s0snqrsfdfc75xfx")
    assert len(converted) == 40
    assert base36_from_hex(converted) == "n7p91uyt4hcqqq8s0snqrsfdfc75xfx"
    assert hex_from_base36("0" * 31) == "0" * 40


@pytest.mark.parametrize("bad", ["", "0" * 30, "0" * 32, "z" * 31, "N" + "0" * 30, "-" + "0" * 30, "٣" * 31])
def test_what_is_no_base36_sha1_is_refused(bad: str):
    with pytest.raises(ValueError, match="is"):
        hex_from_base36(bad)


@pytest.mark.parametrize("bad", ["", "0" * 39, "G" * 40, "A" * 40, "0x" + "0" * 38])
def test_what_is_no_hexadecimal_sha1_is_refused(bad: str):
    with pytest.raises(ValueError, match="is not"):
        base36_from_hex(bad)
