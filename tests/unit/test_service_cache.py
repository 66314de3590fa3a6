"""Results by content: the right one, bounded, and a tag that names exactly what it depends on."""

from dataclasses import replace

from classifier.service.cache import ResultCache, ResultKey
from classifier.service.classify import has

KEY = ResultKey("a" * 64, "v1", "balanced", False)


def key(number: int) -> ResultKey:
    return replace(KEY, sha256=f"{number:064x}")


def test_the_one_not_used_for_longest_goes_first() -> None:
    cache = ResultCache(2)
    cache.put(key(1), {"n": 1})
    cache.put(key(2), {"n": 2})
    assert cache.get(key(1)) == {"n": 1}
    cache.put(key(3), {"n": 3})
    assert cache.get(key(2)) is None
    assert (cache.get(key(1)), cache.get(key(3)), len(cache)) == ({"n": 1}, {"n": 3}, 2)


def test_heavy_results_count_as_many_and_too_heavy_ones_are_not_kept() -> None:
    cache = ResultCache(10)
    for number in range(10):
        cache.put(key(number), {})
    cache.put(key(99), {}, weight=9)
    assert len(cache) == 2
    cache.put(key(100), {}, weight=11)
    assert cache.get(key(100)) is None
    assert len(cache) == 2


def test_replacing_a_result_does_not_count_twice() -> None:
    cache = ResultCache(3)
    for _ in range(5):
        cache.put(KEY, {}, weight=2)
    cache.put(key(1), {})
    assert len(cache) == 2


def test_no_capacity_keeps_nothing() -> None:
    cache = ResultCache(0)
    cache.put(KEY, {})
    assert cache.get(KEY) is None


def test_a_tag_changes_with_everything_that_the_result_depends_on() -> None:
    changed = [
        replace(KEY, sha256="c" * 64),
        replace(KEY, model_version="v2"),
        replace(KEY, level="cautious"),
        replace(KEY, frames=True),
    ]
    assert len({one.etag for one in [KEY, *changed]}) == 5
    assert replace(KEY).etag == KEY.etag


def test_tags_are_compared_as_rfc_9110_wants_it() -> None:
    tag = KEY.etag
    assert has(f'"x", W/{tag}', tag)
    assert has("*", tag)
    assert not has('"x"', tag)
    assert not has(None, tag)
