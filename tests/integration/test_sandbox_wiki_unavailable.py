"""Where the sandbox wiki cannot exist, the reason is said: tests skip, and CI fails."""

from pathlib import Path

import pytest

from tests.sandbox_wiki import SandboxUnavailable, SandboxWiki
from tests.sandbox_wiki.fixtures import start_or_skip
from tests.sandbox_wiki.packages import CACHE_VARIABLE, cache_folder, provide_base


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt without lists, whose only source is a loopback port on which nobody listens."""
    (tmp_path / "lists/partial").mkdir(parents=True)
    (tmp_path / "sources.list").write_text("deb [trusted=yes] http://127.0.0.1:9/debian bookworm main\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::State::Lists "{tmp_path}/lists";\n'
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\n'
        f'Dir::Etc::sourceparts "{tmp_path}/no-parts";\n'
        f'Dir::Cache "{tmp_path}/apt-cache";\n'
        'Acquire::http::Proxy "DIRECT";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))


@pytest.fixture
def cut_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt with the machine's lists, behind a proxy that is not there: it fails while building."""
    (tmp_path / "apt.conf").write_text('Acquire::http::Proxy "http://127.0.0.1:9";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))


def test_the_cache_folder_can_be_chosen(empty_cache: Path) -> None:
    assert cache_folder() == empty_cache


def test_a_machine_without_apt_get_is_told_so(empty_cache: Path, no_programs: None) -> None:
    with pytest.raises(SandboxUnavailable, match="apt-get is missing"):
        provide_base(empty_cache)


def test_a_machine_without_network_is_told_so(empty_cache: Path, no_network: None) -> None:
    with pytest.raises(SandboxUnavailable, match="apt-get update failed"):
        provide_base(empty_cache)
    assert {path.name for path in empty_cache.iterdir()} <= {".sandbox-wiki.lock", "apt"}


@pytest.mark.slow
def test_a_download_that_fails_leaves_nothing_half_done(empty_cache: Path, cut_network: None) -> None:
    with pytest.raises(SandboxUnavailable, match="apt-get update failed"):
        provide_base(empty_cache)
    assert {path.name for path in empty_cache.iterdir()} <= {".sandbox-wiki.lock", "apt"}


def test_tests_skip_with_the_reason(
    empty_cache: Path, no_programs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get is missing"):
        start_or_skip(SandboxWiki())


def test_in_ci_they_fail_with_the_reason(
    empty_cache: Path, no_programs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get is missing"):
        start_or_skip(SandboxWiki())
