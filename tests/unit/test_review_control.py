import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.review.control import (
    RUN_MARKER,
    ConfigProblem,
    WikiConfig,
    default_config_text,
    may_edit,
    parse_config,
)

DEFAULTS = WikiConfig()
TOO_MANY_GROUPS = json.dumps({"skipped_groups": [f"g{number}" for number in range(21)]})
LAST = WikiConfig("cautious", ("autopatrolled",), 300.0, False)


@pytest.mark.parametrize("text", [RUN_MARKER, f"{RUN_MARKER}\nSome text.", f"text {RUN_MARKER} {RUN_MARKER}"])
def test_the_bot_edits_while_the_marker_stands(text: str) -> None:
    assert may_edit(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "run: yes",
        "<!-- run: no -->",
        "<!-- run:yes -->",
        "<!-- Run: yes -->",
        "<!-- run: yes please -->",
        f"{RUN_MARKER} <!-- run: no -->",
        f"<!-- RUN : NO --> {RUN_MARKER}",
        f"{RUN_MARKER}<!-- run: -->",
    ],
)
def test_anything_else_stops_it(text: str | None) -> None:
    assert not may_edit(text)


@given(st.text())
def test_text_without_the_marker_always_stops_it(text: str) -> None:
    assert may_edit(text) == (RUN_MARKER in text)


def test_a_valid_page_is_taken_over_and_missing_keys_take_their_defaults() -> None:
    text = json.dumps({"level": "sensitive", "skipped_groups": ["autopatrolled", "sysop"], "blind": False})
    reading = parse_config(text, DEFAULTS, LAST)
    assert reading.config == WikiConfig("sensitive", ("autopatrolled", "sysop"), 60.0, False)
    assert (reading.problems, reading.broken) == ((), False)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_without_a_page_the_defaults_hold(text: str) -> None:
    assert parse_config(text, DEFAULTS, LAST).config == DEFAULTS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, ConfigProblem("unreadable")),
        ("{", ConfigProblem("not_json")),
        ("nonsense", ConfigProblem("not_json")),
        ('{"blind": true, "blind": false}', ConfigProblem("not_json")),
        ('{"edit_interval_s": NaN}', ConfigProblem("not_json")),
        ('{"edit_interval_s": ' + "9" * 6000 + "}", ConfigProblem("not_json")),
        ("[" * 9000, ConfigProblem("not_json")),
        (" " * 30_000 + "{}", ConfigProblem("not_json")),
        ("[]", ConfigProblem("not_object")),
        ("null", ConfigProblem("not_object")),
        ('{"level": "paranoid"}', ConfigProblem("bad_value", "level")),
        ('{"level": ["balanced"]}', ConfigProblem("bad_value", "level")),
        ('{"edit_interval_s": 9.9}', ConfigProblem("bad_value", "edit_interval_s")),
        ('{"edit_interval_s": 3601}', ConfigProblem("bad_value", "edit_interval_s")),
        ('{"edit_interval_s": true}', ConfigProblem("bad_value", "edit_interval_s")),
        ('{"edit_interval_s": "60"}', ConfigProblem("bad_value", "edit_interval_s")),
        ('{"edit_interval_s": 1e999}', ConfigProblem("bad_value", "edit_interval_s")),
        ('{"blind": 1}', ConfigProblem("bad_value", "blind")),
        ('{"hints": "no"}', ConfigProblem("bad_value", "hints")),
        ('{"skipped_groups": "sysop"}', ConfigProblem("bad_value", "skipped_groups")),
        ('{"skipped_groups": ["user"]}', ConfigProblem("bad_value", "skipped_groups")),
        ('{"skipped_groups": ["*"]}', ConfigProblem("bad_value", "skipped_groups")),
        ('{"skipped_groups": [{}]}', ConfigProblem("bad_value", "skipped_groups")),
        (TOO_MANY_GROUPS, ConfigProblem("bad_value", "skipped_groups")),
    ],
)  # fmt: skip
def test_a_broken_page_changes_nothing(text: str | None, problem: ConfigProblem) -> None:
    reading = parse_config(text, DEFAULTS, LAST)
    assert (reading.config, reading.broken) == (LAST, True)
    assert problem in reading.problems


def test_one_bad_value_leaves_the_good_ones_out_too() -> None:
    assert parse_config('{"level": "sensitive", "blind": 0}', DEFAULTS, LAST).config == LAST


def test_unknown_keys_are_told_and_ignored() -> None:
    reading = parse_config('{"level": "sensitive", "[[x]]": 1, "run": true}', DEFAULTS, LAST)
    assert (reading.config.level, reading.broken) == ("sensitive", False)
    assert reading.problems == (ConfigProblem("unknown_key", "[[x]]"), ConfigProblem("unknown_key", "run"))


@pytest.mark.parametrize("seconds", [10, 3600, 10.5])
def test_the_limits_themselves_are_allowed(seconds: float) -> None:
    reading = parse_config(json.dumps({"edit_interval_s": seconds}), DEFAULTS, LAST)
    assert reading.config.edit_interval_s == seconds


def test_the_page_as_it_is_first_written_says_what_holds() -> None:
    assert parse_config(default_config_text(LAST), DEFAULTS, DEFAULTS).config == LAST


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["level", "skipped_groups", "edit_interval_s", "blind", "hints", "other"])


@given(st.text() | st.dictionaries(KEYS, json_values).map(json.dumps))
def test_no_page_gets_past_the_limits(text: str) -> None:
    config = parse_config(text, DEFAULTS, LAST).config
    assert config.level in {"cautious", "balanced", "sensitive"}
    assert 10 <= config.edit_interval_s <= 3600
    assert not {"*", "user", "autoconfirmed"} & set(config.skipped_groups)
    assert isinstance(config.blind, bool)
