"""Maps point where a network looks, overlays do not show what it looked at, and pages escape names."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from classifier.evaluation import explain_report, report
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.explain import explain, worst_errors
from classifier.evaluation.explain_report import Subject, overlay
from classifier.evaluation.explain_values import Explained, Explanation, NotExplained
from tests import media
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")
HOSTILE = '<img src=x onerror="alert(1)">.jpg'
SUBJECT = Subject("tiny", 0.5, ("absent", "present"))


class Window(nn.Module):
    """Lets a quarter of a map through."""

    def __init__(self, top: int, left: int) -> None:
        super().__init__()
        self.top, self.left = top, left

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        half = features.shape[2] // 2
        mask = torch.zeros_like(features)
        rows = slice(self.top * half, (self.top + 1) * half)
        mask[:, :, rows, self.left * half : (self.left + 1) * half] = 1
        return features * mask


class Corner(nn.Module):
    """Sees one quarter of the picture alone; bright there is positive."""

    def __init__(self, top: int, left: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.AvgPool2d(4), nn.ReLU(inplace=True), Window(top, left))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(3, 2)
        nn.init.constant_(self.head.weight, -1 / 64)
        nn.init.constant_(self.head.weight[1], 1 / 64)
        nn.init.zeros_(self.head.bias)
        self.eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.trunk(pixels)).flatten(1))


def photos(count: int = 2) -> np.ndarray:
    return np.stack([np.asarray(media.photo(64, 64, seed)) for seed in range(count)])


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_the_map_of_a_network_that_sees_one_corner_alone_lies_in_that_corner(top, left) -> None:
    for one in explain(Corner(top, left), photos(), threshold=0.5, positive=True):
        assert one.heat.shape == (16, 16) and one.heat.max() == 1
        rest = one.heat.copy()
        rest[8 * top : 8 * top + 8, 8 * left : 8 * left + 8] = 0
        assert rest.max() == 0
        laid = np.asarray(overlay(np.full((64, 64, 3), 128, np.uint8), one.heat)).astype(int)
        colourful = np.ptp(laid, axis=2).reshape(2, 160, 2, 160).mean((1, 3))
        assert np.unravel_index(colourful.argmax(), (2, 2)) == (top, left)
        assert np.sort(colourful.ravel())[-2] < 0.2 * colourful.max()


def test_what_speaks_for_one_class_does_not_speak_for_the_other() -> None:
    (found,) = explain(Corner(0, 0), photos(1), threshold=0.5)
    assert found.positive and found.score > 0.5 and found.heat.any()
    (strict,) = explain(Corner(0, 0), photos(1), threshold=1.0)
    assert not strict.positive and not strict.heat.any() and np.isfinite(strict.heat).all()


def test_frozen_networks_can_be_explained_and_stay_as_they_were() -> None:
    network = Corner(0, 0).requires_grad_(False)
    hooks = [len(layer._forward_hooks) for layer in network.modules()]
    once = explain(network, photos(), threshold=0.5)
    again = explain(network, photos(), threshold=0.5)
    assert [len(layer._forward_hooks) for layer in network.modules()] == hooks
    assert all(np.array_equal(one.heat, other.heat) for one, other in zip(once, again, strict=True))
    assert all(weight.grad is None for weight in network.parameters())


class Tokens(nn.Module):
    """A row of tokens, as transformers have."""

    def __init__(self) -> None:
        super().__init__()
        self.cut, self.norm, self.head = nn.Conv2d(3, 8, 16, 16), nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.cut(pixels).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2)), "no map"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)), "no map"),
        (Tokens(), "convolutional"),
    ],
)
def test_networks_without_a_map_are_refused_in_a_sentence(network, says) -> None:
    with pytest.raises(EvaluationError, match=says):
        explain(network.eval(), photos(1), threshold=0.5)
    with pytest.raises(EvaluationError, match="training mode"):
        explain(network.train(), photos(1), threshold=0.5)


def detail(image: Image.Image) -> float:
    """Energy above a quarter of the highest frequency, on 64 px."""
    grey = np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BOX), np.float64)
    spectrum = np.abs(np.fft.fft2(grey * np.outer(np.hanning(64), np.hanning(64)))) ** 2
    across = np.abs(np.fft.fftfreq(64))
    return float(spectrum[np.hypot(across[:, None], across[None, :]) > 1 / 8].sum())


def test_a_blurred_overlay_does_not_contain_the_sharp_picture() -> None:
    sharp, nothing = np.asarray(media.photo(64, 64, 3)), np.zeros((8, 8), np.float32)
    heat = nothing.copy()
    heat[2:4, 2:4] = 1
    whole = detail(Image.fromarray(sharp))
    # What is left is the rounding to whole levels.
    assert detail(overlay(sharp, nothing)) < 0.005 * whole
    assert detail(overlay(sharp, heat)) < 1.2 * detail(overlay(np.full_like(sharp, 128), heat))
    assert detail(overlay(sharp, nothing, blurred=False)) > 0.5 * whole
    grey = np.asarray(overlay(sharp, nothing)).astype(int)
    assert np.ptp(grey, axis=2).max() == 0


def explanation(name: str = "one.png", **more) -> Explanation:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    found = Explained(more.pop("score", 0.9), True, more.pop("heat", heat))
    return Explanation(name, np.asarray(media.photo(64, 64, 3)), found, **more)


def pictures(page: str) -> list[Image.Image]:
    sources = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(source))) for source in sources]


def test_the_page_is_blurred_unless_asked_otherwise_and_says_so() -> None:
    found = [explanation(heat=np.zeros((4, 4), np.float32))]
    blurred, sharp = (explain_report.render(found, SUBJECT, blurred=way) for way in (True, False))
    (below,), (seen,) = pictures(blurred), pictures(sharp)
    assert detail(below) < 0.01 * detail(seen)
    assert not below.getexif() and len(below.getbands()) == 3
    assert "blurred and grey on purpose" in blurred and "not blurred" not in blurred
    assert "These pictures are not blurred" in sharp
    section = explain_report.section(found, SUBJECT)
    assert detail(pictures(section.figures[0])[0]) < 0.01 * detail(seen)


def test_names_and_messages_are_escaped() -> None:
    subject = Subject(HOSTILE, 0.5, (HOSTILE, HOSTILE))
    found = [explanation(HOSTILE, truth=False), NotExplained(HOSTILE, "undecodable", HOSTILE)]
    page = explain_report.render(found, subject)
    assert "<img src=x" not in page and page.count("&lt;img src=x") >= 8
    assert page.count("<img ") == 1 and "<script" not in page and "default-src 'none'" in page
    section = explain_report.section(found, subject)
    assert "<img src=x" not in "".join(section.figures) and "could not be decoded" in section.paragraphs[-1]
    assert report.Section("x", figures=section.figures).figures == section.figures


def test_the_page_tells_score_decision_truth_and_which_class_the_map_explains() -> None:
    found = [
        explanation("wrong.png", truth=False),
        explanation("film.webm", score=0.2, truth=False, at_s=75.25),
        explanation("book.pdf", heat=np.zeros((4, 4), np.float32), page=3),
    ]
    page = " ".join(explain_report.render(found, SUBJECT).split())
    assert "0.900" in page and "<strong>Wrong:</strong> it is absent." in page
    assert "Right: it is absent." in page and "The map shows what speaks for present." in page
    assert ", at 1:15.2" in page and ", page 3" in page
    assert "No region speaks for present more than for absent." in page


def test_the_worst_errors_are_those_the_model_was_surest_of() -> None:
    scores = [0.99, 0.85, 0.1, 0.7, 0.95, 0.1]
    labels = [False, False, True, True, True, False]
    assert worst_errors(scores, labels, 0.8, 10).tolist() == [0, 2, 1, 3]
    assert worst_errors(scores, labels, 0.8, 2).tolist() == [0, 2]
    assert worst_errors([0.9, 0.1], [True, False], 0.5, 3).tolist() == []


@settings(max_examples=40, deadline=None)
@given(
    items=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    threshold=st.floats(0, 1),
    count=st.integers(0, 40),
)
def test_only_errors_are_chosen_each_once(items, threshold, count) -> None:
    scores, labels = zip(*items, strict=True)
    chosen = worst_errors(scores, labels, threshold, count).tolist()
    errors = [index for index, (score, label) in enumerate(items) if (score >= threshold) != label]
    assert len(chosen) == len(set(chosen)) == min(count, len(errors)) and set(chosen) <= set(errors)
