"""Build a dataset from the layouts of NPDI's Pornography-800 and Pornography-2k, frame by frame or by video.

Names are all that both have in common in the copies that are around: a video, its folder of frames and its
frames begin with `vPorn000123` or `vNonPorn000123`; in the older one, videos lie in `vPorn`, `vNonPornEasy`
and `vNonPornDifficulty`, whether below `Database`, `Segments` or `Frames`; in the newer one, in `original`.

A video is the source of its frames, so that they never end up on both sides of a split. Access to either set
is given by its authors (Avila et al., CVIU 117, 2013; Moreira et al., Forensic Science International 268,
2016).
"""

import re
from pathlib import Path
from typing import Literal

from classifier.datasets.manifest import MAX_ITEMS
from classifier.datasets.sources import PICTURE_SUFFIXES, VIDEO_SUFFIXES, files
from classifier.datasets.values import DEFAULT_CLASSES, Dataset, DatasetError, Item

Level = Literal["frame", "video"]
_VIDEO = re.compile(r"(v(?P<non>Non)?Porn\d+)(?!\d)")
_DIFFICULTY = {"vnonporneasy": "easy", "vnonporndifficulty": "difficult", "vnonporndifficult": "difficult"}


def from_npdi(root: Path, level: Level = "frame", max_items: int = MAX_ITEMS) -> Dataset:
    """Read either layout.

    Args:
        root: The folder that everything lies in.
        level: `frame` for every picture, `video` for every video file.
        max_items: More files are refused.

    Returns:
        The files, each with its video as source and, where folders tell, the group `difficulty`.

    Raises:
        DatasetError: Where there are no such files, a name tells no video, or only one label is there.
    """
    if not root.is_dir():
        raise DatasetError("there is no such folder", root)
    suffixes = PICTURE_SUFFIXES if level == "frame" else VIDEO_SUFFIXES
    found = files(root, suffixes, max_items)
    if not found:
        raise DatasetError(f"holds no {'pictures' if level == 'frame' else 'videos'}", root)
    items = [_item(path, root) for path in found]
    labels = {item.label for item in items}
    for label in DEFAULT_CLASSES:
        if label not in labels:
            raise DatasetError(f"holds nothing of the label {label!r}", root, None, "label")
    return Dataset(tuple(items), root.absolute(), root.name)


def _item(path: Path, root: Path) -> Item:
    relative = path.relative_to(root)
    match = next(filter(None, (_VIDEO.match(part) for part in reversed(relative.parts))), None)
    if match is None:
        raise DatasetError("neither its name nor its folder begins with vPorn or vNonPorn and a number", path)
    label = DEFAULT_CLASSES[0 if match["non"] else 1]
    folders = [part.lower() for part in relative.parts[:-1]]
    if ("vporn" in folders and match["non"]) or (
        not match["non"] and any("vnonporn" in part for part in folders)
    ):
        raise DatasetError(f"lies in a folder of the other label than {match[1]}", path, None, "label")
    difficulty = next((_DIFFICULTY[part] for part in folders if part in _DIFFICULTY), "")
    return Item(relative.as_posix(), label, match[1], {"difficulty": difficulty} if difficulty else {})


__all__ = ["Level", "from_npdi"]
