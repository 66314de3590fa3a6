"""The rules of the house that a reviewer would otherwise have to watch over."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bot", "classifier", "storage")
MAY_IMPORT = {"bot": {"bot", "classifier", "storage"}, "classifier": {"classifier"}, "storage": {"storage"}}
OWNERS = {
    "pywikibot": ("bot/wiki.py",),
    "sqlalchemy": ("storage/",),
    "alembic": ("storage/",),
    "torch": ("classifier/",),
    "torchvision": ("classifier/",),
    "onnxruntime": ("classifier/engines/",),
    "openvino": ("classifier/engines/openvino_",),
    "simplejpeg": ("classifier/jpeg.py",),
    "sseclient": ("bot/stream/sse.py",),
    "fastapi": ("classifier/service/", "bot/serving/", "bot/console/"),
    "starlette": ("classifier/service/", "bot/serving/", "bot/console/"),
    "uvicorn": ("bot/serving/",),
    "lightning": ("classifier/training/trainer.py",),
    "timm": ("classifier/models/trunks.py",),
    "huggingface_hub": ("classifier/peers/hub.py",),
    "matplotlib": (
        "classifier/evaluation/plots.py",
        "classifier/evaluation/comparison_plots.py",
        "bot/console/plotting.py",
    ),
    "captum": ("classifier/evaluation/explain.py",),
    "cleanlab": ("classifier/evaluation/suspicious.py",),
    "optuna": ("classifier/training/search/",),
    "pyarrow": ("classifier/datasets/manifest.py", "bot/export/parquet.py"),
    "pdqhash": ("classifier/datasets/verify.py", "classifier/pdq.py"),
}
BROAD_EXCEPT_ALLOWED = {"bot/pipeline.py", "bot/cli.py"}
SOURCES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "node_modules" not in path.parts
)


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_place_allows(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    names = imported(ast.parse(path.read_text(encoding="utf-8")))
    package = relative.split("/")[0]
    assert names & set(PACKAGES) <= MAY_IMPORT[package]
    for library, places in OWNERS.items():
        if library in names:
            assert relative.startswith(places), f"{library} belongs to {places}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_known_edges_catch_everything(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    broad = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
        )
        and not any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
    ]
    if path.relative_to(ROOT).as_posix() not in BROAD_EXCEPT_ALLOWED:
        assert broad == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_configuration_is_data_only() -> None:
    assert [path.name for path in (ROOT / "config").rglob("*.py")] == []


def test_pyproject_holds_the_build_system_alone() -> None:
    import tomllib

    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system"}


def test_every_code_that_an_upload_can_end_in_is_explained() -> None:
    """A literal given to one of the errors that end in a code, or a constant that holds one."""
    pattern = (
        r'(?:RetryLater|SkipUpload|DecodeError)\(\s*"(\w+)"|(?:_CODE|_UNAVAILABLE)(?:: Final)? = "(\w+)"'
    )
    codes = {
        one or other
        for path in SOURCES
        for one, other in re.findall(pattern, path.read_text(encoding="utf-8"))
    }
    assert {"forbidden", "crashed", "audio", "rendition_unavailable", "internal_error"} <= codes
    explained = set(
        re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    )
    assert codes - explained == set()
