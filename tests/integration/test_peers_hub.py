"""Models of the Hugging Face hub, on a tiny repository made here: from a folder, and over HTTP."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from classifier import preprocess
from classifier.engines.procedural import picture
from classifier.errors import ModelError
from classifier.peers import door, hub
from classifier.torch_compat import import_torchvision
from tests.hub_server import HubServer, hub_server
from tests.torch_threads import one_thread

__all__ = ["one_thread"]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

import_torchvision()
timm = pytest.importorskip("timm")

REPOSITORY, COMMIT = "Somebody/tiny-nsfw", "0123456789abcdef0123456789abcdef01234567"
NAME = f"hf:{REPOSITORY}@{COMMIT}"
ARCHITECTURE = "test_efficientnet"
SETTINGS = {
    "input_size": [3, 64, 64],
    "interpolation": "bicubic",
    "crop_pct": 0.9,
    "crop_mode": "center",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.25],
}


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    made = timm.create_model(ARCHITECTURE, num_classes=2).eval()
    with torch.no_grad():
        for parameter in made.get_classifier().parameters():
            parameter.mul_(40)  # else every score is a half
    return made


def files(**changed: object) -> dict[str, bytes]:
    settings = {**SETTINGS, **changed}
    config = {
        "architecture": ARCHITECTURE,
        "num_classes": 2,
        "label_names": ["NSFW", "SFW"],
        "pretrained_cfg": settings,
    }
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": safetensors.torch.save(network().state_dict()),
    }


def laid(folder: Path, content: dict[str, bytes]) -> str:
    folder.mkdir(exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return f"hf:{folder}"


@pytest.fixture
def hub_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_server(REPOSITORY, COMMIT, files()) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.mark.parametrize(
    "changed",
    [{}, {"crop_mode": "squash"}, {"crop_pct": 1.0, "interpolation": "bilinear"}],
    ids=["centre", "squash", "bilinear"],
)
def test_a_folders_model_scores_as_timm_itself_does(tmp_path: Path, changed: dict[str, object]) -> None:
    """Picture by picture through timm's own `create_transform` and network."""
    name = laid(tmp_path / "model", files(**changed))
    model = door.load(name)
    way = preprocess.get(model.card.preprocessing)
    transform = timm.data.create_transform(
        **timm.data.resolve_data_config(pretrained_cfg={**SETTINGS, **changed}), is_training=False
    )
    pictures = [Image.fromarray(picture(5, index)) for index in range(6)]
    with torch.inference_mode():
        theirs = network()(torch.stack([transform(image) for image in pictures])).softmax(dim=1)[:, 0].numpy()
    ours = model.predict(np.stack([way.prepare(image) for image in pictures]))
    assert np.ptp(ours) > 0.02
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert (model.card.licence, model.card.name, model.engine) == ("NOASSERTION", name, "torch-fp32")


def test_a_pinned_revision_is_fetched_once_and_loaded_without_the_network(
    tmp_path: Path, hub_here: HubServer
) -> None:
    with pytest.raises(ModelError, match=f"not here yet. Run: python -m bot models fetch {NAME}"):
        door.load(NAME, tmp_path)
    path = door.fetch(NAME, tmp_path)
    assert path.read_bytes() == hub_here.files["model.safetensors"]
    assert {line.rpartition("/")[2] for line in hub_here.asked} == {"config.json", "model.safetensors"}
    asked = len(hub_here.asked)
    model = door.load(NAME, tmp_path)
    assert door.fetch(NAME, tmp_path) == path
    assert len(hub_here.asked) == asked
    assert door.describe(NAME, tmp_path).card == model.card
    assert model.predict(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1,)


def test_a_file_that_was_changed_after_it_was_fetched_is_refused(tmp_path: Path, hub_here: HubServer) -> None:
    path = door.fetch(NAME, tmp_path).resolve()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="damaged or was changed"):
        door.load(NAME, tmp_path)


