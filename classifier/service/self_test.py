"""Before anybody is told that the service is ready, a known picture goes the whole way: file, worker, model.

The picture is drawn, harmless and always the same. What its score is depends on the model; that it is a
score, and the same one twice, does not.
"""

import io
import math
from typing import Final

import numpy as np
from PIL import Image

from classifier.errors import ModelError
from classifier.service.answers import Wanted
from classifier.service.deadline import Deadline
from classifier.service.scoring import ScoringDesk
from classifier.service.upload import Spool, Upload
from classifier.values import Level

TIMEOUT_S: Final = 60.0
_SIDE_PX: Final = 96
_TOLERANCE: Final = 1e-5


def picture() -> bytes:
    """The known picture.

    Returns:
        A PNG of 96x96 pixels: two slopes of colour and a disc.
    """
    down, across = np.mgrid[0:_SIDE_PX, 0:_SIDE_PX]
    disc = (down - 40) ** 2 + (across - 56) ** 2 < 24**2
    pixels = np.stack([down * 2, across * 2, np.where(disc, 220, 40)], axis=-1).astype(np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def run(desk: ScoringDesk, spool: Spool, level: Level) -> float:
    """Score the known picture twice; blocks.

    Args:
        desk: Scores it.
        spool: Where it goes meanwhile.
        level: Any.

    Returns:
        Its score.

    Raises:
        ClassifierError: It gets no score, or two different ones.
    """
    scores = []
    for _ in range(2):
        upload = Upload(spool, max_bytes=1 << 20)
        upload.add(picture())
        with upload.opened() as fetched:
            scores.append(desk.score(fetched, Wanted(level), Deadline(TIMEOUT_S)).score)
    if not all(math.isfinite(score) and 0 <= score <= 1 for score in scores):
        raise ModelError(f"the model gives {scores} for the picture of the self-test, which are no scores")
    if abs(scores[0] - scores[1]) > _TOLERANCE:
        raise ModelError(f"the model gives {scores} for one and the same picture")
    return scores[0]


__all__ = ["picture", "run"]
