"""Harmless positives for the corpus: a few pictures pushed over the threshold, reused at several sizes.

The descent is the corpus' only expensive step, so its results are kept in the corpus folder, under the
weights' hash; what survives rescaling can be rescaled instead of being made anew.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from bot.errors import BotError
from bot.minicommons.pictures import Pixels
from classifier.errors import ClassifierError
from classifier.models import catalogue

MODEL = "open_nsfw"
_SIZES: dict[str, tuple[int, int]] = {"first": (640, 480), "second": (640, 426), "video": (320, 240)}
_SEEDS = {"first": 1, "second": 2, "video": 3}


class CorpusError(BotError):
    """The corpus cannot be generated; the message says what is missing."""


class Positives:
    """Makes and keeps the positive pictures.

    Args:
        directory: Where they are kept.
        model_cache: Where the model's weights lie; None: the user's cache folder.
    """

    def __init__(self, directory: Path, model_cache: Path | None) -> None:
        self._directory = directory
        self._model_cache = model_cache
        self._network: object | None = None

    def stamp(self) -> str:
        """What the pictures depend on."""
        return catalogue.card(MODEL).weights_sha256[:12]

    def picture(self, key: str, width: int | None = None) -> Pixels:
        """A positive picture.

        Args:
            key: `first`, `second`, or `video` for one that survives a codec.
            width: Rescaled to this width; None leaves its own size.

        Returns:
            uint8 array (height, width, 3), RGB.

        Raises:
            CorpusError: Where the model cannot be loaded or pushed.
        """
        path = self._directory / f"{key}-{self.stamp()}.png"
        if not path.exists():
            self._make(key, path)
        with Image.open(path) as image:
            if width is None:
                return np.array(image)
            height = round(image.height * width / image.width)
            return np.array(image.resize((width, height), Image.Resampling.BICUBIC))

    def _make(self, key: str, path: Path) -> None:
        # Imported here: a corpus without positives needs no torch.
        from classifier.training.adversarial import gradient_picture, make_positive

        try:
            network = catalogue.load(MODEL, self._model_cache).network
            picture = make_positive(
                network,
                gradient_picture(*_SIZES[key], seed=_SEEDS[key]),
                robust="video" if key == "video" else "picture",
                seed=_SEEDS[key],
            )
        except ClassifierError as error:
            raise CorpusError(f"no harmless positive {key!r}: {error}") from error
        self._directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._directory, suffix=".png", delete=False) as file:
            Image.fromarray(picture).save(file, "PNG")
        Path(file.name).replace(path)
