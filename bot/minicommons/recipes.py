"""The corpus as a list: every upload, how its bytes are made, and what is expected of the bot.

The order is the order of publication. An expected code is what the bot's own stages end in; the reason
stands in the note, which also becomes the description on the wiki.
"""

from collections.abc import Sequence
from pathlib import Path

from bot.minicommons import motion, pictures
from bot.minicommons.mishaps import BAD, STORIES
from bot.minicommons.pictures import Built, Pixels, scene
from bot.minicommons.plan import SCORED_NSFW, SCORED_SFW
from bot.minicommons.positives import Positives
from bot.minicommons.recipe import JPEG, OGG, PNG, SVG, TIFF, Builder, Recipe, plain, simple


def _positive_jpeg(key: str, width: int | None) -> Builder:
    return lambda folder, positives: pictures.jpeg(folder, positives.picture(key, width), quality=92)


def _with_positive(frames: Sequence[Pixels], positive: Pixels, start: int, end: int) -> list[Pixels]:
    return [positive if start <= number < end else frame for number, frame in enumerate(frames)]


def _positive_webp(folder: Path, positives: Positives) -> Built:
    positive = positives.picture("first", 400)
    height, width = positive.shape[:2]
    return motion.webp(
        folder, _with_positive(motion.moving_scene(width, height, 41, 9), positive, 4, 5), 1000
    )


def _positive_webm(folder: Path, positives: Positives) -> Built:
    positive = positives.picture("video", 480)
    height, width = positive.shape[:2]
    frames = _with_positive(motion.moving_scene(width, height, 42, 120), positive, 50, 70)
    return motion.webm(folder, frames, "vp9", reduced_height=240)


def _positive_tiff(folder: Path, positives: Positives) -> Built:
    positive = positives.picture("second")
    height, width = positive.shape[:2]
    pages = [scene(width, height, 50 + number) for number in range(5)]
    return pictures.tiff(folder, [*pages[:2], positive, *pages[3:]])


_STILLS = (
    Recipe(
        "jpeg-baseline",
        "Hills at noon.jpg",
        JPEG,
        plain(960, 640, 1),
        SCORED_SFW,
        "Baseline JPEG.",
        bulk=True,
    ),
    Recipe(
        "jpeg-progressive",
        "Hills, progressive — Hügel (1).jpg",
        JPEG,
        plain(800, 600, 2, progressive=True),
        SCORED_SFW,
        "Progressive JPEG; the title has a dash, an umlaut, a comma and brackets.",
        bulk=True,
    ),
    Recipe(
        "jpeg-portrait", "Portrait hills.jpg", JPEG, plain(480, 720, 3), SCORED_SFW, "Upright.", bulk=True
    ),
    Recipe(
        "jpeg-narrow",
        "Tiny hills.jpg",
        JPEG,
        plain(200, 150, 4),
        SCORED_SFW,
        "Narrower than the thumbnail step: the API gives the original.",
    ),
    Recipe("jpeg-cmyk", "Printed hills.jpg", JPEG, plain(640, 480, 5, cmyk=True), SCORED_SFW, "CMYK."),
    Recipe(
        "jpeg-rotated",
        "Hills from a phone.jpg",
        JPEG,
        lambda folder, _: pictures.rotated_jpeg(folder, scene(480, 640, 6)),
        SCORED_SFW,
        "EXIF orientation 6.",
    ),
    Recipe(
        "jpeg-12mp",
        "Hills in full resolution.jpg",
        JPEG,
        lambda folder, _: pictures.large_jpeg(folder, 7),
        SCORED_SFW,
        "Twelve megapixels.",
    ),
    Recipe(
        "png-alpha",
        "Fading hills.png",
        PNG,
        lambda folder, _: pictures.transparent_png(folder, scene(640, 480, 8)),
        SCORED_SFW,
        "PNG with alpha.",
    ),
    Recipe(
        "png-16bit",
        "Deep hills.png",
        PNG,
        lambda folder, _: pictures.deep_png(folder, scene(320, 240, 9)),
        SCORED_SFW,
        "PNG of 16 bits a channel, narrower than the step.",
    ),
    Recipe(
        "png-palette",
        "Poster hills.png",
        PNG,
        lambda folder, _: pictures.palette_png(folder, scene(300, 200, 10)),
        SCORED_SFW,
        "PNG with a palette and a transparent colour, narrower than the step.",
    ),
    Recipe(
        "svg",
        "House and hills.svg",
        SVG,
        lambda folder, _: pictures.svg(folder),
        SCORED_SFW,
        "SVG, rendered by the wiki.",
        "DRAWING",
    ),
    Recipe(
        "tiff",
        "Scanned hills.tif",
        TIFF,
        lambda folder, _: pictures.tiff(folder, [scene(500, 400, 11 + n) for n in range(4)]),
        SCORED_SFW,
        "TIFF with four pages.",
    ),
    Recipe(
        "pdf",
        "Report on hills.pdf",
        "application/pdf",
        lambda folder, _: pictures.pdf(folder, [scene(420, 594, 20 + n) for n in range(3)]),
        SCORED_SFW,
        "PDF with three pages.",
        "OFFICE",
    ),
)

