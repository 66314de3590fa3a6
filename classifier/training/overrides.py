"""Single settings laid over a configuration, named `section.key` as in the file: by `--set`, and by a search.

The result is checked as a whole, exactly as a file is, so that nothing can be trained that a file could not
say.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classifier.training import config as configs
from classifier.training.config import TrainConfig
from classifier.training.errors import TrainingError

_MANIFEST = "data.manifest"


def parse(setting: str) -> tuple[str, Any]:
    """Read `section.key=value`.

    Args:
        setting: The value is TOML; what is not is text, so that `optimizer.name=sgd` needs no quotes.

    Returns:
        Key and value.

    Raises:
        TrainingError: Where there is no key, or no value.
    """
    key, equals, text = (part.strip() for part in setting.partition("="))
    if not key or not equals or not text:
        raise TrainingError(f"{setting!r}: has to be section.key=value")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text


def applied(config: TrainConfig, changes: Mapping[str, Any], source: str) -> TrainConfig:
    """Lay settings over a configuration.

    Args:
        config: What is changed.
        changes: Values by key, such as `optimizer.rate`; a relative manifest starts from the current folder.
        source: Where they come from, for messages.

    Returns:
        Another configuration.

    Raises:
        TrainingError: Where a key is unknown, or a value wrong.
    """
    table: dict[str, Any] = config.model_dump(mode="json")
    for key, value in changes.items():
        *sections, name = key.split(".")
        place = table
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise TrainingError(f"{source}: {key}: {section} is a value, not a section")
        if isinstance(place.get(name), dict):
            raise TrainingError(f"{source}: {key}: is a section; name a key of it, such as {key}.name")
        place[name] = value
    changed = configs.parse(table, source)
    if changes.get(_MANIFEST):
        return configs.with_manifest(changed, Path(changed.data.manifest))
    return changed


__all__ = ["applied", "parse"]
