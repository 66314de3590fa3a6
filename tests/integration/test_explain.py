"""Explanations of the project's own networks, and the command on real files."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

from bot.commands import explain as command
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.explain import explain
from classifier.evaluation.explain_files import Explainer, explain_errors
from classifier.evaluation.explain_values import Explanation, NotExplained
from classifier.models import architectures
from classifier.models.configured import ModelConfig, build_model
from classifier.values import Frame
from tests import media, trained_runs
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def drawn(side_px: int) -> np.ndarray:
    return np.asarray(media.photo(side_px, side_px, 1))[None]


@pytest.mark.parametrize(
    ("config", "cells"),
    [
        ({"name": "mobilenet_v2"}, 3),
        ({"name": "squeezenet1_1", "pooling": "spatial_pyramid"}, 5),
        ({"name": "resnet50", "attention": "cbam"}, 3),
        ({"name": "mobilenet_v3_large"}, 3),
        ({"name": "open_nsfw"}, 3),
        ({"name": "timm:resnet18"}, 3),
        ({"name": "timm:resnet18", "pooling": "spatial_pyramid"}, 3),
    ],
    ids=str,
)
def test_the_last_map_of_every_kind_of_network_is_found(config, cells) -> None:
    network = build_model(ModelConfig(**{"pretrained": "none", **config}), seed=0)
    (found,) = explain(network, drawn(96), threshold=0.5)
    assert found.heat.shape == (cells, cells)
    assert found.heat.min() >= 0 and found.heat.max() in (0, 1)


@pytest.mark.parametrize(("name", "cells"), [("squeezenet1_1", 5), ("open_nsfw", 3)])
def test_networks_that_come_from_elsewhere_have_one_too(name, cells) -> None:
    (found,) = explain(architectures.build(name, seed=1), drawn(96), threshold=0.5)
    assert found.heat.shape == (cells, cells) and found.heat.max() == 1


def test_a_transformer_is_refused() -> None:
    config = ModelConfig(name="timm:vit_tiny_patch16_224", pretrained="none")
    with pytest.raises(EvaluationError, match="Grad-CAM explains convolutional networks"):
        explain(build_model(config, seed=0), drawn(224), threshold=0.5)


class Brightness(nn.Module):
    """Positive where it is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.AvgPool2d(8)
        self.eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = self.trunk(pixels).mean((1, 2, 3)) / 128 - 1
        return torch.stack((-mean, mean), 1)


@pytest.fixture(scope="module")
def pool():
    with DecodePool(DecodeLimits(), 1) as opened:
        yield opened


def test_files_are_decoded_in_workers_and_channels_put_right(tmp_path, pool) -> None:
    media.corners(128, 128).save(tmp_path / "corners.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    network = architectures.build("open_nsfw", seed=1)
    one = Explainer(network, "open_nsfw-v1", 0.5, pool)
    found = one.file(tmp_path / "corners.png", truth=True)
    assert isinstance(found, Explanation) and found.truth and found.pixels.shape == (224, 224, 3)
    assert media.corner_names(found.pixels) == "RGBY"
    (direct,) = explain(network, found.pixels[None, :, :, ::-1], threshold=0.5)
    assert direct.score == found.explained.score
    broken, missing = one.file(tmp_path / "broken.jpg"), one.file(tmp_path / "none.png")
    assert isinstance(broken, NotExplained) and broken.code == "undecodable"
    assert isinstance(missing, NotExplained) and missing.code == "unreadable"
    assert isinstance(one.file(tmp_path), NotExplained)


def test_of_a_film_the_frame_is_explained_that_scores_highest(tmp_path, pool) -> None:
    frames = media.grey_frames(30, 64, 64)
    path = media.save_video(tmp_path / "film.webm", [*frames, *frames[:10]])
    found = Explainer(Brightness(), "imagenet-v1@32", 0.5, pool).file(path)
    assert isinstance(found, Explanation) and 2.0 <= found.at_s < 3.0
    assert abs(found.pixels.mean() - 8 * 10 * found.at_s) < 12


class InBatches:
    """A decoder whose frames come one at a time, in memory that the next one overwrites."""

    def __init__(self, levels: list[int]) -> None:
        self._levels = levels

    def open(self, *_: object) -> "InBatches":
        return self

    def __enter__(self) -> "InBatches":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __iter__(self) -> Iterator[list[Frame]]:
        pixels = np.zeros((32, 32, 3), np.uint8)
        for second, level in enumerate(self._levels):
            pixels[:] = level
            yield [Frame(pixels, at_s=float(second))]


def test_the_highest_frame_is_kept_whatever_comes_after_it(tmp_path) -> None:
    (tmp_path / "film.webm").touch()
    one = Explainer(Brightness(), "imagenet-v1@32", 0.5, cast(Any, InBatches([50, 200, 90])))
    found = one.file(tmp_path / "film.webm")
    assert isinstance(found, Explanation) and found.at_s == 1.0 and (found.pixels == 200).all()
    none = Explainer(Brightness(), "imagenet-v1@32", 0.5, cast(Any, InBatches([])))
    assert none.file(tmp_path / "film.webm") == NotExplained(
        str(tmp_path / "film.webm"), "undecodable", "no frame could be decoded"
    )


def test_the_worst_errors_of_a_dataset_come_with_their_truth(tmp_path, pool) -> None:
    data = trained_runs.pictures(tmp_path)
    labels = [data.target_of(item) for item in data.items]
    scores = [0.5 + 0.4 * (0.5 - label) for label in labels]
    scores[3] = 0.99 if labels[3] == 0 else 0.01
    one = Explainer(Brightness(), "imagenet-v1@32", 0.5, pool)
    found = list(explain_errors(one, data, scores, 3))
    assert len(found) == 3 and found[0].name == data.items[3].path
    assert found[0].truth == bool(labels[3])


APP = typer.Typer()
APP.command()(command.explain)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    trained_runs.finished(folder)
    return folder


def test_the_command_writes_a_private_page_for_a_run(run, tmp_path) -> None:
    media.photo(80, 60).save(tmp_path / "a <b>.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    out = tmp_path / "deep" / "out"
    files = [str(tmp_path / "a <b>.png"), str(tmp_path / "broken.jpg")]
    answer = CliRunner().invoke(APP, [str(run / "run"), *files, "--out", str(out)])
    assert answer.exit_code == 1 and "1 of 2 explained" in answer.output
    page = (out / "index.html").read_text()
    assert "a &lt;b&gt;.png" in page and "present" in page and "blurred and grey on purpose" in page
    overlays = list((out / "overlays").iterdir())
    assert [path.name for path in overlays] == ["0000.jpg"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (*overlays, out / "index.html")}
    assert modes == {0o600}
    answer = CliRunner().invoke(APP, [str(run / "run"), files[0], "--out", str(out), "--unblurred"])
    assert answer.exit_code == 0 and "not blurred" in (out / "index.html").read_text()


def test_what_cannot_be_done_ends_in_a_sentence(run, tmp_path) -> None:
    (tmp_path / "file").touch()
    media.photo(40, 40).save(tmp_path / "a.png")
    unknown = CliRunner().invoke(APP, ["no-such-model", "a.png", "--out", str(tmp_path)])
    assert unknown.exit_code == 3
    blocked = CliRunner().invoke(
        APP, [str(run / "run"), str(tmp_path / "a.png"), "--out", str(tmp_path / "file")]
    )
    assert blocked.exit_code == 3
