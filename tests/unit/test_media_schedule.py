import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.media.schedule import End, Fallback, Wait, is_exhausted, is_fallback, next_step

DAY = (60, 300, 1800, 21600, 86400)


def test_the_default_schedule_waits_five_times_then_falls_back_then_ends():
    steps = [next_step(attempts, DAY) for attempts in range(1, 9)]
    assert steps == [*[Wait(wait_s) for wait_s in DAY], Fallback(), End(), End()]


@pytest.mark.parametrize(
    ("attempts", "asked_s", "expected_s"),
    [(1, None, 60), (1, 0, 60), (1, 90, 90), (2, 90, 300), (1, 1e12, 86400), (5, 1e12, 86400)],
)
def test_a_server_can_lengthen_a_wait_within_reason_but_not_shorten_it(attempts, asked_s, expected_s):
    assert next_step(attempts, DAY, asked_s) == Wait(expected_s)


@given(st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=1, max_size=8))
def test_every_upload_ends_and_gets_exactly_one_fallback_whatever_the_schedule(schedule: list[float]):
    attempts, fallbacks = 0, 0
    while True:
        fallbacks += is_fallback(attempts, schedule)
        assert not is_exhausted(attempts, schedule)
        attempts += 1  # this try failed
        step = next_step(attempts, schedule)
        if isinstance(step, End):
            break
        assert isinstance(step, Fallback) == is_fallback(attempts, schedule)
    assert fallbacks == 1
    assert attempts == len(schedule) + 2
    assert is_exhausted(attempts, schedule)
