"""A two-class task drawn from numbers, on which the laboratory is proven without any explicit picture.

A picture is `present` where a striped disc is somewhere in it, else `absent`. Discs of other textures are
everywhere, so roundness tells nothing; striped polygons are in some pictures of either kind, so who only sees
stripes is right about most pictures, and who sees what is striped about all. Clutter, uneven light, noise and
occlusion make that harder. As in real data some labels are wrong, one subgroup is rare (`light=night`),
pictures of one camera resemble each other, and rescaled, recompressed or mirrored copies are strewn in.

Equal settings give equal pictures, one by one: picture 7 does not depend on how many there are.
"""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from classifier import atomic_file
from classifier.datasets import manifest
from classifier.datasets.values import Classes, Dataset, Item

CLASSES: Classes = ("absent", "present")
MANIFEST_NAME = "manifest.csv"
TRUTH_NAME = "truth.csv"

# Plain is the usual: that there is a texture at all is what a model finds out first.
_TEXTURES = ("plain", "plain", "plain", "dots", "checker")
_CAMERA_SHARE = 0.4

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What to draw.

    Attributes:
        count: How many pictures, copies included.
        seed: Equal seeds give equal pictures.
        sizes_px: Sizes (width, height) to choose from.
        clutter: Objects beside the two that are always there, on average.
        decoy_share: Share of pictures, of either label, with a striped polygon in them.
        noise_share: Share of labels that are wrong.
        copy_share: Share of pictures that are altered copies of others.
        night_share: Share of the rare subgroup.
        drawing_share: Share of pictures of the medium `drawing` instead of `photo`.
        cameras: How many sources the pictures that have one come from.
    """

    count: int = 2000
    seed: int = 0
    sizes_px: tuple[tuple[int, int], ...] = ((64, 64),)
    clutter: float = 1.0
    decoy_share: float = 0.2
    noise_share: float = 0.03
    copy_share: float = 0.05
    night_share: float = 0.05
    drawing_share: float = 0.25
    cameras: int = 40


@dataclass(frozen=True, slots=True)
class ProxyPicture:
    """One drawn picture and the truth about it.

    Attributes:
        index: Its number.
        content: Encoded file.
        suffix: `.png`, or `.jpg` of a copy.
        true_label: What is in it.
        label: What the dataset says.
        source: Its camera, or empty.
        medium: `photo` or `drawing`.
        light: `day` or `night`.
        copy_of: Number of the picture that it is a copy of, else None.
    """

    index: int
    content: bytes
    suffix: str
    true_label: str
    label: str
    source: str
    medium: str
    light: str
    copy_of: int | None = None

    @property
    def path(self) -> str:
        """Where it goes, relative to the dataset's folder: an ImageFolder by the given label."""
        return f"{self.label}/{self.index:06d}{self.suffix}"


def write(
    folder: Path, settings: ProxySettings, progress: Callable[[int, int], None] | None = None
) -> Dataset:
    """Draw a dataset into a folder: pictures, `manifest.csv`, and `truth.csv` which nobody may train on.

    Args:
        folder: Made where it is missing.
        settings: What to draw.
        progress: Told after every picture how many are done, and of how many.

    Returns:
        The dataset, neither verified nor divided.

    Raises:
        OSError: Where the folder cannot be written.
    """
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
    items, paths, truth = [], {}, io.StringIO()
    rows = csv.writer(truth, lineterminator="\n")
    rows.writerow(("path", "true_label", "copy_of"))
    for picture in draw_all(settings):
        paths[picture.index] = picture.path
        (folder / picture.path).write_bytes(picture.content)
        original = "" if picture.copy_of is None else paths[picture.copy_of]
        rows.writerow((picture.path, picture.true_label, original))
        groups = {"light": picture.light, "medium": picture.medium}
        items.append(Item(picture.path, picture.label, picture.source, groups))
        if progress:
            progress(len(items), settings.count)
    atomic_file.write(folder / TRUTH_NAME, truth.getvalue().encode())
    dataset = Dataset(tuple(items), folder.absolute(), MANIFEST_NAME, CLASSES)
    manifest.write(dataset, folder / MANIFEST_NAME)
    return dataset


def draw_all(settings: ProxySettings) -> Iterator[ProxyPicture]:
    """Draw picture after picture; only a copy looks back, and draws its original again."""
    for index in range(settings.count):
        yield draw(index, settings)


