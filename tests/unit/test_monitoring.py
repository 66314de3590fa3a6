"""`/metrics` and `/healthz` over real HTTP."""

import socket
from collections.abc import Iterator

import pytest
import requests

from bot.errors import ConfigError
from bot.monitoring import Health, Metrics, MonitoringServer


class Mood:
    ok = True


@pytest.fixture
def mood() -> Mood:
    return Mood()


@pytest.fixture
def server(mood: Mood) -> Iterator[MonitoringServer]:
    metrics = Metrics()
    metrics.outcomes.labels("audio").inc(3)
    started = MonitoringServer("127.0.0.1", 0, metrics, lambda: Health(mood.ok, {"stream_lag_s": 1.5}))
    started.start()
    yield started
    started.close()


def test_metrics_are_served_in_prometheus_format(server: MonitoringServer) -> None:
    answer = requests.get(f"{server.url}/metrics", timeout=10)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'commonsbot_outcomes_total{outcome="audio"} 3.0' in answer.text


@pytest.mark.parametrize(("ok", "status"), [(True, 200), (False, 503)])
def test_health_says_whether_to_leave_it_alone(
    server: MonitoringServer, mood: Mood, ok: bool, status: int
) -> None:
    mood.ok = ok
    answer = requests.get(f"{server.url}/healthz", timeout=10)
    assert (answer.status_code, answer.json()) == (status, {"ok": ok, "stream_lag_s": 1.5})


def test_anything_else_is_not_found(server: MonitoringServer) -> None:
    assert requests.get(f"{server.url}/admin", timeout=10).status_code == 404


def test_a_port_in_use_is_a_configuration_error_that_names_the_key() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"monitoring\.port"):
            MonitoringServer("127.0.0.1", taken.getsockname()[1], Metrics(), lambda: Health(True, {}))
