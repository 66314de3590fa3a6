"""Pure: what the community switches on-wiki, the stop page and the configuration page.

Both can be edited by many, so both fail closed: the bot edits only while the stop page says so in exactly
one way, and a configuration that is not valid as a whole changes nothing.  No setting can make the bot edit
faster than the hard limit or leave everybody's uploads out.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, get_args

RUN_MARKER: Final = "<!-- run: yes -->"
MIN_EDIT_INTERVAL_S: Final = 10
MAX_EDIT_INTERVAL_S: Final = 3600
MAX_SKIPPED_GROUPS: Final = 20

Level = Literal["cautious", "balanced", "sensitive"]
Problem = Literal["unreadable", "not_json", "not_object", "bad_value", "unknown_key"]

_RUN: Final = re.compile(r"<!--\s*run\b(.{0,40}?)-->", re.IGNORECASE | re.DOTALL)
_GROUP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_EVERYBODY: Final = frozenset({"*", "user", "named", "autoconfirmed", "confirmed", "emailconfirmed", "temp"})
_MAX_CHARS: Final = 20_000


@dataclass(frozen=True, slots=True)
class WikiConfig:
    """What the community has set.

    Attributes:
        level: Threshold level.
        skipped_groups: Uploads by members of these groups are not listed.
        edit_interval_s: At most one edit per page and so many seconds.
        blind: Whether score and reason are hidden until a verdict stands.
        hints: Whether rows tell what a file looks like, and that its bytes were deleted before.
    """

    level: Level = "balanced"
    skipped_groups: tuple[str, ...] = ()
    edit_interval_s: float = 60.0
    blind: bool = True
    hints: bool = True


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """Something wrong on the configuration page.

    Attributes:
        code: What kind of mistake.
        key: The key it is about, user-made; empty where the page as a whole is meant.
    """

    code: Problem
    key: str = ""


@dataclass(frozen=True, slots=True)
class ConfigReading:
    """What came of reading the configuration page.

    Attributes:
        config: What holds now.
        problems: What the index page is to tell; unknown keys are told and otherwise ignored.
        broken: Whether the page was not taken over and the last valid configuration was kept.
    """

    config: WikiConfig
    problems: tuple[ConfigProblem, ...] = ()
    broken: bool = False


class _BadValue(Exception):
    pass


def may_edit(text: str | None) -> bool:
    """Whether the stop page lets the bot edit.

    Args:
        text: The page's wikitext; None where it could not be read, empty where it does not exist.

    Returns:
        True only if the marker is there and no other `run` marker says something else.
    """
    if text is None or RUN_MARKER not in text:
        return False
    return all(match[0] == RUN_MARKER for match in _RUN.finditer(text))


def parse_config(text: str | None, defaults: WikiConfig, last_valid: WikiConfig) -> ConfigReading:
    """Read the configuration page.

    Args:
        text: The page's text; None where it could not be read, empty where it does not exist.
        defaults: What holds for keys that are not set, and where there is no page.
        last_valid: What held so far, and goes on to hold where the page is broken.

    Returns:
        What holds now, and what is wrong.
    """
    if text is None:
        return ConfigReading(last_valid, (ConfigProblem("unreadable"),), broken=True)
    if not text.strip():
        return ConfigReading(defaults)
    try:
        found = _loaded(text)
    except (ValueError, RecursionError):
        return ConfigReading(last_valid, (ConfigProblem("not_json"),), broken=True)
    if not isinstance(found, dict):
        return ConfigReading(last_valid, (ConfigProblem("not_object"),), broken=True)
    values: dict[str, Any] = {}
    bad: list[ConfigProblem] = []
    unknown: list[ConfigProblem] = []
    for key, value in found.items():
        check = _CHECKS.get(key)
        if check is None:
            unknown.append(ConfigProblem("unknown_key", key[:100]))
            continue
        try:
            values[key] = check(value)
        except _BadValue:
            bad.append(ConfigProblem("bad_value", key))
    if bad:
        return ConfigReading(last_valid, (*bad, *unknown[:10]), broken=True)
    return ConfigReading(_replaced(defaults, values), tuple(unknown[:10]))


def default_config_text(config: WikiConfig) -> str:
    """The configuration page as it is first written.

    Args:
        config: What it says.

    Returns:
        JSON, one key a line.
    """
    keys = {
        "level": config.level,
        "skipped_groups": list(config.skipped_groups),
        "edit_interval_s": config.edit_interval_s,
        "blind": config.blind,
        "hints": config.hints,
    }
    return json.dumps(keys, indent=4) + "\n"


def _replaced(defaults: WikiConfig, values: dict[str, Any]) -> WikiConfig:
    return WikiConfig(
        level=values.get("level", defaults.level),
        skipped_groups=values.get("skipped_groups", defaults.skipped_groups),
        edit_interval_s=values.get("edit_interval_s", defaults.edit_interval_s),
        blind=values.get("blind", defaults.blind),
        hints=values.get("hints", defaults.hints),
    )


def _loaded(text: str) -> object:
    if len(text) > _MAX_CHARS:
        raise ValueError("too long")
    return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Two values for one key: nobody could say which was meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _level(value: object) -> object:
    if value not in get_args(Level):
        raise _BadValue
    return value


def _groups(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_SKIPPED_GROUPS:
        raise _BadValue
    for name in value:
        if not isinstance(name, str) or not _GROUP.fullmatch(name) or name in _EVERYBODY:
            raise _BadValue
    return tuple(dict.fromkeys(value))


def _interval(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadValue
    if not MIN_EDIT_INTERVAL_S <= value <= MAX_EDIT_INTERVAL_S:
        raise _BadValue
    return float(value)


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _BadValue
    return value


_CHECKS: Final = {
    "level": _level,
    "skipped_groups": _groups,
    "edit_interval_s": _interval,
    "blind": _switch,
    "hints": _switch,
}

__all__ = [
    "RUN_MARKER",
    "ConfigProblem",
    "ConfigReading",
    "WikiConfig",
    "default_config_text",
    "may_edit",
    "parse_config",
]