def draw(index: int, settings: ProxySettings) -> ProxyPicture:
    """Draw one picture.

    Args:
        index: Its number, from 0.
        settings: What to draw; `count` has no influence.

    Returns:
        The picture.
    """
    original = _original_of(index, settings)
    if original is None:
        return _draw_original(index, settings)
    picture = _draw_original(original, settings)
    content = _altered(picture.content, np.random.default_rng((settings.seed, index, 1)))
    return replace(picture, index=index, content=content, suffix=".jpg", copy_of=original)


def _original_of(index: int, settings: ProxySettings) -> int | None:
    """The picture that this one is a copy of; copies are of pictures without a source."""
    rng = np.random.default_rng((settings.seed, index, 2))
    if index == 0 or rng.random() >= settings.copy_share:
        return None
    # Copies across cameras would tie all cameras together, and nothing could be divided any more.
    for candidate in rng.permutation(min(index, 64)):
        earlier = index - 1 - int(candidate)
        if not _camera(earlier, settings) and _original_of(earlier, settings) is None:
            return earlier
    return None


def _camera(index: int, settings: ProxySettings) -> str:
    rng = np.random.default_rng((settings.seed, index, 3))
    if settings.cameras == 0 or rng.random() >= _CAMERA_SHARE:
        return ""
    return f"camera-{int(rng.integers(settings.cameras)):03d}"


def _draw_original(index: int, settings: ProxySettings) -> ProxyPicture:
    rng = np.random.default_rng((settings.seed, index, 0))
    target = int(rng.integers(2))
    is_wrong = bool(rng.random() < settings.noise_share)
    light = "night" if rng.random() < settings.night_share else "day"
    medium = "drawing" if rng.random() < settings.drawing_share else "photo"
    source = _camera(index, settings)
    width_px, height_px = settings.sizes_px[int(rng.integers(len(settings.sizes_px)))]
    scene = _Scene(rng, width_px, height_px)
    scene.background()
    for shape, texture in _objects(rng, bool(target), settings):
        scene.add(shape, texture, outlined=medium == "drawing")
    image = scene.finish(medium, light, _tint(source, settings.seed))
    with io.BytesIO() as buffer:
        image.save(buffer, format="PNG")
        content = buffer.getvalue()
    labels = CLASSES[target], CLASSES[target ^ is_wrong]
    return ProxyPicture(index, content, ".png", *labels, source, medium, light)


def _objects(rng: np.random.Generator, present: bool, settings: ProxySettings) -> list[tuple[str, str]]:
    """What is in a scene, the rearmost first; how many objects there are tells nothing about the label."""
    has_decoy = rng.random() < settings.decoy_share
    objects = [("polygon", "stripes" if has_decoy else _other_texture(rng))]
    objects += [
        ("disc" if rng.random() < 0.6 else "polygon", _other_texture(rng))
        for _ in range(int(rng.poisson(settings.clutter)))
    ]
    # What decides comes last, so that nothing hides it.
    return [*objects, ("disc", "stripes" if present else _other_texture(rng))]


def _other_texture(rng: np.random.Generator) -> str:
    return str(rng.choice(_TEXTURES))


