"""Explanations as overlays and as a page that needs nothing but itself.

The picture below a map is grey and blurred unless somebody asks otherwise: where a network looks can be told
without showing to whoever opens the page what it looks at.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from classifier.datasets.sheets import BLUR_SHARE
from classifier.evaluation import report, wording
from classifier.evaluation.explain_values import Explanation, Heat, NotExplained
from classifier.evaluation.report import Section
from classifier.values import Pixels

_SIDE_PX = 320
"""Smaller pictures are enlarged to it: a map over a stamp says nothing."""
_COLOURS: Final = ((74, 12, 107), (165, 44, 96), (225, 100, 38), (247, 180, 30), (252, 255, 164))
"""From a little to most: matplotlib's `inferno` without its darkest part; rising brightness, so that it reads
without colours too."""
_MOST_COVER, _FIRST_HEAT = 0.75, 0.1
_MUTED, _SATURATION = 0.85, 0.3
"""Contrast that is left of a blurred picture, and colour of a sharp one, so that the map is what is seen."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained.

    Attributes:
        model: Its name.
        threshold: Flagged is whatever scores it or more.
        classes: Names of the negative and the positive class.
    """

    model: str
    threshold: float
    classes: tuple[str, str] = ("sfw", "nsfw")


@dataclass(frozen=True, slots=True)
class _Card:
    """One explanation as the page shows it; all plain text but the source of the picture."""

    source: str
    name: str
    where: str
    score: float
    decided: str
    flagged: bool
    explained: str
    other: str
    is_empty: bool
    truth: str
    wrong: bool


def overlay(pixels: Pixels, heat: Heat, *, blurred: bool = True) -> Image.Image:
    """Lay a map over its picture.

    Args:
        pixels: uint8 (h, w, 3), RGB.
        heat: float32 (rows, columns), 0..1.
        blurred: Whether the picture below is grey and blurred.

    Returns:
        Mode RGB, at least 320 pixels on the shorter side.
    """
    below = Image.fromarray(pixels)
    if blurred:
        # Before it is enlarged, so that nothing sharper is ever made.
        below = below.convert("L").filter(ImageFilter.GaussianBlur(BLUR_SHARE * min(below.size)))
        below = below.point(lambda value: round(128 + _MUTED * (value - 128))).convert("RGB")
    else:
        below = ImageEnhance.Color(below).enhance(_SATURATION)
    factor = max(1.0, _SIDE_PX / min(below.size))
    size = (round(below.width * factor), round(below.height * factor))
    below = below.resize(size, Image.Resampling.BICUBIC)
    smooth = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    cover = _MOST_COVER * ((smooth - _FIRST_HEAT) / (1 - _FIRST_HEAT)).clip(0, 1) ** 1.2
    mixed = np.asarray(below) * (1 - cover[:, :, None]) + _coloured(smooth) * cover[:, :, None]
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def render(
    explanations: Sequence[Explanation | NotExplained], subject: Subject, *, blurred: bool = True
) -> str:
    """Render the page; all that is somebody's words is escaped.

    Args:
        explanations: What was found, in this order.
        subject: The model.
        blurred: As for `overlay`.

    Returns:
        HTML.
    """
    cards = [_card(one, subject, blurred) for one in explanations if isinstance(one, Explanation)]
    return report.template("explain.html").render(
        subject=subject,
        cards=cards,
        failures=[one for one in explanations if isinstance(one, NotExplained)],
        blurred=blurred,
        css=report.stylesheet(),
        scale=", ".join(f"rgb{colour}" for colour in _COLOURS),
    )


def section(
    explanations: Sequence[Explanation | NotExplained], subject: Subject, *, blurred: bool = True
) -> Section:
    """The worst errors of an evaluation, for its report; arguments as for `render`."""
    figures = []
    for one in explanations:
        if isinstance(one, NotExplained):
            continue
        card = _card(one, subject, blurred)
        truth = f", is {card.truth}" if card.truth else ""
        caption = f"Scores {card.score:.3f} ({card.decided}{truth}); {_said(card)}."
        figures.append(report.picture(jpeg(one, blurred=blurred), caption, card.name + card.where, caption))
    missing = len(explanations) - len(figures)
    words = [
        "The wrong decisions that the model was surest of, and which region spoke for them (Grad-CAM). A map "
        "on the right spot is no proof that a decision rests on the right reason."
    ]
    if blurred:
        words.append("Pictures are blurred and grey on purpose.")
    if missing:
        words.append(f"{wording.count(missing)} of them could not be decoded.")
    return Section("Worst errors explained", tuple(words), figures=tuple(figures))


def jpeg(explanation: Explanation, *, blurred: bool = True) -> bytes:
    """An explanation's overlay as a file."""
    with io.BytesIO() as buffer:
        overlay(explanation.pixels, explanation.explained.heat, blurred=blurred).save(
            buffer, format="JPEG", quality=88
        )
        return buffer.getvalue()


def _card(one: Explanation, subject: Subject, blurred: bool) -> _Card:
    explained = one.explained
    flagged = explained.score >= subject.threshold
    content = base64.b64encode(jpeg(one, blurred=blurred)).decode()
    return _Card(
        source=f"data:image/jpeg;base64,{content}",
        name=one.name,
        where=_where(one),
        score=explained.score,
        decided=subject.classes[flagged],
        flagged=flagged,
        explained=subject.classes[explained.positive],
        other=subject.classes[not explained.positive],
        is_empty=not explained.heat.any(),
        truth="" if one.truth is None else subject.classes[one.truth],
        wrong=one.truth is not None and one.truth != flagged,
    )


def _said(card: _Card) -> str:
    if card.is_empty:
        return f"no region speaks for {card.explained}"
    return f"the map shows what speaks for {card.explained}"


def _where(one: Explanation) -> str:
    if one.page is not None:
        return f", page {one.page}"
    if one.at_s is None:
        return ""
    minutes, seconds = divmod(one.at_s, 60)
    return f", at {int(minutes)}:{seconds:04.1f}"


def _coloured(heat: Heat) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    stops = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(heat, stops, [colour[channel] for colour in _COLOURS]) for channel in range(3)]
    return np.stack(channels, axis=2)


__all__ = ["Subject", "jpeg", "overlay", "render", "section"]
