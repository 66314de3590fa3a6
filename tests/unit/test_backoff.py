import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backoff import jittered, parse_retry_after

NOW = datetime(2025, 5, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("-3", None),
        ("soon", None),
        ("1e3", None),
        ("٣", None),
        ("9" * 400, None),
        ("Thu, 01 May 2025 12:02:00 GMT", 120.0),
        ("Thu, 01 May 2025 11:00:00 GMT", 0.0),
        ("Thu, 99 May 2025 11:00:00 GMT", None),
        ("Thu, 01 May 2025 12:02:00 +99999999999999", None),
    ],
)
def test_both_forms_of_retry_after_are_read_and_nonsense_is_none(value: str | None, expected: float | None):
    assert parse_retry_after(value, NOW) == expected


@given(st.integers(min_value=-10_000_000, max_value=10_000_000))
def test_a_date_becomes_the_seconds_until_then_and_never_negative(seconds: int):
    header = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(header, NOW) == max(0, seconds)


@given(st.text(max_size=40))
def test_no_header_can_make_it_raise_or_go_below_zero(value: str):
    result = parse_retry_after(value, NOW)
    assert result is None or result >= 0


@given(st.integers(min_value=1, max_value=10_000), st.integers(min_value=0))
def test_a_wait_lies_in_the_upper_half_of_the_capped_exponential(attempt: int, seed: int):
    base = min(120.0, 1.0 * 2.0 ** min(attempt - 1, 64))
    wait = jittered(attempt, 1.0, 120.0, random.Random(seed))
    assert base / 2 <= wait <= base


def test_two_clients_do_not_wait_the_same_time():
    assert jittered(3, 1.0, 120.0, random.Random(1)) != jittered(3, 1.0, 120.0, random.Random(2))
