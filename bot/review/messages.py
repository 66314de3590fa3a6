"""All texts of the review pages in one language: `messages/<language>.toml`, English where it lacks some.

Texts are ours and may hold wikitext; whatever is filled into them must have been escaped before.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

FALLBACK: Final = "en"
LANGUAGES: Final = ("en", "de", "fr", "es")
_FOLDER: Final = Path(__file__).with_name("messages")
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Messages:
    """The texts in one language.

    Attributes:
        language: Its code.
        texts: By key, `section.name`.
    """

    language: str
    texts: Mapping[str, str] = field(repr=False)

    def text(self, key: str, /, **values: str | int) -> str:
        """A text with its placeholders filled in.

        Args:
            key: `section.name`.
            values: What goes into the placeholders, escaped; more than there are is fine.

        Returns:
            The text.

        Raises:
            KeyError: There is no such text, or a placeholder has no value.
        """
        return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), self.texts[key])


def load_messages(language: str) -> Messages:
    """The texts in a language.

    Args:
        language: A language code; variants such as `de-at` take their base, unknown ones English.

    Returns:
        The texts, English ones where the language lacks some.
    """
    code = language.lower()
    if code not in LANGUAGES:
        code = code.partition("-")[0]
    if code not in LANGUAGES:
        code = FALLBACK
    return Messages(code, {**texts_of(FALLBACK), **texts_of(code)})


@cache
def texts_of(language: str) -> Mapping[str, str]:
    """The texts of one file, without any fallback.

    Args:
        language: One of `LANGUAGES`.

    Returns:
        Texts by key.
    """
    tables = tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{section}.{name}": text for section, texts in tables.items() for name, text in texts.items()}


def placeholders(text: str) -> frozenset[str]:
    """The names in braces.

    Args:
        text: A message.
    """
    return frozenset(_PLACEHOLDER.findall(text))


__all__ = ["FALLBACK", "LANGUAGES", "Messages", "load_messages", "placeholders", "texts_of"]
