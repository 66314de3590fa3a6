"""What a recipe of the corpus is, and the builders that several of them share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bot.minicommons import pictures
from bot.minicommons.pictures import Built, scene
from bot.minicommons.plan import MediaFault, MediaType, Story
from bot.minicommons.positives import Positives

Builder = Callable[[Path, Positives], Built]

JPEG = "image/jpeg"
PNG = "image/png"
TIFF = "image/tiff"
SVG = "image/svg+xml"
OGG = "application/ogg"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one specimen comes about; the fields are those of `Specimen`.

    Attributes:
        name: Key.
        title: Title without the namespace.
        mime: Type as the API gives it.
        build: Writes the bytes into a folder.
        expected: What the bot should record.
        note: One sentence for people.
        mediatype: MediaWiki's media type.
        story: What happens around the upload.
        fault: How the media server misbehaves.
        moved_to: New title, without the namespace.
        bulk: Whether `publish_many` may use it.
        positive: Whether it depends on the model's weights.
    """

    name: str
    title: str
    mime: str
    build: Builder
    expected: str
    note: str
    mediatype: MediaType = "BITMAP"
    story: Story = "uploaded"
    fault: MediaFault = field(default_factory=MediaFault)
    moved_to: str | None = None
    bulk: bool = False
    positive: bool = False


def plain(width: int, height: int, seed: int, *, progressive: bool = False, cmyk: bool = False) -> Builder:
    """A JPEG of a scene.

    Args:
        width: Pixels.
        height: Pixels.
        seed: Chooses the scene.
        progressive: Progressive instead of baseline.
        cmyk: Four inks instead of three colours.

    Returns:
        The builder.
    """
    return lambda folder, _: pictures.jpeg(
        folder, scene(width, height, seed), progressive=progressive, cmyk=cmyk
    )


def simple(build: Callable[[Path], Built]) -> Builder:
    """A builder that needs nothing but a folder."""
    return lambda folder, _: build(folder)
