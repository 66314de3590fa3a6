"""torchvision imports, whichever torch its wheel was built for; each case in an interpreter of its own."""

import subprocess
import sys

_FAKE = """
import importlib.util, sys
sys.meta_path.insert(0, type("Finder", (), {{
    "find_spec": staticmethod(lambda name, path=None, target=None:
        importlib.util.spec_from_loader(name, Loader()) if name == "torchvision" else None)}}))
class Loader:
    def create_module(self, spec): return None
    def exec_module(self, module): {body}
import torch
defined = []
torch.library.define = lambda name, schema: defined.append(name)
from classifier.torch_compat import import_torchvision
"""


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_installed_torchvision_imports_and_its_models_can_be_used() -> None:
    done = _run(
        "from classifier.torch_compat import import_torchvision\n"
        "assert import_torchvision() is import_torchvision()\n"
        "import torch, torchvision.models\n"
        "print(torchvision.models.mobilenet_v3_small().eval()(torch.zeros(1, 3, 64, 64)).shape)\n"
    )
    assert done.stdout.strip() == "torch.Size([1, 1000])", done.stderr


def test_timm_imports_where_nothing_has_imported_torchvision_before() -> None:
    done = _run("from classifier.models.trunks import import_timm; print(import_timm().__name__)")
    assert done.stdout.strip() == "timm", done.stderr


def test_a_healthy_torchvision_is_left_alone() -> None:
    done = _run(_FAKE.format(body="module.fine = True") + "print(import_torchvision().fine, defined)")
    assert done.stdout.strip() == "True []", done.stderr


def test_any_other_failure_is_passed_on() -> None:
    done = _run(
        _FAKE.format(body="raise RuntimeError('operator torchvision::roi_align does not exist')")
        + "try:\n    import_torchvision()\nexcept RuntimeError as error:\n    print(error, defined)"
    )
    assert done.stdout.strip() == "operator torchvision::roi_align does not exist []", done.stderr
