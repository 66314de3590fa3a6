"""`label-studio/tasks.json`: tasks with the model's prediction and the standing verdicts as annotations.

`config.xml` beside it is the labelling interface they fit. Pictures are asked for from local storage, whose
root has to be the folder that was exported to (`LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`); a task whose
picture is gone shows the wiki's address. Annotations name no user of Label Studio: who gave a verdict is in
`meta`.
"""

import json
from pathlib import Path
from urllib.parse import quote

from bot.export import private
from bot.export.record import Values, jsonable

CONFIG = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <Choices name="label" toName="image" choice="single" required="true">
    <Choice value="nsfw"/>
    <Choice value="safe"/>
    <Choice value="unsure"/>
  </Choices>
  <Header name="title" value="$title" size="6"/>
</View>
"""
_DATA = ("file_page", "split", "licence", "licence_url", "author")
"""Columns that people who label may be shown."""
_CHOICES = {"nsfw-delete": "nsfw", "nsfw-keep": "nsfw", "sfw": "safe", "unsure": "unsure"}


class LabelStudio:
    """Writes the tasks, one after the other.

    Args:
        folder: The export's folder.
        name: How it will be called below the folder that was exported to.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        with private.created(folder / "label-studio" / "config.xml") as file:
            file.write(CONFIG.encode())
        self._file = private.create(folder / "label-studio" / "tasks.json")
        self._separator = b"[\n"

    def add(self, row: Values, picture: Path | None) -> None:  # noqa: ARG002 - the row names it
        """See `Writer.add`."""
        text = json.dumps(task(jsonable(row), self._name), ensure_ascii=False)
        self._file.write(self._separator + text.encode())
        self._separator = b",\n"

    def close(self) -> None:
        """See `Writer.close`."""
        self._file.write(b"\n]\n" if self._separator == b",\n" else b"[]\n")
        private.close(self._file)


def task(row: Values, folder: str) -> Values:
    """A task as Label Studio imports it.

    Args:
        row: The row, its times as text.
        folder: Where `path` starts, below the root of local storage.

    Returns:
        `data`, `meta`, `predictions`, `annotations`.
    """
    local = f"/data/local-files/?d={quote(folder)}/{quote(row['path'])}" if row["path"] else None
    standing = [one for one in row["verdicts"] if one["counts"]]
    return {
        "data": {
            "image": local or row["media_url"] or row["file_page"],
            "title": row["title"],
            "item_id": row["item_id"],
            **{name: row[name] or "" for name in _DATA},
        },
        "meta": {name: value for name, value in row.items() if name not in ("title", *_DATA)},
        "predictions": [
            {
                "model_version": f"{row['model']}@{row['weights_sha256'][:12]}",
                "score": row["score"],
                "result": [_choice(row["predicted_label"])],
            }
        ],
        "annotations": [{"result": [_choice(_CHOICES[one["code"]])]} for one in standing],
    }


def _choice(value: str) -> Values:
    return {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [value]}}


__all__ = ["CONFIG", "LabelStudio", "task"]
