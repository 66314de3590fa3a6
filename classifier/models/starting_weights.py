"""The weights that training starts from: a local file, torchvision's download, or the deployed model's.

Nothing is unpickled beyond what torch's restricted reader takes (tensors and plain containers). What is
missing is said with what to do about it, because laboratories often have no internet.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from classifier.errors import ModelError, ModelUnreachable
from classifier.models import catalogue, weights
from classifier.torch_compat import import_torchvision

State = Mapping[str, Tensor]

_PREFIXES = ("", "backbone.", "module.", "model.")
"""What others put before the names: this project's zoo, data parallel wrappers, training frameworks."""
_WRAPPERS = ("state_dict", "model")


def read_file(path: Path) -> State:
    """Read a local file.

    Args:
        path: A safetensors file if it ends so, else what `torch.save` wrote: a state, perhaps below
            `state_dict` or `model`.

    Returns:
        Names and tensors, on the CPU.

    Raises:
        ModelError: Where there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file to start from")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: these weights cannot be read: {error}") from error
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path}: not a safetensors file: {error}") from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: holds something else than tensors and is not opened, since that could run code; "
            "save its state_dict alone, best as safetensors"
        ) from error
    return _state(content, path)


def from_torchvision(name: str) -> State:
    """ImageNet weights, from torchvision's cache or downloaded by it.

    Always the first published ones (IMAGENET1K_V1): the proposal used them, and they were measured with the
    very preprocessing that is ours, 256 and 224 px; the later ones were not.

    Args:
        name: The network.

    Raises:
        ModelUnreachable: Where they cannot be had; it says which file to bring, and to where.
        ModelError: Where the cached file is damaged.
    """
    published = import_torchvision().models.get_model_weights(name).IMAGENET1K_V1
    filename = published.url.rpartition("/")[2]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / filename
    if cached.exists():
        return read_file(cached)
    try:
        state: State = published.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelUnreachable(
            f"the ImageNet weights of {name} cannot be downloaded from {published.url} ({error}). "
            f'Bring the file {filename} here and name it (pretrained = "PATH/{filename}"), or lay it into '
            f'{cached.parent}; or begin without weights: pretrained = "none"'
        ) from error
    return state


def from_open_nsfw(cache_directory: Path | None = None) -> State:
    """The deployed model's weights, which `models fetch` has brought.

    Args:
        cache_directory: Where weights are kept; None: the user's cache folder.

    Raises:
        ModelError: Where they are missing or damaged.
    """
    source = catalogue.weights_source("open_nsfw")
    return safetensors.torch.load(weights.read(source, weights.directory(cache_directory)))


def load(network: nn.Module, state: State, head: str, source: str) -> bool:
    """Load weights into a network that may have another head; everything but the head has to fit.

    Args:
        network: What to load into.
        state: Its weights by name, perhaps below a common prefix.
        head: Name of the last layer, whose weights are left alone where they have another shape.
        source: Where they come from, for messages.

    Returns:
        Whether the head was loaded too.

    Raises:
        ModelError: Where something does not fit; it names the first such weight.
    """
    ours = network.state_dict()
    state = _without_prefix(state, ours)
    body = {name for name in ours if not name.startswith(f"{head}.")}
    for name in sorted(body):
        # Counters of batches came late to torch; files from before go without.
        if name not in state and not name.endswith("num_batches_tracked"):
            raise ModelError(f"{source}: does not fit the network: {name} is missing")
        if name in state and state[name].shape != ours[name].shape:
            theirs = tuple(state[name].shape)
            raise ModelError(
                f"{source}: does not fit the network: {name} is {theirs}, not {tuple(ours[name].shape)}"
            )
    strangers = sorted(name for name in state if name not in ours)
    if strangers:
        raise ModelError(f"{source}: does not fit the network: it has no {strangers[0]}")
    heads = set(ours) - body
    has_head = all(name in state and state[name].shape == ours[name].shape for name in heads)
    wanted = body | heads if has_head else body
    network.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)
    return has_head


def _without_prefix(state: State, ours: Mapping[str, Any]) -> State:
    def shared(prefix: str) -> int:
        return sum(name.startswith(prefix) and name[len(prefix) :] in ours for name in state)

    prefix = max(_PREFIXES, key=shared)
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _state(content: object, path: Path) -> State:
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise ModelError(f"{path}: holds no weights by name")
    return content


__all__ = ["State", "from_open_nsfw", "from_torchvision", "load", "read_file"]
