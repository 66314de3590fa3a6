"""Executes a notebook of `docs/notebooks` in a kernel of this very interpreter.

`python -m tests.notebook_runs` executes the committed one on its full setting and keeps the outputs, which
takes some minutes; whoever changes its sources does that, and a test tells who forgot.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import nbformat
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient
from nbformat import NotebookNode

from bot.settings import ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "model-comparison.ipynb"
SEEN_IN = "executed_sources_sha256"
"""Where a notebook's metadata say which sources its outputs are of."""


def read(path: Path = NOTEBOOK) -> NotebookNode:
    """Read a notebook; it is checked against the format."""
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    return book


def executed(book: NotebookNode, environment: Mapping[str, str], folder: Path) -> NotebookNode:
    """Execute a copy.

    Args:
        book: Which.
        environment: Variables for its kernel, over those of this process.
        folder: For what Jupyter, IPython and matplotlib want to keep.

    Returns:
        The copy with its outputs.

    Raises:
        CellExecutionError: Where a cell fails.
    """
    # A kernel of that name that somebody installed elsewhere would run another Python.
    write_kernel_spec(folder / "jupyter" / "kernels" / "python3")
    own = {
        "JUPYTER_PATH": str(folder / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    copy = nbformat.from_dict(book)
    with patch.dict(os.environ, own):
        client = NotebookClient(
            copy,
            kernel_name="python3",
            timeout=1800,
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
        )
        client.execute()
    return copy


def sources_hash(book: NotebookNode) -> str:
    """SHA-256 of all code, in order."""
    digest = hashlib.sha256()
    for cell in book.cells:
        if cell.cell_type == "code":
            digest.update(cell.source.encode() + b"\0")
    return digest.hexdigest()


def refresh(path: Path = NOTEBOOK, setting: str = "full") -> None:
    """Execute a notebook and keep its outputs, and nothing that only tells where and when that was."""
    with tempfile.TemporaryDirectory() as folder:
        book = executed(read(path), {"NOTEBOOK_SETTING": setting}, Path(folder))
    book.metadata.pop("widgets", None)
    book.metadata["language_info"] = {"name": "python"}
    book.metadata[SEEN_IN] = sources_hash(book)
    for cell in book.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(book, path)


if __name__ == "__main__":
    refresh(*map(Path, sys.argv[1:2]), *sys.argv[2:3])