class _Scene:
    """A picture in the making: float32 (height, width, 3), 0..1."""

    def __init__(self, rng: np.random.Generator, width_px: int, height_px: int) -> None:
        self._rng = rng
        self._size = (width_px, height_px)
        ys, xs = np.mgrid[0:height_px, 0:width_px].astype(np.float32)
        self._unit_px = float(min(width_px, height_px))
        self._xs, self._ys = xs, ys
        self._pixels = np.zeros((height_px, width_px, 3), np.float32)

    def background(self) -> None:
        total = self._pixels
        for cells, weight in ((2, 0.25), (5, 0.16), (11, 0.1)):
            grid = self._rng.random((cells, cells, 3)).astype(np.float32)
            for channel in range(3):
                layer = Image.fromarray(grid[:, :, channel]).resize(self._size, Image.Resampling.BICUBIC)
                total[:, :, channel] += weight * np.asarray(layer)
        total += self._rng.random(3).astype(np.float32) * 0.5

    def add(self, shape: str, texture: str, *, outlined: bool) -> None:
        rng, unit = self._rng, self._unit_px
        radius = unit * rng.uniform(0.17, 0.3)
        margin = 0.8 * radius
        width_px, height_px = self._size
        dx = self._xs - rng.uniform(margin, max(width_px - margin, margin + 1))
        dy = self._ys - rng.uniform(margin, max(height_px - margin, margin + 1))
        turn, squeeze = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.0)
        across = np.cos(turn) * dx + np.sin(turn) * dy
        along = (np.cos(turn) * dy - np.sin(turn) * dx) / squeeze
        distance = _distance(shape, across, along, int(rng.integers(3, 6)))
        cover = np.clip(radius - distance + 0.5, 0, 1)[:, :, None]
        dark, bright = self._colours()
        mixed = _texture(texture, dx, dy, unit, rng)[:, :, None]
        self._pixels = self._pixels * (1 - cover) + (dark * (1 - mixed) + bright * mixed) * cover
        if outlined:
            edge = np.clip(1.5 - np.abs(distance - radius), 0, 1)[:, :, None]
            self._pixels *= 1 - 0.8 * edge

    def finish(self, medium: str, light: str, tint: Plane) -> Image.Image:
        rng, pixels = self._rng, self._pixels
        turn = rng.uniform(0, 2 * np.pi)
        slope = (np.cos(turn) * self._xs + np.sin(turn) * self._ys) / max(self._size)
        pixels = pixels * tint * (1 + rng.uniform(0, 0.7) * (slope - slope.mean()))[:, :, None]
        if medium == "drawing":
            pixels = np.round(pixels * 5) / 5
        else:
            pixels = pixels + rng.normal(0, rng.uniform(0.01, 0.045), pixels.shape)
        if light == "night":
            pixels = np.clip(pixels, 0, 1) ** 1.6 * 0.4 + rng.normal(0, 0.03, pixels.shape)
        image = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
        if medium == "photo" and rng.random() < 0.4:
            image = image.filter(ImageFilter.GaussianBlur(self._unit_px * rng.uniform(0.003, 0.012)))
        return image

    def _colours(self) -> tuple[Plane, Plane]:
        colours = self._rng.random((2, 3)).astype(np.float32)
        # Stripes that cannot be seen would be a wrong label.
        contrast = self._rng.uniform(0.35, 0.7)
        direction = np.sign(colours[1] - colours[0] + 1e-6)
        bright = colours[0] + direction * np.maximum(np.abs(colours[1] - colours[0]), contrast)
        return np.clip(colours[0], 0, 1), np.clip(bright, 0, 1).astype(np.float32)


def _distance(shape: str, across: Plane, along: Plane, corners: int) -> Plane:
    """How far a pixel is from the middle, so that the outline is where the distance is the radius."""
    if shape == "disc":
        return np.hypot(across, along)
    angles = np.arange(corners) * 2 * np.pi / corners
    sides = np.stack([np.cos(angle) * across + np.sin(angle) * along for angle in angles])
    return np.asarray(sides.max(axis=0) / np.cos(np.pi / corners) ** 0.5, np.float32)


def _texture(name: str, dx: Plane, dy: Plane, unit_px: float, rng: np.random.Generator) -> Plane:
    """Which of two colours a pixel has, 0..1."""
    wave_px, turn = unit_px * rng.uniform(0.1, 0.15), rng.uniform(0, np.pi)
    first = np.sin(2 * np.pi / wave_px * (np.cos(turn) * dx + np.sin(turn) * dy))
    second = np.sin(2 * np.pi / wave_px * (np.cos(turn) * dy - np.sin(turn) * dx))
    if name == "stripes":
        value = first
    elif name == "checker":
        value = first * second * 2
    elif name == "dots":
        value = first + second - 0.7
    else:
        value = np.full_like(first, -1)
    return np.asarray(np.clip(value * 2 + 0.5, 0, 1), np.float32)


def _tint(source: str, seed: int) -> Plane:
    """A camera colours all its pictures alike."""
    if not source:
        return np.ones(3, np.float32)
    rng = np.random.default_rng((seed, int(source.removeprefix("camera-")), 4))
    return rng.uniform(0.75, 1.15, 3).astype(np.float32)


def _altered(content: bytes, rng: np.random.Generator) -> bytes:
    """Rescaled, slightly brightened, compressed again, and now and then mirrored."""
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        copy = image.convert("RGB")
    factor = rng.uniform(0.75, 1.6)
    copy = copy.resize((max(8, round(copy.width * factor)), max(8, round(copy.height * factor))))
    gain = rng.uniform(0.95, 1.05)
    copy = copy.point(lambda value: round(min(255, value * gain)))
    if rng.random() < 0.25:
        copy = ImageOps.mirror(copy)
    with io.BytesIO() as buffer:
        copy.save(buffer, format="JPEG", quality=int(rng.integers(70, 93)))
        return buffer.getvalue()


__all__ = [
    "CLASSES",
    "MANIFEST_NAME",
    "TRUTH_NAME",
    "ProxyPicture",
    "ProxySettings",
    "draw",
    "draw_all",
    "write",
]
