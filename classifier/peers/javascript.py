"""Read the literals of a minified script; nothing in it is ever run.

TensorFlow.js models come as scripts that export one object or one string. It is not JSON: keys are bare,
`!0` and `!1` stand for true and false, and numbers are written as `.5`.
"""

import json
import re
from typing import TypeAlias

from classifier.errors import ModelError

Literal: TypeAlias = "dict[str, Literal] | list[Literal] | str | float | bool | None"

_EXPORTED = re.compile(r"\.exports\s*=\s*(?=[{\[\"'])")
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?(?:0x[0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_WORDS: dict[str, Literal] = {"!0": True, "!1": False, "true": True, "false": False, "null": None}
_DEEPEST = 64


def exported(script: str) -> Literal:
    """Find the one literal that a script exports.

    Args:
        script: Its text.

    Returns:
        The value: objects as dictionaries, numbers as floats.

    Raises:
        ModelError: Where the script exports none or several, or something that is no literal.
    """
    found = list(_EXPORTED.finditer(script))
    if len(found) != 1:
        raise ModelError(f"the script exports {len(found)} literals, not one")
    return parse(script, found[0].end())[0]


def parse(text: str, at: int = 0, depth: int = 0) -> tuple[Literal, int]:
    """Read one literal.

    Args:
        text: What it stands in.
        at: Where it begins.
        depth: How deep it stands in others.

    Returns:
        The value, and where it ends.

    Raises:
        ModelError: Where there is no literal; it says where.
    """
    at = _skip(text, at)
    for word, value in _WORDS.items():
        if text.startswith(word, at):
            return value, at + len(word)
    if text.startswith(("{", "["), at):
        if depth == _DEEPEST:
            raise _unreadable(text, at)
        return _object(text, at, depth) if text[at] == "{" else _array(text, at, depth)
    if match := _QUOTED.match(text, at):
        return _string(match[0], at), match.end()
    if match := _NUMBER.match(text, at):
        number = match[0]
        return float(int(number, 16)) if "x" in number else float(number), match.end()
    raise _unreadable(text, at)


def _object(text: str, at: int, depth: int) -> tuple[Literal, int]:
    found: dict[str, Literal] = {}
    at = _skip(text, at + 1)
    while not text.startswith("}", at):
        if match := _QUOTED.match(text, at):
            key = _string(match[0], at)
        elif not (match := _NAME.match(text, at) or _NUMBER.match(text, at)):
            raise _unreadable(text, at)
        else:
            key = match[0]
        at = _expect(text, match.end(), ":")
        found[key], at = parse(text, at, depth + 1)
        at = _separated(text, at, "}")
    return found, at + 1


def _array(text: str, at: int, depth: int) -> tuple[Literal, int]:
    found: list[Literal] = []
    at = _skip(text, at + 1)
    while not text.startswith("]", at):
        value, at = parse(text, at, depth + 1)
        found.append(value)
        at = _separated(text, at, "]")
    return found, at + 1


def _separated(text: str, at: int, end: str) -> int:
    """Behind a comma, or at the end."""
    at = _skip(text, at)
    return at if text.startswith(end, at) else _expect(text, at, ",")


def _expect(text: str, at: int, mark: str) -> int:
    at = _skip(text, at)
    if not text.startswith(mark, at):
        raise _unreadable(text, at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _string(quoted: str, at: int) -> str:
    body = quoted[1:-1]
    if "\\" not in body:
        return body
    # The escapes that are JSON's too; a script of numbers and names has no others.
    inner = body.replace("\\'", "'")
    if quoted[0] == "'":
        inner = re.sub(r'(?<!\\)"', r"\"", inner)
    try:
        text = json.loads(f'"{inner}"', strict=False)
    except json.JSONDecodeError as error:
        raise ModelError(f"the script has a string that cannot be read at character {at}") from error
    return str(text)


def _unreadable(text: str, at: int) -> ModelError:
    return ModelError(f"the script is not the expected literal at character {at}: {text[at : at + 20]!r}")


__all__ = ["Literal", "exported", "parse"]
