"""A file is replaced as a whole or not at all, and nothing is left beside it."""

import stat
from pathlib import Path

import pytest

from classifier import atomic_file


def test_a_file_is_replaced_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    target = tmp_path / "page"
    target.write_bytes(b"a longer old content")
    target.chmod(0o666)
    atomic_file.write(target, b"new")
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_a_shared_file_is_for_everybody(tmp_path: Path) -> None:
    atomic_file.write(tmp_path / "graph", b"new", atomic_file.SHARED)
    assert stat.S_IMODE((tmp_path / "graph").stat().st_mode) == 0o644


def test_whoever_reads_while_it_is_written_sees_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "page"
    target.write_bytes(b"old")
    with atomic_file.replacing(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


def _fail_half_way(target: Path, error: BaseException) -> None:
    with atomic_file.replacing(target) as file:
        file.write(b"ne")
        raise error


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "page"
    target.write_bytes(b"old")
    with pytest.raises(type(error)):
        _fail_half_way(target, error)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_cannot_be_replaced_is_an_error_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        atomic_file.write(folder, b"new")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_bare_name_is_written_where_the_process_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    atomic_file.write(Path("page"), b"new")
    assert (tmp_path / "page").read_bytes() == b"new"
