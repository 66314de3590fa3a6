"""The classifier put together from the settings: what the daemon and `classify` both score with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bot.settings import Settings
from classifier.batching import Batcher
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.models import catalogue
from classifier.scoring import score_media
from classifier.values import Classifier, Level, MediaPart, MediaScore


def decode_limits(settings: Settings) -> DecodeLimits:
    """The workers' limits as the decoding package wants them.

    Args:
        settings: Section `[decode]` is used.

    Returns:
        The same numbers.
    """
    wanted = settings.decode
    return DecodeLimits(
        memory_bytes=wanted.memory_bytes,
        cpu_s=wanted.cpu_s,
        wall_s=wanted.wall_s,
        max_pixels=wanted.max_pixels,
        max_frames=wanted.max_frames,
        jobs_per_worker=wanted.jobs_per_worker,
    )


@dataclass(slots=True)
class Scorer:
    """A loaded model, its batching thread and the decode workers.

    Attributes:
        classifier: The model.
        batcher: Fills batches from many threads.
        pool: The decode workers.
        threshold: Score from which a file is flagged; it may change while others score.
    """

    classifier: Classifier
    batcher: Batcher
    pool: DecodePool
    threshold: float

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Start the decode workers and load the model.

        Args:
            settings: Model, level, batch size and the workers' limits.

        Returns:
            A running scorer; close it.

        Raises:
            ModelError: Where the weights cannot be had.
        """
        wanted = settings.classifier
        # The workers first: a process that has not yet loaded a model is cheap to start others from.
        pool = DecodePool(decode_limits(settings), settings.decode.workers)
        pool.start()
        try:
            catalogue.fetch(wanted.model, wanted.cache_directory)
            classifier = catalogue.load(wanted.model, wanted.cache_directory, wanted.threads)
        except BaseException:
            pool.close()
            raise
        batcher = Batcher(classifier, wanted.batch_size, wanted.batch_wait_ms)
        return cls(classifier, batcher, pool, classifier.card.thresholds[wanted.level])

    def set_level(self, level: Level) -> None:
        """Flag from another threshold of the model's card on.

        Args:
            level: `cautious`, `balanced` or `sensitive`.
        """
        self.threshold = self.classifier.card.thresholds[level]

    def score(self, parts: Sequence[MediaPart], *, stop_early: bool = True) -> MediaScore:
        """Score the files of one upload.

        Args:
            parts: Its local files.
            stop_early: Stop at the first frame over the threshold.

        Returns:
            The score of the whole.

        Raises:
            DecodeError: Where no picture can be had from the files.
        """
        return score_media(
            parts,
            self.pool,
            self.batcher,
            preprocessing=self.classifier.card.preprocessing,
            threshold=self.threshold,
            stop_early=stop_early,
        )

    def close(self) -> None:
        """End the workers and the batching thread; jobs on their way fail."""
        self.pool.close()
        self.batcher.close()