_MOVING = (
    Recipe(
        "gif",
        "Wandering square.gif",
        "image/gif",
        lambda folder, _: motion.gif(folder, motion.moving_scene(320, 240, 30, 10)),
        SCORED_SFW,
        "Animated GIF.",
    ),
    Recipe(
        "webp",
        "Wandering square.webp",
        "image/webp",
        lambda folder, _: motion.webp(folder, motion.moving_scene(320, 240, 31, 8)),
        SCORED_SFW,
        "Animated WebP.",
    ),
    Recipe(
        "vp9",
        "Wandering square, VP9.webm",
        "video/webm",
        lambda folder, _: motion.webm(folder, motion.moving_scene(480, 360, 32, 40), "vp9", 240),
        SCORED_SFW,
        "VP9 with a transcode.",
        "VIDEO",
    ),
    Recipe(
        "av1",
        "Wandering square, AV1.webm",
        "video/webm",
        lambda folder, _: motion.webm(folder, motion.moving_scene(320, 240, 33, 30), "av1"),
        SCORED_SFW,
        "AV1 without a transcode yet.",
        "VIDEO",
    ),
    Recipe(
        "theora",
        "Wandering square.ogv",
        OGG,
        lambda folder, _: motion.theora(folder, motion.moving_scene(320, 240, 34, 30)),
        SCORED_SFW,
        "Theora in Ogg.",
        "VIDEO",
    ),
    Recipe("opus", "Tone.ogg", OGG, simple(motion.opus), "skip:audio", "Opus in Ogg.", "AUDIO"),
    Recipe("wav", "Tone.wav", "audio/wav", simple(motion.wav), "skip:audio", "WAV.", "AUDIO"),
)

_POSITIVE = (
    Recipe(
        "positive",
        "Striped gradient.jpg",
        JPEG,
        _positive_jpeg("first", None),
        SCORED_NSFW,
        "A harmless positive.",
        positive=True,
    ),
    Recipe(
        "positive-large",
        "Striped gradient, large.jpg",
        JPEG,
        _positive_jpeg("first", 1200),
        SCORED_NSFW,
        "A harmless positive, enlarged.",
        positive=True,
    ),
    Recipe(
        "positive-small",
        "Striped gradient, small.jpg",
        JPEG,
        _positive_jpeg("second", 400),
        SCORED_NSFW,
        "A harmless positive, reduced.",
        positive=True,
    ),
    Recipe(
        "positive-png",
        "Striped gradient.png",
        PNG,
        lambda folder, positives: pictures.png(folder, positives.picture("second")),
        SCORED_NSFW,
        "A harmless positive as PNG.",
        positive=True,
    ),
    Recipe(
        "positive-webp",
        "One striped frame.webp",
        "image/webp",
        _positive_webp,
        SCORED_NSFW,
        "One positive frame in the middle of nine.",
        positive=True,
    ),
    Recipe(
        "positive-webm",
        "Two striped seconds.webm",
        "video/webm",
        _positive_webm,
        SCORED_NSFW,
        "Two positive seconds in the middle of twelve.",
        "VIDEO",
        positive=True,
    ),
    Recipe(
        "positive-tiff",
        "One striped page.tif",
        TIFF,
        _positive_tiff,
        SCORED_NSFW,
        "A positive third page of five.",
        positive=True,
    ),
)

RECIPES: tuple[Recipe, ...] = _STILLS + _MOVING + BAD + STORIES + _POSITIVE
SMALL: tuple[str, ...] = ("jpeg-baseline", "jpeg-progressive", "jpeg-portrait")
"""Names of a corpus that is made in a moment, enough for bulk uploads."""
