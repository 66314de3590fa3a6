"""Explain what a network makes of files: decoded in workers like every upload, of a film the worst frame.

The frame that is explained is the one that the file's score comes from: its highest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from classifier import preprocess
from classifier.datasets.values import Dataset
from classifier.errors import DecodeError
from classifier.evaluation.attacks import scores
from classifier.evaluation.explain import explain, worst_errors
from classifier.evaluation.explain_values import Explanation, NotExplained
from classifier.streams import Decoder
from classifier.values import Frame, MediaPart


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains files one by one.

    Attributes:
        network: In eval mode; float32 (n, 3, h, w), 0..255, to logits (n, 2).
        preprocessing: Id of what it is fed with.
        threshold: Flagged is whatever scores it or more.
        decoder: Turns files into frames.
        positive: Explain this class; None: the one that was decided for.
    """

    network: nn.Module
    preprocessing: str
    threshold: float
    decoder: Decoder
    positive: bool | None = None

    def file(self, path: Path, *, name: str = "", truth: bool | None = None) -> Explanation | NotExplained:
        """Explain one file; its own trouble is the answer.

        Args:
            path: The file.
            name: To show; empty: the path.
            truth: Whether it is positive, where that is known.

        Returns:
            What was found, or why nothing was.

        Raises:
            EvaluationError: The network cannot be explained.
            ClassifierError: Decode workers do not start any more.
        """
        name = name or str(path)
        # Asked first: opening a pipe waits for somebody who writes into it.
        if not path.is_file():
            reason = "not a regular file" if path.exists() else "there is no such file"
            return NotExplained(name, "unreadable", reason)
        try:
            frame = self._worst_frame(path)
        except DecodeError as error:
            return NotExplained(name, error.code, error.message)
        (explained,) = explain(
            self.network, frame.pixels[None], threshold=self.threshold, positive=self.positive
        )
        step = 1 if preprocess.get(self.preprocessing).channels == "rgb" else -1
        pixels = np.ascontiguousarray(frame.pixels[:, :, ::step])
        return Explanation(name, pixels, explained, truth, frame.at_s, frame.page)

    def _worst_frame(self, path: Path) -> Frame:
        worst, highest = None, -1.0
        with self.decoder.open([MediaPart(path)], self.preprocessing) as stream:
            for frames in stream:
                found = scores(self.network, np.stack([frame.pixels for frame in frames]))
                best = int(found.argmax())
                if found[best] > highest:
                    # A view of memory that the next frames will be in.
                    kept = frames[best]
                    worst, highest = Frame(kept.pixels.copy(), kept.at_s, kept.page), float(found[best])
        if worst is None:
            raise DecodeError("undecodable", "no frame could be decoded")
        return worst


def explain_errors(
    explainer: Explainer, dataset: Dataset, scores: Sequence[float], count: int
) -> Iterator[Explanation | NotExplained]:
    """Explain the worst errors of an evaluation, the worst first.

    Args:
        explainer: Explains.
        dataset: What was scored.
        scores: One for each item, 0..1.
        count: Most errors that are wanted.

    Yields:
        One for each.

    Raises:
        DatasetError: An item is a URL.
        EvaluationError: The network cannot be explained.
    """
    truths = [bool(dataset.target_of(item)) for item in dataset.items]
    for index in worst_errors(scores, truths, explainer.threshold, count).tolist():
        item = dataset.items[index]
        yield explainer.file(dataset.path_of(item), name=item.path, truth=truths[index])


__all__ = ["Explainer", "explain_errors"]
