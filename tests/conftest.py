"""What all tests share: no setting of the developer's own environment reaches them, and one thread computes.

Threads that share a network spin while they wait for each other, and so take the cores from what a test
waits for. The variables hold for its processes as well; whoever asks for threads still gets them.
"""

import logging
import os
import sys
from collections.abc import Iterator

import platformdirs
import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported, which reads them once.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

# On a busy machine anything may take long, and that is no failure.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["tests.sandbox_wiki.fixtures"]

WIDE_COLUMNS = 200

USERS_MODELS = platformdirs.user_cache_path("commons-nsfw-bot") / "models" / "added"
"""Found before any test points the cache elsewhere; the classifier is not asked, it takes long to import."""


@pytest.fixture(autouse=True)
def no_inherited_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("COMMONSBOT_") and not name.startswith("COMMONSBOT_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_added_models() -> Iterator[None]:
    """Models that a test adds go to a folder of its own: in the user's cache they would meet the next run."""
    before = _added_models()
    yield
    assert _added_models() == before, "a model was added to the user's cache folder: set cache_directory"


def _added_models() -> set[str]:
    return {path.name for path in USERS_MODELS.glob("*.json")}


@pytest.fixture
def wide_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of this process print tables without breaking lines; rich reads COLUMNS once, early."""
    from bot.commands import edges

    monkeypatch.setattr(edges.out, "_width", WIDE_COLUMNS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that of several processes none ends long after the others."""
    items.sort(key=_expected_length)


def _expected_length(item: pytest.Item) -> int:
    if "sandbox_wiki" in getattr(item, "fixturenames", ()):
        return 0
    return 1 if item.path.parent.name == "integration" else 2


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What is set for the whole process does not outlive the test that asked: torch's threads, and the log.

    An engine sets the threads; a command that runs in the tests' process sets how much is logged, and where.
    No fixture, as those of a module or the session compute too, and before any of one test.
    """
    if (logs := sys.modules.get("bot.logs")) is not None:
        logging.root.setLevel(logging.WARNING)
        for handler in logging.root.handlers[:]:
            if isinstance(handler, logs.StderrHandler):
                logging.root.removeHandler(handler)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
