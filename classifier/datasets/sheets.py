"""Contact sheets: what a label looks like at a glance, blurred unless somebody asks otherwise.

The pictures are chosen so that they stand for the dataset: by chance with a seed, one of each group of near
duplicates, and evenly over the values of a column where one is named. They are decoded in workers, like
everything that came from strangers, as squares: the aspect ratio is not kept.
"""

import hashlib
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

from classifier.datasets.near import duplicate_groups
from classifier.datasets.values import Dataset, DatasetError, Item
from classifier.datasets.verify import Progress, looking_at, pictures_of
from classifier.decode.sandbox import DecodePool
from classifier.errors import DecodeError

BLUR_SHARE = 0.08
"""Radius of the blur by the side of a picture: scenes and colours stay, bodies and faces do not."""
_GAP_PX = 4
_PAPER, _CROSS = (246, 247, 249), (160, 30, 30)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One contact sheet.

    Attributes:
        label: The label of all its pictures.
        items: What is on it, row by row.
        jpeg: The sheet.
        is_blurred: Whether nobody has to be warned of it.
    """

    label: str
    items: tuple[Item, ...]
    jpeg: bytes
    is_blurred: bool


def contact_sheets(
    dataset: Dataset,
    *,
    count: int = 24,
    columns: int = 6,
    side_px: int = 112,
    seed: int = 0,
    spread_over: str = "",
    blurred: bool = True,
    workers: int = 2,
    progress: Progress | None = None,
) -> tuple[Sheet, ...]:
    """Make a sheet for each label.

    Args:
        dataset: The pictures; verified, if duplicates are to be left out.
        count: Most pictures on a sheet.
        columns: How many stand in a row.
        side_px: Side of one picture, 256 at most.
        seed: Decides which.
        spread_over: A group's name: its values get equally many pictures as far as there are so many.
        blurred: False shows them as they are.
        workers: How many processes decode.
        progress: Told after every picture.

    Returns:
        A sheet for every label that has pictures; what cannot be decoded is crossed out.

    Raises:
        ClassifierError: Where decode workers do not start.
    """
    sheets = []
    by_label = {label: representatives(dataset, label, count, seed, spread_over) for label in dataset.classes}
    total = sum(len(chosen) for chosen in by_label.values())
    done = 0
    with DecodePool(looking_at(), workers) as pool:
        for label, chosen in by_label.items():
            tiles = []
            for item in chosen:
                tiles.append(_tile(dataset, item, pool, side_px, blurred))
                done += 1
                if progress:
                    progress(done, total)
            if tiles:
                sheets.append(Sheet(label, chosen, _sheet(tiles, columns, side_px), blurred))
    return tuple(sheets)


def sheet_of(
    dataset: Dataset,
    items: Sequence[Item],
    *,
    columns: int = 6,
    side_px: int = 112,
    blurred: bool = True,
    workers: int = 2,
) -> Sheet:
    """Make a sheet of the very pictures that are given, in their order.

    Args:
        dataset: Where they belong.
        items: At least one.
        columns: As for `contact_sheets`, like the rest.
        side_px: Side of one picture.
        blurred: False shows them as they are.
        workers: How many processes decode.

    Returns:
        The sheet; its label is empty. What cannot be decoded, or is not on this disk, is crossed out.

    Raises:
        ClassifierError: Where decode workers do not start.
    """
    with DecodePool(looking_at(), workers) as pool:
        tiles = [_tile(dataset, item, pool, side_px, blurred) for item in items]
    return Sheet("", tuple(items), _sheet(tiles, columns, side_px), blurred)


def representatives(
    dataset: Dataset, label: str, count: int, seed: int = 0, spread_over: str = ""
) -> tuple[Item, ...]:
    """Choose pictures that stand for a label.

    Args:
        dataset: The pictures; those that are not on this disk are never chosen.
        label: The label.
        count: Most that are wanted.
        seed: Decides which.
        spread_over: See `contact_sheets`.

    Returns:
        The pictures; the same ones for the same data, in whatever order it comes.
    """

    def rank(item: Item) -> str:
        return hashlib.sha256(f"{seed}:{item.sha256}:{item.path}".encode()).hexdigest()

    items = sorted((item for item in dataset.items if item.label == label and not item.is_remote), key=rank)
    groups = duplicate_groups(items).tolist()
    queues: dict[str, list[Item]] = defaultdict(list)
    for index, (item, first) in enumerate(zip(items, groups, strict=True)):
        if first == index:
            queues[item.groups.get(spread_over, "")].append(item)
    chosen: list[Item] = []
    turn = 0
    while len(chosen) < count and any(turn < len(queue) for queue in queues.values()):
        chosen += [queues[value][turn] for value in sorted(queues) if turn < len(queues[value])]
        turn += 1
    return tuple(chosen[:count])


def _tile(dataset: Dataset, item: Item, pool: DecodePool, side_px: int, blurred: bool) -> Image.Image:
    try:
        pixels = pictures_of(dataset.path_of(item), pool)[0]
    except (DecodeError, DatasetError):
        crossed = Image.new("RGB", (side_px, side_px), _PAPER)
        ImageDraw.Draw(crossed).line((0, 0, side_px, side_px), fill=_CROSS, width=2)
        return crossed
    tile = Image.fromarray(pixels.copy()).resize((side_px, side_px), Image.Resampling.LANCZOS)
    return tile.filter(ImageFilter.GaussianBlur(BLUR_SHARE * side_px)) if blurred else tile


def _sheet(tiles: Sequence[Image.Image], columns: int, side_px: int) -> bytes:
    columns = min(columns, len(tiles))
    rows, step = -(-len(tiles) // columns), side_px + _GAP_PX
    sheet = Image.new("RGB", (columns * step + _GAP_PX, rows * step + _GAP_PX), _PAPER)
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (_GAP_PX + index % columns * step, _GAP_PX + index // columns * step))
    with io.BytesIO() as buffer:
        sheet.save(buffer, format="JPEG", quality=85)
        return buffer.getvalue()


__all__ = ["BLUR_SHARE", "Sheet", "contact_sheets", "representatives", "sheet_of"]
