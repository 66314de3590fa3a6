"""The light process: what may load the libraries that train, export and run models; nothing else does.

Torch alone costs hundreds of megabytes, and `requirements-light.txt` does not install it. So a module that
loads such a library when it is imported is named here, and everything else imports it inside a function.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL_LIBRARIES = {
    "torch",
    "torchvision",
    "safetensors",
    "onnx",
    "onnxruntime",
    "openvino",
    "sklearn",
    "scipy",
}
LOADS_THEM = {
    "classifier.engines.calibration",
    "classifier.engines.detector_engine",
    "classifier.engines.graph",
    "classifier.engines.making",
    "classifier.engines.onnxruntime_engine",
    "classifier.engines.onnxruntime_session",
    "classifier.engines.openvino_engine",
    "classifier.engines.scorer",
    "classifier.engines.sets_cache",
    "classifier.engines.strides",
    "classifier.engines.torch_engine",
    "classifier.engines.torch_int8",
    "classifier.evaluation.attacks",
    "classifier.evaluation.explain",
    "classifier.evaluation.explain_files",
    "classifier.evaluation.robustness",
    "classifier.evaluation.robustness_changes",
    "classifier.models.architectures",
    "classifier.models.attention",
    "classifier.models.configured",
    "classifier.models.convert",
    "classifier.models.open_nsfw",
    "classifier.models.pyramid",
    "classifier.models.starting_weights",
    "classifier.models.trunks",
    "classifier.peers.grouped_logits",
    "classifier.peers.mobilenet_v2",
    "classifier.peers.timm_network",
    "classifier.torch_compat",
    "classifier.training.adversarial",
    "classifier.training.augment",
    "classifier.training.data",
    "classifier.training.ema",
    "classifier.training.keeping",
    "classifier.training.module",
    "classifier.training.objective",
    "classifier.training.run",
    "classifier.training.search.pruning",
    "classifier.training.search.trials",
    "classifier.training.starting",
    "classifier.training.svm",
    "classifier.training.trainer",
    "classifier.training.watching",
}
"""Imported inside functions only, by whoever needs one of these libraries."""
QUANTISER = "classifier.engines.quantise"
"""It and its parts, `quantise_…`, likewise: it rewrites graphs with onnx."""


def loads_them(name: str) -> bool:
    return name in LOADS_THEM or name.startswith(QUANTISER)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    name_of(path): path
    for package in ("bot", "classifier", "storage")
    for path in (ROOT / package).rglob("*.py")
    if not {"node_modules", "migrations"} & set(path.parts)
}
LIGHT = sorted(name for name in MODULES if not loads_them(name))


def executed(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported."""
    for node in nodes:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        checks_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for field in ("orelse", "finalbody") if checks_types else ("body", "orelse", "finalbody"):
            yield from executed(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from executed(handler.body)


def imported(nodes: list[ast.stmt]) -> set[str]:
    """Everything that is imported with a module: `a`, `a.b` and, of `from a import b`, both."""
    names: set[str] = set()
    for node in executed(nodes):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("name", LIGHT)
def test_importing_a_light_module_loads_no_model_library(name: str) -> None:
    found = imported(ast.parse(MODULES[name].read_text(encoding="utf-8")).body)
    assert {module.partition(".")[0] for module in found} & MODEL_LIBRARIES == set()
    assert not any(map(loads_them, found)), "import it inside the function that needs it"


def test_what_a_module_imports_only_later_or_only_for_types_does_not_count() -> None:
    source = """
import a.b
if TYPE_CHECKING:
    import torch
else:
    from c import d
def late():
    import onnx
try:
    import e
except ImportError:
    import f
class Here:
    import g
    def method(self):
        import torch
"""
    assert imported(ast.parse(source).body) == {"a.b", "c", "c.d", "e", "f", "g"}


def test_all_light_modules_can_be_imported_where_no_model_library_is_installed() -> None:
    """Also through what they import from elsewhere, which the syntax trees do not show."""
    modules = [name for name in LIGHT if not name.endswith("__main__")]
    program = (
        f"import importlib, sys\nsys.modules.update(dict.fromkeys({sorted(MODEL_LIBRARIES)!r}))\n"
        f"for name in {modules!r}:\n    importlib.import_module(name)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
