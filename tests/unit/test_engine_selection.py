"""`auto` takes the fastest engine that is verified and fits, and says of all others why not."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from classifier.engines.selection import NOISE, Choice, choose
from classifier.engines.values import ENGINES, DriftReport, EngineId, Trial
from classifier.errors import ModelError

MB = 1_000_000
DRIFT = DriftReport(pictures=48, positives=20, mean=0, p99=0, max=0, decisions_changed={"balanced": 0})


def trial(engine: str, ms: float, mb: int = 100, refused: str = "") -> Trial:
    return Trial(EngineId.parse(engine), "0" * 64, DRIFT, ms / 1000, 1.0, mb * MB, refused)


@st.composite
def trial_lists(draw: st.DrawFn) -> list[Trial]:
    engines = draw(st.lists(st.sampled_from(ENGINES), unique=True, min_size=1))
    return [
        trial(
            str(engine),
            draw(st.floats(1, 100)),
            draw(st.integers(50, 500)),
            draw(st.sampled_from(["", "", "it drifts"])),
        )
        for engine in engines
    ]


def outcome(trials: list[Trial], limit: int | None) -> Choice | str:
    """The choice, or what is said where there is none."""
    try:
        return choose(trials, limit)
    except ModelError as error:
        return str(error)


limits = st.one_of(st.none(), st.integers(50 * MB, 600 * MB))


@given(trial_lists(), limits)
def test_what_is_chosen_may_be_used_and_nothing_that_may_is_clearly_faster(
    trials: list[Trial], limit: int | None
) -> None:
    usable = [one for one in trials if not one.refused and (limit is None or one.resident_bytes <= limit)]
    assume(usable)
    chosen = choose(trials, limit).trial
    assert chosen in usable
    assert all(chosen.picture_s <= one.picture_s * (1 + NOISE) for one in usable)
    fastest = min(usable, key=lambda one: one.picture_s)
    assert chosen.resident_bytes <= fastest.resident_bytes


@given(trial_lists(), limits, st.randoms(use_true_random=False))
def test_the_order_of_the_trials_does_not_matter(
    trials: list[Trial], limit: int | None, random: object
) -> None:
    shuffled = list(trials)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert outcome(shuffled, limit) == outcome(trials, limit)


@given(trial_lists(), limits)
def test_every_engine_that_was_not_taken_has_its_reason(trials: list[Trial], limit: int | None) -> None:
    found = outcome(trials, limit)
    if isinstance(found, str):
        assert all(f"{one.engine}: " in found for one in trials)
    else:
        assert set(found.passed_over) == {one.engine for one in trials} - {found.engine}
        assert all(found.passed_over.values())


@given(trial_lists())
def test_less_memory_never_makes_a_choice_faster(trials: list[Trial]) -> None:
    assume(any(not one.refused for one in trials))
    free = choose(trials).trial
    for limit in {one.resident_bytes for one in trials}:
        bound = outcome(trials, limit)
        if isinstance(bound, Choice):
            assert bound.trial.picture_s * (1 + NOISE) >= free.picture_s / (1 + NOISE)


def test_the_fastest_is_taken_and_the_others_say_why_not() -> None:
    choice = choose(
        [
            trial("torch-fp32", 50, 370),
            trial("onnxruntime-fp32", 20, 139),
            trial("onnxruntime-int8", 8.5, 98),
            trial("openvino-int8", 6.4, 165),
            trial("openvino-fp32", 19, 208, "a score differs by 0.01"),
        ],
        300 * 1024**2,
        {EngineId.parse("torch-int8"): "only by name"},
    )
    assert str(choice.engine) == "openvino-int8"
    assert {str(engine): reason for engine, reason in choice.passed_over.items()} == {
        "torch-fp32": "needs 353 MiB, 300 MiB are allowed",
        "onnxruntime-fp32": "slower",
        "onnxruntime-int8": "slower",
        "openvino-fp32": "refused: a score differs by 0.01",
        "torch-int8": "only by name",
    }


@pytest.mark.parametrize(("ms", "winner"), [(10.9, "onnxruntime-int8"), (11.2, "openvino-int8")])
def test_of_equally_fast_ones_the_smaller_is_taken(ms: float, winner: str) -> None:
    choice = choose([trial("openvino-int8", 10, 165), trial("onnxruntime-int8", ms, 98)])
    assert str(choice.engine) == winner


@pytest.mark.parametrize("limit", [None, 50 * MB])
def test_where_nothing_can_be_used_the_error_gives_every_reason_and_a_way_out(limit: int | None) -> None:
    trials = [trial("torch-fp32", 50, 370, "it crashed"), trial("openvino-int8", 6, 165, "it drifts")]
    with pytest.raises(ModelError) as raised:
        choose(trials, limit, {EngineId.parse("onnxruntime-fp32"): "not installed"})
    message = str(raised.value)
    for part in ("torch-fp32: refused: it crashed", "openvino-int8: refused: it drifts", "install another"):
        assert part in message
    assert "onnxruntime-fp32: not installed" in message
    assert ("more memory" in message) is (limit is not None)


def test_without_any_engine_the_error_says_what_to_install() -> None:
    with pytest.raises(ModelError, match="install onnxruntime"):
        choose([])


@pytest.mark.parametrize("ms", [0, math.nan, math.inf])
def test_a_trial_without_a_time_is_not_the_fastest(ms: float) -> None:
    choice = choose([trial("openvino-int8", ms), trial("torch-fp32", 50)])
    assert str(choice.engine) == "torch-fp32"
