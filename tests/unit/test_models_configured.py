"""One config, one network: options combine, starting weights fit or say why not, scores outlive saving."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from torch import nn

from classifier import preprocess
from classifier.engines import graph
from classifier.engines.torch_engine import TorchEngine
from classifier.errors import ModelError, ModelUnreachable
from classifier.models import architectures
from classifier.models.configured import build_model, model_input, restore, save
from classifier.models.model_config import ModelConfig
from classifier.models.open_nsfw import OpenNsfw
from tests import tiny_model
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ModelConfig("squeezenet1_1", pooling="spatial_pyramid", attention="cbam", dropout=0.3)


def _scores(network: nn.Module, count: int = 4) -> np.ndarray:
    return TorchEngine(network, tiny_model.CARD).predict(tiny_model.pictures(count))


@pytest.mark.parametrize("name", architectures.known())
def test_every_network_is_built_with_a_preprocessing_that_exists(name: str) -> None:
    config = ModelConfig(name, dropout=0.2)
    network = build_model(config, seed=2)
    assert network.head.out_features == 2 and not network.training
    with torch.inference_mode():
        assert network(torch.rand(2, 3, 32, 32) * 255).shape == (2, 2)
    wanted = model_input(config)
    assert preprocess.get(wanted.preprocessing).input_px == wanted.input_px == 224


def test_an_equal_seed_gives_an_equal_network_whatever_was_drawn_before() -> None:
    first = save(build_model(SMALL, seed=1))
    state = torch.get_rng_state()
    assert save(build_model(SMALL, seed=1)) == first != save(build_model(SMALL, seed=2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("config", [SMALL, ModelConfig("mobilenet_v3_large", pooling="spatial_pyramid")])
def test_the_exported_graph_scores_as_torch_does(config: ModelConfig) -> None:
    network = build_model(config, seed=0)
    with torch.no_grad():
        network.head.weight.mul_(20)
    content = graph.export(network, tiny_model.SIDE_PX)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"pixels": tiny_model.pictures(4)})
    np.testing.assert_allclose(scores, _scores(network), atol=1e-4)


def test_a_saved_model_scores_the_same_to_the_last_bit(tmp_path: Path) -> None:
    network = build_model(SMALL, seed=0)
    content = save(network)
    expected = _scores(network)
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    config = ModelConfig.from_values(json.loads(json.dumps(SMALL.to_values())))
    assert config == SMALL
    assert np.array_equal(_scores(restore(config, content)), expected)
    started = build_model(dataclasses.replace(SMALL, pretrained=str(path)), seed=9)
    assert np.array_equal(_scores(started), expected)
    # Where the run's own starting weights are long gone, its result is still there.
    assert np.array_equal(
        _scores(restore(dataclasses.replace(SMALL, pretrained="gone.pth"), content)), expected
    )
    with pytest.raises(ModelError, match="was saved from another model"):
        restore(dataclasses.replace(SMALL, attention="se"), content)
    with pytest.raises(ModelError, match="not a safetensors file"):
        restore(SMALL, b"nonsense")


def test_imagenet_weights_from_a_local_file_leave_the_features_as_torchvision_makes_them(
    tmp_path: Path,
) -> None:
    whole = architectures.build("mobilenet_v2", classes=1000)
    state = whole.get_submodule("backbone").state_dict()
    torch.save(state, tmp_path / "published.pth")
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "w.pt")
    safetensors.torch.save_file(whole.state_dict(), tmp_path / "zoo.safetensors")
    pictures = torch.rand(2, 3, 32, 32) * 255
    with torch.inference_mode():
        pooled = whole.get_submodule("backbone.features")((pictures - whole.mean) / whole.deviation).mean(
            (2, 3)
        )
        for file in ("published.pth", "w.pt", "zoo.safetensors"):
            config = ModelConfig("mobilenet_v2", pretrained=str(tmp_path / file), attention="se")
            torch.testing.assert_close(build_model(config).features(pictures), pooled, rtol=0, atol=0)


def test_a_head_of_two_classes_is_kept_where_it_fits(tmp_path: Path) -> None:
    whole = OpenNsfw().eval()
    safetensors.torch.save_file(whole.state_dict(), tmp_path / "tuned.safetensors")
    config = ModelConfig("open_nsfw", pretrained=str(tmp_path / "tuned.safetensors"), attention="se")
    pictures = torch.rand(2, 3, 32, 32) * 255
    with torch.inference_mode():
        assert torch.equal(build_model(config)(pictures), whole(pictures))
    pyramid = build_model(dataclasses.replace(config, pooling="spatial_pyramid"))
    assert pyramid.head.in_features == 21 * 1024


def test_a_file_that_does_not_fit_names_the_first_thing(tmp_path: Path) -> None:
    state = architectures.build("squeezenet1_1").get_submodule("backbone").state_dict()
    path = tmp_path / "w.safetensors"
    for changed, reason in (
        ({name: value for name, value in state.items() if name != "features.0.bias"}, "0.bias is missing"),
        ({**state, "features.0.bias": torch.zeros(5)}, r"features.0.bias is \(5,\), not \(64,\)"),
        ({**state, "extra.weight": torch.zeros(5)}, "it has no extra.weight"),
    ):
        safetensors.torch.save_file(changed, path)
        with pytest.raises(ModelError, match=f"w.safetensors: does not fit the network: .*{reason}"):
            build_model(ModelConfig("squeezenet1_1", pretrained=str(path)))


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run by a pickle",)


def test_files_that_hold_no_weights_are_refused_and_no_code_of_theirs_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"w": _Evil()}, tmp_path / "evil.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    for name, reason in (
        ("evil.pth", "could run code"),
        ("list.pth", "holds no weights by name"),
        ("text.pth", "could run code|cannot be read"),
        ("text.safetensors", "not a safetensors file"),
        ("gone.pth", "there is no such file"),
    ):
        with pytest.raises(ModelError, match=f"{name}: .*({reason})"):
            build_model(ModelConfig("squeezenet1_1", pretrained=str(tmp_path / name)))
    assert "pickle" not in capsys.readouterr().out


def test_a_missing_download_says_which_file_to_bring_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    config = ModelConfig("squeezenet1_1", pretrained="torchvision")
    filename = "squeezenet1_1-b8a52dc0.pth"
    with pytest.raises(
        ModelUnreachable, match=rf"cannot be downloaded from https.*Bring the file {filename}"
    ):
        build_model(config)
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True, exist_ok=True)
    state = architectures.build("squeezenet1_1", classes=1000).get_submodule("backbone").state_dict()
    torch.save(state, cache / filename)
    assert torch.equal(build_model(config).trunk[0].weight, state["features.0.weight"])


def test_missing_weights_of_the_deployed_model_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="models fetch open_nsfw"):
        build_model(ModelConfig("open_nsfw", pretrained="open_nsfw"), cache_directory=tmp_path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"pooling": "max"}, "pooling has to be one of average, spatial_pyramid"),
        ({"attention": "eca"}, "attention has to be one of"),
        ({"head": "mlp"}, "head has to be one of linear, hinge, svm"),
        ({"dropout": 1.0}, "dropout has to be 0 to below 1"),
        ({"dropout": "much"}, "dropout: 'much' is of the wrong type"),
        ({"pyramid_levels": [2, 1]}, "rising"),
        ({"pyramid_levels": [1.5]}, "not whole numbers"),
        ({"attention_reduction": 0}, "at least 1"),
        ({"pretrained": ""}, "or a file"),
        ({"pretrained": "open_nsfw"}, "do not fit resnet50"),
        ({"pretrained": "timm"}, "timm:resnet50"),
        ({"name": "timm:vit", "pretrained": "torchvision"}, "torchvision has no weights"),
        ({"name": "timm:vit", "attention": "se"}, "attention is not put into"),
        ({"depth": 3}, "unknown model option 'depth'; known: name"),
    ],
)
def test_wrong_options_are_refused_by_name(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        ModelConfig.from_values({"name": "resnet50", **values})


def test_small_pictures_have_a_preprocessing_of_their_size() -> None:
    assert model_input(ModelConfig("resnet50"), 64).preprocessing == "imagenet-v1@64"
    assert model_input(ModelConfig("open_nsfw")).preprocessing == "open_nsfw-v1"
    with pytest.raises(ModelError, match="224 px, not 64"):
        model_input(ModelConfig("open_nsfw"), 64)


def test_models_of_timm_keep_the_convention_too(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    name, pictures = "timm:test_resnet", torch.rand(2, 3, 64, 48) * 255
    for pooling, cells in (("average", 1), ("spatial_pyramid", 21)):
        network = build_model(ModelConfig(name, pooling=pooling, dropout=0.1), seed=0)  # type: ignore[arg-type]
        with torch.inference_mode():
            assert network(pictures).shape == (2, 2)
        assert network.head.in_features % cells == 0
    theirs = timm.create_model("test_resnet", num_classes=2).eval()
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "t.safetensors")
    ours = build_model(ModelConfig(name, pretrained=str(tmp_path / "t.safetensors")))
    with torch.inference_mode():
        expected = theirs((pictures - ours.mean) / ours.deviation)
        torch.testing.assert_close(ours(pictures), expected)
    with pytest.raises(ModelError, match="knows no model 'resnet0'"):
        build_model(ModelConfig("timm:resnet0"))
    with pytest.raises(ModelError, match="no map of features"):
        build_model(ModelConfig("timm:test_vit", pooling="spatial_pyramid"))


def test_a_missing_timm_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"need the package timm: .*commons-nsfw-bot\[train\]"):
        build_model(ModelConfig("timm:resnet18"))


def test_configs_are_read_without_torch() -> None:
    code = (
        "import sys, classifier.models.model_config, classifier.models.freezing, classifier.models.svm_head; "
    )
    code += "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
