"""A tiny model in the form of nsfwjs' npm package, and what it should compute, written out in numpy."""

import base64
import hashlib
import io
import tarfile
from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from classifier.peers.mobilenet_v2 import Layout

FOLDER = "package/dist/models/tiny"
LAYOUT = Layout(stem=4, blocks=((1, 4, 1), (2, 6, 2), (2, 6, 1)), last=8, hidden=(5,), classes=5)
Arrays = Mapping[str, NDArray[np.float32]]


def _conv(name: str, kernel: str, norm: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    channels = shape[2] if kernel.startswith("depthwise") else shape[3]
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    return {f"{name}/{kernel}": shape} | {f"{norm}/{part}": (channels,) for part in parts}


SHAPES: dict[str, tuple[int, ...]] = {
    **_conv("Conv1", "kernel", "bn_Conv1", (3, 3, 3, 4)),
    **_conv("expanded_conv_depthwise", "depthwise_kernel", "expanded_conv_depthwise_BN", (3, 3, 4, 1)),
    **_conv("expanded_conv_project", "kernel", "expanded_conv_project_BN", (1, 1, 4, 4)),
    **_conv("block_1_expand", "kernel", "block_1_expand_BN", (1, 1, 4, 8)),
    **_conv("block_1_depthwise", "depthwise_kernel", "block_1_depthwise_BN", (3, 3, 8, 1)),
    **_conv("block_1_project", "kernel", "block_1_project_BN", (1, 1, 8, 6)),
    **_conv("block_2_expand", "kernel", "block_2_expand_BN", (1, 1, 6, 12)),
    **_conv("block_2_depthwise", "depthwise_kernel", "block_2_depthwise_BN", (3, 3, 12, 1)),
    **_conv("block_2_project", "kernel", "block_2_project_BN", (1, 1, 12, 6)),
    **_conv("Conv_1", "kernel", "Conv_1_bn", (1, 1, 6, 8)),
    "dense_1/kernel": (8, 5),
    "dense_1/bias": (5,),
    "dense_2/kernel": (5, 5),
    "dense_2/bias": (5,),
}


def bundle(seed: int = 26, leave_out: str = "", cut: int = 0) -> tuple[bytes, Arrays]:
    """A tarball with quantised weights in two shards, and the numbers that they stand for.

    The usual seed is one whose scores differ from picture to picture.
    """
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray[np.float32]] = {}
    entries, content = [], b""
    for name, shape in SHAPES.items():
        if name == leave_out:
            continue
        stored = rng.integers(0, 256, shape, dtype=np.uint8)
        low, high = (0.5, 1.5) if name.endswith(("variance", "gamma")) else (-0.9, 1.0)
        scale = (high - low) / 255
        arrays[name] = (stored.astype(np.float64) * scale + low).astype(np.float32)
        quantisation = f'{{min:{low},scale:{scale!r},dtype:"uint8"}}'
        entries.append(f'{{name:"{name}",shape:{list(shape)},dtype:"float32",quantization:{quantisation}}}')
        content += stored.tobytes()
    content = content[: len(content) - cut]
    manifest = f'weightsManifest:[{{paths:["a-1of2","a-2of2"],weights:[{",".join(entries)}]}}]'
    half = len(content) // 2
    scripts = {
        "model": f"{{modelTopology:{{sparse:!1,epsilon:.001,seed:null}},{manifest}}}",
        "a-1of2": f'"{base64.b64encode(content[:half]).decode()}"',
        "a-2of2": f'"{base64.b64encode(content[half:]).decode()}"',
    }
    return tarball({name: minified(literal) for name, literal in scripts.items()}), arrays


def minified(literal: str) -> str:
    """Wrapped as browserify and terser do it."""
    return (
        '!function(e){if("object"==typeof exports&&"undefined"!=typeof module)module.exports=e();'
        f"else{{this.model=e()}}}}(function(){{return({{1:[function(e,a,n){{a.exports={literal}}},{{}}]}})}});"
    )


def tarball(scripts: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in scripts.items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}.min.js")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def probabilities(pixels: NDArray[np.uint8], arrays: Arrays) -> NDArray[np.float64]:
    """What Keras computes with these weights: (n, h, w, 3) to (n, 5), layer by layer, in double precision."""
    maps = _normal(_convolved(pixels / 255.0, arrays["Conv1/kernel"], 2), arrays, "bn_Conv1")
    for block, stride in (("expanded_conv", 1), ("block_1", 2), ("block_2", 1)):
        before = maps
        if f"{block}_expand/kernel" in arrays:
            maps = _convolved(maps, arrays[f"{block}_expand/kernel"], 1)
            maps = _normal(maps, arrays, f"{block}_expand_BN")
        maps = _depthwise(maps, arrays[f"{block}_depthwise/depthwise_kernel"], stride)
        maps = _normal(maps, arrays, f"{block}_depthwise_BN")
        maps = _convolved(maps, arrays[f"{block}_project/kernel"], 1)
        maps = _normal(maps, arrays, f"{block}_project_BN", linear=True)
        maps = maps + before if maps.shape == before.shape else maps
    maps = _normal(_convolved(maps, arrays["Conv_1/kernel"], 1), arrays, "Conv_1_bn")
    found = maps.mean(axis=(1, 2))
    found = np.maximum(found @ arrays["dense_1/kernel"] + arrays["dense_1/bias"], 0)
    found = np.exp(found @ arrays["dense_2/kernel"] + arrays["dense_2/bias"])
    return found / found.sum(axis=1, keepdims=True)


def _windows(maps: NDArray[np.float64], side: int, stride: int) -> NDArray[np.float64]:
    """(n, h, w, channels, side, side), padded as Keras does: strided ones at the right and below only."""
    margin = (0, 1) if stride == 2 else (side // 2, side // 2)
    padded = np.pad(maps, ((0, 0), margin, margin, (0, 0)))
    return sliding_window_view(padded, (side, side), axis=(1, 2))[:, ::stride, ::stride]


def _convolved(maps: NDArray[np.float64], kernel: NDArray[np.float32], stride: int) -> NDArray[np.float64]:
    return np.einsum("nhwcij,ijco->nhwo", _windows(maps, len(kernel), stride), kernel.astype(np.float64))


def _depthwise(maps: NDArray[np.float64], kernel: NDArray[np.float32], stride: int) -> NDArray[np.float64]:
    return np.einsum(
        "nhwcij,ijc->nhwc", _windows(maps, len(kernel), stride), kernel[..., 0].astype(np.float64)
    )


def _normal(
    maps: NDArray[np.float64], arrays: Arrays, name: str, linear: bool = False
) -> NDArray[np.float64]:
    gamma, beta, mean, variance = (
        arrays[f"{name}/{part}"].astype(np.float64)
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    maps = (maps - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    return maps if linear else np.clip(maps, 0, 6)
