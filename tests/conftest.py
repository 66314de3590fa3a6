"""What all tests share: no setting of the developer's own environment reaches them."""

import os

import pytest
from hypothesis import HealthCheck, settings

# On a busy machine anything may take long, and that is no failure.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["tests.sandbox_wiki.fixtures"]


@pytest.fixture(autouse=True)
def no_inherited_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("COMMONSBOT_") and not name.startswith("COMMONSBOT_TEST_"):
            monkeypatch.delenv(name)
