"""What the settings say of the score of a whole file, with real workers and a model of two brightnesses."""

import numpy as np
import pytest

from bot.scoring import Scorer
from classifier.batching import Batcher
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.values import MediaPart
from tests import media
from tests.unit.test_predict_batching import FakeClassifier


class BrightIsPositive(FakeClassifier):
    """Scores 1.0 from a brightness on that the second half of the film has."""

    def predict(self, pixels):
        means = pixels.astype(np.float32).mean(axis=(1, 2, 3))
        return np.where(means >= 100, 1.0, 0.1).astype(np.float32)


@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize("asked", [None, True, False])
def test_a_film_is_left_at_its_first_hit_unless_the_settings_or_the_caller_say_otherwise(
    tmp_path, setting, asked
):
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(30, noise=True))
    model = BrightIsPositive()
    limits = DecodeLimits(sampling_interval_s=0.1)
    with DecodePool(limits, workers=1) as pool, Batcher(model) as batcher:
        scorer = Scorer(model, batcher, pool, threshold=0.5, thresholds={}, stop_early=setting)
        scored = scorer.score([MediaPart(path)], stop_early=asked)
    hits = sum(frame.score >= 0.5 for frame in scored.frames)
    leaves = setting if asked is None else asked
    assert scored.label == "nsfw"
    assert (hits == 1, scored.summary.truncated) == (leaves, leaves)