def test_a_repository_with_pickles_alone_is_refused(tmp_path: Path, hub_here: HubServer) -> None:
    del hub_here.files["model.safetensors"]
    hub_here.files["pytorch_model.bin"] = pickle.dumps({})
    with pytest.raises(ModelError, match=r"no model\.safetensors.*pickles, which can run code"):
        door.fetch(NAME, tmp_path)
    assert not any("pytorch_model" in line for line in hub_here.asked)
    folder = tmp_path / "folder"
    name = laid(folder, {"config.json": files()["config.json"], "pytorch_model.bin": b"never opened"})
    with pytest.raises(ModelError, match=r"only pytorch_model\.bin\. Other forms are pickles"):
        door.load(name)


def test_an_unknown_repository_or_revision_is_named(tmp_path: Path, hub_here: HubServer) -> None:
    for name in (f"hf:Nobody/none@{COMMIT}", f"hf:{REPOSITORY}@{'f' * 40}"):
        with pytest.raises(ModelError, match="no such repository or revision"):
            door.fetch(name, tmp_path)


def test_offline_mode_asks_nobody_and_still_finds_what_is_here(tmp_path: Path, hub_here: HubServer) -> None:
    """In a process of its own: the library reads HF_HUB_OFFLINE when it is imported."""
    program = (
        "import sys; from pathlib import Path; from classifier.peers import hub\n"
        "from classifier.errors import ModelUnreachable\n"
        "try: print(hub.fetch(sys.argv[1], Path(sys.argv[2])).weights.name)\n"
        "except ModelUnreachable as error: print('unreachable:', error)\n"
    )

    def fetched_offline() -> str:
        environment = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": hub_here.url, "PYTHONPATH": ".", "PATH": ""}
        command = [sys.executable, "-c", program, NAME, str(tmp_path)]
        root = Path(__file__).resolve().parents[2]
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True).stdout

    said = fetched_offline()
    assert said.startswith("unreachable: Somebody/tiny-nsfw cannot be fetched from the hub")
    assert said.endswith("in a folder, and ask for hf:/PATH/OF/THE/FOLDER\n")
    assert hub_here.asked == []
    door.fetch(NAME, tmp_path)
    asked = len(hub_here.asked)
    assert fetched_offline() == "model.safetensors\n"
    assert len(hub_here.asked) == asked


@pytest.mark.parametrize(
    "name",
    ["hf:Somebody/tiny-nsfw", "hf:Somebody/tiny-nsfw@main", "hf:a/b@0123456", f"hf:a/b@{COMMIT.upper()}"],
)
def test_a_model_without_a_pinned_commit_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="name the commit with all of its 40 digits"):
        door.load(name)


@pytest.mark.parametrize("name", ["hf:", "hf:a", f"hf:a/../b@{COMMIT}", f"hf:a/b/c@{COMMIT}", "hf:a b"])
def test_what_is_no_name_of_a_model_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="not hf:OWNER/NAME@COMMIT"):
        hub.parse(name)


def test_weights_or_networks_that_do_not_fit_are_named(tmp_path: Path) -> None:
    content = files()
    content["model.safetensors"] = b"\x80\x04 a pickle by another name"
    with pytest.raises(ModelError, match="not a safetensors file"):
        door.load(laid(tmp_path / "pickle", content))
    content["model.safetensors"] = safetensors.torch.save({"odd": torch.zeros(1)})
    with pytest.raises(ModelError, match="do not fit test_efficientnet"):
        door.load(laid(tmp_path / "odd", content))
    content["config.json"] = content["config.json"].replace(b"test_efficientnet", b"no_such_network")
    with pytest.raises(ModelError, match="knows no network 'no_such_network'"):
        door.load(laid(tmp_path / "none", content))
    with pytest.raises(ModelError, match=r"config\.json: there is no such file"):
        door.load(f"hf:{tmp_path}/absent")


def test_the_known_model_is_not_taken_from_other_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = hub.parse(hub.MARQO)
    with hub_server(known.repository, known.revision, files()) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert door.describe(hub.MARQO, tmp_path).state == "missing"
        door.fetch(hub.MARQO, tmp_path)
    with pytest.raises(ModelError, match=hub.MARQO_CARD.weights_sha256):
        door.load(hub.MARQO, tmp_path)
