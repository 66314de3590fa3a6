"""The pytest fixture `sandbox_wiki`: one wiki for the whole session.

Tests share it, so they take titles of their own and flip switches only inside `switched`. A machine that
cannot provide it skips those tests and says why; in CI (the variable `CI` is set) that is a failure, so that
they cannot drop out unnoticed.
"""

import os
from collections.abc import Iterator

import pytest

from tests.sandbox_wiki.errors import SandboxUnavailable
from tests.sandbox_wiki.wiki import SandboxWiki


def start_or_skip(wiki: SandboxWiki) -> None:
    """Start it, or end the test with the reason why it cannot be.

    Args:
        wiki: Not started yet.
    """
    try:
        wiki.start()
    except SandboxUnavailable as error:
        reason = f"no sandbox wiki on this machine: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def sandbox_wiki() -> Iterator[SandboxWiki]:
    """A running sandbox wiki."""
    wiki = SandboxWiki()
    start_or_skip(wiki)
    try:
        yield wiki
    finally:
        wiki.stop()
