from hypothesis import given
from hypothesis import strategies as st

from bot.media.rate import WINDOW_S, TokenBucket

reads = st.lists(
    st.tuples(st.floats(min_value=0, max_value=30), st.floats(min_value=0, max_value=1), st.floats(0, 1)),
    max_size=60,
)


@given(reads, st.floats(min_value=80, max_value=1e9))
def test_no_window_of_ten_seconds_carries_more_than_the_limit(steps, max_bits_per_s: float):
    now_s = 100.0
    bucket = TokenBucket(max_bits_per_s, now_s)
    moments: list[tuple[float, int]] = []
    for idle_s, share, used in steps:
        now_s += idle_s
        count = max(1, int(bucket.largest_take_bytes * share))
        now_s += bucket.take(count, now_s)
        read = int(count * used)
        moments.append((now_s, read))
        bucket.give_back(count - read)
    for start_s, _ in moments:
        in_window = sum(count for at_s, count in moments if start_s <= at_s < start_s + WINDOW_S)
        assert in_window <= max_bits_per_s / 8 * WINDOW_S * (1 + 1e-6) + 1


def test_a_busy_downloader_gets_nine_tenths_of_the_limit():
    bucket, now_s, total = TokenBucket(25e6, 0.0), 0.0, 0
    while now_s < 60:
        now_s += bucket.take(65536, now_s)
        total += 65536
    assert 0.9 <= total * 8 / 60 / 25e6 <= 0.92


def test_a_thumbnail_after_a_pause_does_not_wait():
    bucket = TokenBucket(25e6, 0.0)
    while bucket.take(65536, 0.0) == 0:
        pass
    assert bucket.take(65536, 5.0) == 0


def test_unused_tokens_come_back_but_never_overfill_the_bucket():
    bucket = TokenBucket(8000, 0.0)
    bucket.give_back(10**9)
    assert bucket.take(1000, 0.0) == 0
    assert bucket.take(1000, 0.0) > 0
    bucket.give_back(1000)
    assert bucket.take(1, 0.01) == 0


def test_a_clock_that_steps_back_gives_nothing():
    bucket = TokenBucket(8000, 10.0)
    bucket.take(1000, 10.0)
    assert bucket.take(100, 5.0) > 0
