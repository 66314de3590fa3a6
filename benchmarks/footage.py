"""Procedural footage: shots of moving textures, cut, faded and grainy, as dear to decode as real films.

Nothing is filmed or fetched. What makes real footage dear is in it: detail on every scale with hard edges,
camera moves with shake, things moving against the background, parts that ripple and fit no motion vector,
flicker, grain, cuts every few seconds, dissolves and fades. Equal arguments give equal frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from classifier.values import Pixels

VERSION = 1
"""To be raised with every change that makes other frames; it is part of the names of cached clips."""

Floats = NDArray[np.float32]
# A film's shots last some seconds; a few stay long, and those decide how far apart keyframes lie.
_MEDIAN_SHOT_S, _SHOT_SPREAD, _SHORTEST_S, _LONGEST_S = 5.0, 0.7, 1.5, 20.0
_TRANSITION_S = 0.8
_TRANSITIONS, _SHARES = ("cut", "dissolve", "fade"), (0.75, 0.15, 0.10)
_GRAIN_FIELDS = 8
_GRAIN_MARGIN_PX = 64


@dataclass(frozen=True, slots=True)
class Shot:
    """One shot of a film.

    Attributes:
        frames: Its length, without the transition to the next one.
        transition: How it ends: `cut`, `dissolve` or `fade` (through black).
        action: How much moves, 0 (an interview) to 1 (sport).
        seed: Of its pictures.
    """

    frames: int
    transition: str
    action: float
    seed: int


def shots(frames: int, rate: int, seed: int) -> list[Shot]:
    """Cut a film into shots.

    Args:
        frames: Length of the film, at least 1.
        rate: Frames per second.
        seed: Chooses lengths, transitions and movement.

    Returns:
        Shots whose lengths add up to the film's; the last one ends in a cut.
    """
    rng = np.random.default_rng(seed)
    plan: list[Shot] = []
    left = frames
    while left > 0:
        wanted_s = float(
            np.clip(rng.lognormal(np.log(_MEDIAN_SHOT_S), _SHOT_SPREAD), _SHORTEST_S, _LONGEST_S)
        )
        length = min(left, max(round(wanted_s * rate), 1))
        left -= length
        transition = str(rng.choice(_TRANSITIONS, p=_SHARES)) if left else "cut"
        plan.append(Shot(length, transition, float(rng.beta(1.2, 2.0)), int(rng.integers(2**31))))
    return plan


def film(
    width: int, height: int, frames: int, rate: int = 24, seed: int = 0, grain: float = 3.0
) -> Iterator[Pixels]:
    """Draw a film.

    Args:
        width: Pixels, at least 16.
        height: Pixels, at least 16.
        frames: Its length.
        rate: Frames per second.
        seed: Chooses everything in it.
        grain: Standard deviation of the film grain in steps of 0..255.

    Yields:
        uint8 (height, width, 3), BGR.
    """
    plan = shots(frames, rate, seed)
    fields = _grain_fields(width, height, grain, seed)
    rng = np.random.default_rng(seed + 1)
    overlap = round(_TRANSITION_S * rate)
    previous: _Scene | None = None
    for number, shot in enumerate(plan):
        scene = _Scene(width, height, shot)
        entry = plan[number - 1].transition if number else "cut"
        for index in range(shot.frames):
            picture = scene.draw(index)
            if previous is not None and entry != "cut" and index < overlap:
                share = (index + 1) / (overlap + 1)
                picture = _mixed(previous.draw(previous.shot.frames + index), picture, share, entry)
            yield _with_grain(picture, fields, rng)
        previous = scene


def slides(width: int, height: int, frames: int, rate: int = 24, seed: int = 0) -> Iterator[Pixels]:
    """Draw a recorded lecture: pictures that stand still for ten seconds, which a codec needs few bytes for.

    Args:
        width: Pixels.
        height: Pixels.
        frames: Length.
        rate: Frames per second.
        seed: Chooses the pictures.

    Yields:
        uint8 (height, width, 3), BGR.
    """
    stand = 10 * rate
    picture = np.zeros((height, width, 3), np.uint8)
    for index in range(frames):
        if index % stand == 0:
            picture = _Scene(width, height, Shot(stand, "cut", 0.0, seed + index)).draw(0)
        yield picture


def lively(picture: Pixels, frames: int, seed: int = 0, grain: float = 2.0) -> Iterator[Pixels]:
    """Show one picture as if it were filmed: with flicker and grain, since codecs leave out equal frames.

    Args:
        picture: uint8 (height, width, 3), BGR.
        frames: How long.
        seed: Chooses the grain.
        grain: Its standard deviation in steps of 0..255.

    Yields:
        uint8 (height, width, 3), BGR.
    """
    rng = np.random.default_rng(seed)
    fields = _grain_fields(picture.shape[1], picture.shape[0], grain, seed)
    for index in range(frames):
        flickering = cv2.convertScaleAbs(picture, alpha=1.0 + 0.02 * (index % 2))
        yield _with_grain(np.asarray(flickering, np.uint8), fields, rng)


class _Scene:
    """What is before the camera during one shot."""

    def __init__(self, width: int, height: int, shot: Shot) -> None:
        self.shot = shot
        self._size = (width, height)
        rng = np.random.default_rng(shot.seed)
        action = shot.action
        self._canvas = _backdrop(2 * width, 2 * height, rng)
        angle = rng.uniform(0, 2 * np.pi)
        speed = action * rng.uniform(0.2, 4.0) * width / 854
        self._velocity = (speed * np.cos(angle), speed * np.sin(angle) / 2)
        self._zoom = 1 + rng.choice([0.0, 1.0, -1.0], p=[0.6, 0.2, 0.2]) * 0.0015 * action
        self._shake_px = rng.uniform(0.0, 1.5) * action
        self._shake_phase = rng.uniform(0, 2 * np.pi, 4)
        self._ripple_px = rng.choice([0.0, 1.0]) * rng.uniform(0.5, 3.0) * (0.3 + action)
        self._flicker = rng.normal(0, 0.006, 64)
        self._columns = np.arange(width, dtype=np.float32)[None, :]
        self._rows = np.arange(height, dtype=np.float32)[:, None]
        count = int(rng.integers(1, 4))
        self._things = [_Thing(width, height, action, rng) for _ in range(count)]

    def draw(self, index: int) -> Pixels:
        """The frame of that number; may lie past the shot's end, where a dissolve still shows it."""
        width, height = self._size
        scale = np.float32(self._zoom**index)
        a, b, c, d = self._shake_phase
        left = (
            width / 2
            + index * self._velocity[0]
            + self._shake_px * (np.sin(0.31 * index + a) + np.sin(0.83 * index + b))
        )
        top = (
            height / 2
            + index * self._velocity[1]
            + self._shake_px * (np.sin(0.37 * index + c) + np.sin(0.71 * index + d))
        )
        x = np.broadcast_to(
            (self._columns - width / 2) * scale + np.float32(left + width / 2), (height, width)
        )
        y = np.broadcast_to((self._rows - height / 2) * scale + np.float32(top + height / 2), (height, width))
        if self._ripple_px:
            # Waves in the lower half only: what fits no motion vector, as water and leaves do.
            strength = np.float32(self._ripple_px) * np.clip(2 * self._rows / height - 0.8, 0, 1)
            x = x + strength * np.sin(self._rows * 0.21 + np.float32(0.5 * index))
            y = y + strength * np.sin(self._columns * 0.13 + np.float32(0.37 * index))
        picture = np.asarray(
            cv2.remap(
                self._canvas,
                np.ascontiguousarray(x, np.float32),
                np.ascontiguousarray(y, np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT_101,
            ),
            np.uint8,
        )
        for thing in self._things:
            thing.draw_on(picture, index)
        gain = 1 + float(self._flicker[index % len(self._flicker)])
        return np.asarray(cv2.convertScaleAbs(picture, alpha=gain), np.uint8)


class _Thing:
    """Something that moves and turns before the background."""

    def __init__(self, width: int, height: int, action: float, rng: np.random.Generator) -> None:
        side = int(rng.uniform(0.2, 0.45) * height) // 2 * 2
        self._side = max(side, 8)
        self._texture = _backdrop(self._side, self._side, rng)
        # Soft at the rim, as things out of focus are.
        axis = np.linspace(-1, 1, self._side, dtype=np.float32)
        radius = np.hypot(axis[None, :] * rng.uniform(1.0, 1.6), axis[:, None])
        self._alpha = np.clip((1 - radius) * 6, 0, 1)[:, :, None].astype(np.float32)
        self._room = (max(width - self._side, 1), max(height - self._side, 1))
        self._frequency = rng.uniform(0.004, 0.05, 2) * (0.2 + action)
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        self._turn = float(rng.normal(0, 1.5) * action)

    def draw_on(self, picture: Pixels, index: int) -> None:
        side, half = self._side, self._side / 2
        turned = cv2.getRotationMatrix2D((half, half), self._turn * index, 1.0)
        texture = cv2.warpAffine(self._texture, turned, (side, side), borderMode=cv2.BORDER_REFLECT_101)
        waves = 0.5 + 0.5 * np.sin(self._frequency * index + self._phase)
        left, top = int(waves[0] * self._room[0]), int(waves[1] * self._room[1])
        under = picture[top : top + side, left : left + side]
        rows, columns = under.shape[:2]
        difference = texture[:rows, :columns].astype(np.float32) - under
        under[...] = (under + self._alpha[:rows, :columns] * difference).astype(np.uint8)


def _backdrop(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Structure on every scale, falling with frequency, and some hard edges."""
    total = np.zeros((height, width, 3), np.float32)
    weight, cells = 1.0, 2
    while cells < max(width, height):
        shape = (max(cells * height // width, 2), cells)
        # Brightness varies more than colour does.
        grid = rng.normal(0, 1, (*shape, 1)) + rng.normal(0, 0.3, (*shape, 3))
        total += weight * cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        weight, cells = weight * rng.uniform(0.6, 0.85), cells * 2
    pixels: Pixels = (255 / (1 + np.exp(-1.2 * total))).astype(np.uint8)
    for _ in range(int(rng.integers(10, 60))):
        centre = rng.uniform(0, 1, 2) * (width, height)
        extent = rng.exponential(0.03)
        around = rng.normal(0, extent, (int(rng.integers(3, 6)), 2)) * (width, height)
        colour = tuple(int(value) for value in rng.integers(10, 245, 3))
        points = np.rint(centre + around).astype(np.int32)
        if rng.random() < 0.5:
            cv2.fillPoly(pixels, [points], colour, cv2.LINE_AA)
        else:
            cv2.polylines(
                pixels,
                [points],
                isClosed=True,
                color=colour,
                thickness=max(height // 240, 1),
                lineType=cv2.LINE_AA,
            )
    return pixels


def _mixed(before: Pixels, after: Pixels, share: float, transition: str) -> Pixels:
    if transition == "fade":
        shown, light = (before, 1 - 2 * share) if share < 0.5 else (after, 2 * share - 1)
        return np.asarray(cv2.convertScaleAbs(shown, alpha=light), np.uint8)
    return np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), np.uint8)


def _grain_fields(width: int, height: int, strength: float, seed: int) -> NDArray[np.int8]:
    rng = np.random.default_rng(seed + 2)
    shape = (_GRAIN_FIELDS, height + _GRAIN_MARGIN_PX, width + _GRAIN_MARGIN_PX, 1)
    luma = rng.normal(0, strength, shape)
    colour = rng.normal(0, strength / 3, (*shape[:3], 3))
    return np.asarray(np.clip(np.rint(luma + colour), -127, 127), np.int8)


def _with_grain(picture: Pixels, fields: NDArray[np.int8], rng: np.random.Generator) -> Pixels:
    height, width = picture.shape[:2]
    top, left = rng.integers(0, _GRAIN_MARGIN_PX, 2)
    number = int(rng.integers(len(fields)))
    field = fields[number, top : top + height, left : left + width]
    return np.asarray(cv2.add(picture, np.ascontiguousarray(field), dtype=cv2.CV_8U), np.uint8)


__all__ = ["VERSION", "Shot", "film", "lively", "shots", "slides"]
