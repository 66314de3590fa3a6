"""What attacks may change, that they come out the same again, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from classifier.evaluation.attacks import Attack, fgsm, perturb, scores
from classifier.evaluation.errors import EvaluationError
from classifier.models import defence
from tests import media, tiny_model
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = np.array([True, False, True])


def photos(seed: int = 0) -> np.ndarray:
    return np.stack([np.asarray(media.photo(24, 24, seed + index)) for index in range(3)])


class Brightness(nn.Module):
    """Positive where it is bright: the strongest change is known, epsilon darker or brighter everywhere."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = pixels.mean((1, 2, 3))
        return torch.stack((128 - mean, mean - 128), 1)


@settings(max_examples=25, deadline=None)
@given(
    epsilon=st.integers(1, 255),
    steps=st.integers(1, 3),
    step_size=st.none() | st.floats(0.01, 600),
    random_start=st.booleans(),
    extreme=st.sampled_from([None, 0, 1, 254, 255]),
    defended=st.sampled_from([None, "bits:4+jitter:0.8"]),
    seed=st.integers(0, 2**63 - 1),
)
def test_no_sample_leaves_epsilon_or_the_levels_there_are(
    epsilon, steps, step_size, random_start, extreme, defended, seed
) -> None:
    pixels = photos() if extreme is None else np.full((3, 24, 24, 3), extreme, np.uint8)
    attack = Attack(epsilon, steps, step_size, 2, random_start, seed)
    known = defence.parse(defended) if defended else None
    attacked = perturb(tiny_model.network(), pixels, LABELS, attack, defence=known)
    assert attacked.dtype == np.uint8 and attacked.shape == pixels.shape
    assert np.abs(attacked.astype(int) - pixels).max() <= epsilon


@pytest.mark.parametrize("attack", [fgsm(4), Attack(4, steps=8), Attack(4, steps=8, random_start=False)])
def test_the_whole_of_epsilon_is_used_where_that_is_best(attack) -> None:
    pixels = photos().clip(10, 245)
    attacked = perturb(Brightness().eval(), pixels, LABELS, attack).astype(int) - pixels
    assert (attacked[0] == -4).all() and (attacked[1] == 4).all() and (attacked[2] == -4).all()


def test_equal_seeds_give_equal_pictures_whatever_else_is_attacked() -> None:
    network, pixels = tiny_model.network(), photos()
    once = perturb(network, pixels, LABELS, Attack(4, 3, seed=5))
    assert np.array_equal(once, perturb(network, pixels, LABELS, Attack(4, 3, seed=5)))
    alone = perturb(network, pixels[1:2], LABELS[1:2], Attack(4, 3, seed=5))
    assert np.abs(alone[0].astype(int) - once[1]).max() <= 1
    assert not np.array_equal(once, perturb(network, pixels, LABELS, Attack(4, 3, seed=6)))


def test_pictures_are_left_as_they_were_and_progress_is_told() -> None:
    pixels, told = photos(), []
    kept = pixels.copy()
    attack = Attack(2, steps=3, restarts=2)
    perturb(tiny_model.network(), pixels, LABELS, attack, batch=2, progress=told.append)
    assert np.array_equal(pixels, kept)
    assert sum(told) == attack.passes * len(pixels)


def test_an_attack_never_does_worse_than_nothing_where_it_begins_at_the_picture() -> None:
    network, pixels = tiny_model.network(), photos()
    wanted = np.where(LABELS, -1, 1)
    before = wanted * scores(network, pixels)
    after = wanted * scores(network, perturb(network, pixels, LABELS, Attack(6, 5, 40.0, 1, False)))
    assert (after >= before).all()


def test_a_defence_is_attacked_through_itself_in_its_order_of_channels() -> None:
    seen = []

    class Spy(Brightness):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            seen.append(pixels.detach().clone())
            return super().forward(pixels)

    bits = defence.parse("bits:1")
    perturb(Spy().eval(), photos(), LABELS, Attack(3, 2), defence=bits)
    assert all(set(batch.unique().tolist()) <= {0.0, 255.0} for batch in seen)
    jpeg, pixels = defence.parse("jpeg:30"), photos()
    network = tiny_model.network()
    bgr = scores(network, pixels, defence=jpeg, order="bgr")
    assert np.array_equal(bgr, scores(network, jpeg.apply_batch(pixels, "bgr")))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"epsilon": 0}, "epsilon"),
        ({"epsilon": 256}, "epsilon"),
        ({"steps": 0}, "steps"),
        ({"restarts": 0}, "restarts"),
        ({"step_size": 0.0}, "step size"),
        ({"step_size": float("nan")}, "step size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_numbers_that_cannot_be_are_refused(wrong, says) -> None:
    with pytest.raises(EvaluationError, match=says):
        Attack(**{"epsilon": 4, **wrong})


def test_what_does_not_fit_is_refused() -> None:
    network = tiny_model.network()
    with pytest.raises(EvaluationError, match="3 pictures have 2 labels"):
        perturb(network, photos(), LABELS[:2], fgsm(1))
    with pytest.raises(EvaluationError, match="uint8"):
        perturb(network, photos().astype(np.float32), LABELS, fgsm(1))
    with pytest.raises(EvaluationError, match="training mode"):
        perturb(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)).train(), photos(), LABELS, fgsm(1))
