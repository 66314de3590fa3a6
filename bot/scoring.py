"""The classifier put together from the settings: what the daemon and `classify` both score with."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from bot.settings import Settings
from classifier import cgroup, predict
from classifier.batching import Batcher
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.engines.values import OnStep
from classifier.memory import give_back_freed
from classifier.models import catalogue
from classifier.scoring import OnDecoded, OnFrame, score_media
from classifier.threads import ThreadBudget, budget
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
        reduced_jpeg_px=wanted.reduced_jpeg_px or None,
        sampling_mode=wanted.video_mode,
        sampling_order=None if wanted.video_order == "by_container" else wanted.video_order,
        sampling_interval_s=wanted.video_interval_s or None,
    )


def _score_changing(settings: Settings) -> dict[str, object]:
    """The settings of decoding that change scores, and so belong to who made them (promise 6)."""
    wanted = settings.decode
    video = ("video_mode", "video_order", "video_stop_early", "video_interval_s")
    return {name: getattr(wanted, name) for name in ("max_frames", "reduced_jpeg_px", *video)}


def _share(settings: Settings) -> ThreadBudget:
    return budget(cgroup.usable_cores(), settings.classifier.threads)


def call_threads(settings: Settings) -> int:
    """How many threads one call of the model gets.

    Args:
        settings: Section `[classifier]`.

    Returns:
        Threads, at least 1.
    """
    return _share(settings).engine


def memory_limit_bytes(settings: Settings) -> int | None:
    """What the process with the model may use.

    Args:
        settings: Section `[classifier]`.

    Returns:
        Bytes; None where nothing is set and the machine's own limit holds.
    """
    return settings.classifier.memory_mb * 1024**2 or None


def load_classifier(settings: Settings, on_step: OnStep | None = None) -> Classifier:
    """Load the configured model on the configured engine; fetches, exports and tries what is missing.

    Args:
        settings: Section `[classifier]`.
        on_step: Told what takes time, which is only the first time.

    Returns:
        The model.

    Raises:
        ModelError: Where the weights cannot be had, or no engine can run them here.
    """
    return _load(settings, _share(settings), on_step)


def _load(settings: Settings, share: ThreadBudget, on_step: OnStep | None) -> Classifier:
    wanted = settings.classifier
    catalogue.fetch(wanted.model, wanted.cache_directory)
    return predict.load(
        wanted.model,
        wanted.engine,
        cache_directory=wanted.cache_directory,
        threads=share.engine,
        calls=share.calls,
        memory_limit_bytes=memory_limit_bytes(settings),
        progress=on_step,
    )


@dataclass(slots=True)
class Scorer:
    """A loaded model, its batching thread and the decode workers.

    Attributes:
        classifier: The model.
        batcher: Fills batches from many threads.
        pool: The decode workers.
        threshold: Score from which a file is flagged; it may change while others score.
        thresholds: That score by level: the card's, or what was calibrated over them.
        stop_early: Whether a file is left at its first frame over the threshold.
        provenance: What the engine runs, its drift, and how files are decoded for it, as plain values.
    """

    classifier: Classifier
    batcher: Batcher
    pool: DecodePool
    threshold: float
    thresholds: Mapping[str, float]
    stop_early: bool = True
    provenance: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        settings: Settings,
        on_step: OnStep | None = None,
        *,
        calibrated: Mapping[str, float] | None = None,
    ) -> Self:
        """Start the decode workers and load the model.

        Args:
            settings: Model, engine, level, batch size and the workers' limits.
            on_step: Told what takes time before the first score.
            calibrated: Thresholds by level that count instead of those of the model's card.

        Returns:
            A running scorer; close it.

        Raises:
            ModelError: Where the weights cannot be had.
        """
        wanted, share = settings.classifier, _share(settings)
        pool = DecodePool(decode_limits(settings), settings.decode.workers)
        with ThreadPoolExecutor(1, thread_name_prefix="decode-pool") as executor:
            # Workers load their decoders while the model is loaded: both take about a second.
            started = executor.submit(pool.start)
            try:
                classifier = _load(settings, share, on_step)
                started.result()
            except BaseException:
                pool.close()
                raise
        give_back_freed()
        own: dict[str, float] = {level: score for level, score in classifier.card.thresholds.items()}  # noqa: C416
        thresholds = own | dict(calibrated or {})
        return cls(
            classifier,
            Batcher(classifier, wanted.batch_size, share.calls),
            pool,
            thresholds[wanted.level],
            thresholds,
            settings.decode.video_stop_early,
            predict.provenance(classifier, wanted.cache_directory) | {"decoding": _score_changing(settings)},
        )

    def set_level(self, level: Level) -> None:
        """Flag from another level's threshold on.

        Args:
            level: `cautious`, `balanced` or `sensitive`.
        """
        self.threshold = self.thresholds[level]

    def score(
        self,
        parts: Sequence[MediaPart],
        *,
        stop_early: bool | None = None,
        on_frame: OnFrame | None = None,
        on_decoded: OnDecoded | None = None,
    ) -> MediaScore:
        """Score the files of one upload.

        Args:
            parts: Its local files.
            stop_early: Stop at the first frame over the threshold; None: as `[decode] video_stop_early` says.
            on_frame: Told each frame that counts and its score.
            on_decoded: Told how decoding stands.

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
            stop_early=self.stop_early if stop_early is None else stop_early,
            on_frame=on_frame,
            on_decoded=on_decoded,
        )

    def close(self) -> None:
        """End the workers and the batching thread; jobs on their way fail."""
        self.pool.close()
        self.batcher.close()
