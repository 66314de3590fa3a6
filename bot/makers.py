"""Who makes a score, as the store keeps it (promise 6)."""

from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from bot.scoring import Scorer
from storage.values import ModelVersion

DECODING_LIBRARIES = ("av", "numpy", "opencv-python", "opencv-python-headless", "pillow", "simplejpeg")
"""Another version of these, or of the engine's library, may give another score for the same bytes."""


def model_version(scorer: Scorer) -> ModelVersion:
    """The maker of a score.

    Args:
        scorer: Whose model it is.

    Returns:
        The card, the engine and the versions of the libraries that take part in a score.
    """
    card = scorer.classifier.card
    return ModelVersion(
        name=card.name,
        architecture=card.architecture,
        weights_sha256=card.weights_sha256,
        preprocessing=card.preprocessing,
        engine=scorer.classifier.engine,
        libraries=scoring_libraries(scorer.classifier.engine),
        card={**asdict(card), "export": dict(scorer.provenance)},
    )


def scoring_libraries(engine: str) -> dict[str, str]:
    """The versions of the libraries that take part in a score.

    Args:
        engine: What runs the model, such as `onnxruntime-int8`; its library comes first in the name.

    Returns:
        Versions by the distributions' names; of those only that are installed, because the light
        installation has another one for OpenCV.
    """
    found = {}
    for name in (*DECODING_LIBRARIES, engine.partition("-")[0]):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


__all__ = ["DECODING_LIBRARIES", "model_version", "scoring_libraries"]
