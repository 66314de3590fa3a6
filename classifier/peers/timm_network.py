"""A network of timm with weights that were read, not unpickled; timm brings the architecture alone."""

from collections.abc import Mapping

import safetensors
import safetensors.torch
from torch import Tensor, nn

from classifier.engines.torch_engine import TorchEngine
from classifier.errors import ModelError
from classifier.models import trunks
from classifier.peers.grouped_logits import GroupedLogits
from classifier.peers.timm_config import TimmConfig
from classifier.torch_compat import import_torchvision
from classifier.values import ModelCard

_WRAPPED = "timm_model."
"""What transformers puts before the names of timm's weights."""


def load(content: bytes, config: TimmConfig, card: ModelCard, threads: int = 0) -> TorchEngine:
    """Build the engine.

    Args:
        content: The safetensors file; the caller has verified its hash.
        config: What the repository says about it.
        card: The model's card.
        threads: As for `TorchEngine`.

    Returns:
        The engine; its network is a `GroupedLogits`.

    Raises:
        ModelError: Where timm does not know the network or the weights do not fit it.
    """
    network = build(config, card.name)
    try:
        state: Mapping[str, Tensor] = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ModelError(f"{card.name}: the weights are not a safetensors file: {error}") from error
    if all(name.startswith(_WRAPPED) for name in state):
        state = {name.removeprefix(_WRAPPED): tensor for name, tensor in state.items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{card.name}: the weights do not fit {config.architecture}: {error}") from error
    grouped = GroupedLogits(network, len(config.labels), config.scored, config.mean, config.deviation)
    return TorchEngine(grouped, card, threads)


def build(config: TimmConfig, name: str) -> nn.Module:
    """Build the network without weights.

    Args:
        config: What the repository says about it.
        name: Of the model, for messages.

    Raises:
        ModelError: Where timm does not know it or cannot build it so.
    """
    import_torchvision()
    timm = trunks.import_timm()
    if config.architecture.partition(".")[0] not in timm.list_models():
        raise ModelError(f"{name}: timm {timm.__version__} knows no network {config.architecture!r}")
    size = {"img_size": config.input_px} if config.is_fixed_size else {}
    try:
        network: nn.Module = timm.create_model(
            config.architecture,
            pretrained=False,
            num_classes=len(config.labels),
            **{**size, **config.arguments},
        )
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{name}: timm cannot build {config.architecture} as described: {error}") from error
    return network


__all__ = ["build", "load"]
