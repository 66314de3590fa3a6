"""What the service refuses, and says to nobody, whatever is asked."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from bot import cli
from classifier.service.memory_guard import MemoryGuard, resident_bytes
from classifier.service.parts import MIB, ServiceLimits
from classifier.service.problems import Problem
from tests.service import GateDecoder, client, grey, service, wait_until

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[TestClient]:
    with (
        service(GateDecoder(), tmp_path, limits=ServiceLimits(file_bytes=2 * MIB)) as app,
        client(app) as made,
    ):
        yield made


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/models", "/healthz", "/openapi.json", "/nowhere"])
@pytest.mark.parametrize("origin", ["https://example.org", "null"])
def test_no_other_site_may_read_an_answer(asking: TestClient, path: str, origin: str) -> None:
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answers = [
        asking.get(path, headers={"Origin": origin}),
        asking.post(path, content=grey(10), headers={"Origin": origin, **PNG}),
        asking.options(path, headers=preflight),
    ]
    for answer in answers:
        assert [name for name in answer.headers if name.lower().startswith("access-control")] == []


def test_a_service_that_has_too_much_memory_takes_no_files_until_it_has_less(tmp_path: Path) -> None:
    with (
        service(GateDecoder(), tmp_path, limits=ServiceLimits(memory_bytes=10**15)) as app,
        client(app) as asks,
    ):
        guard: MemoryGuard = app.state.service.memory
        wait_until(lambda: guard.resident_bytes > 0)
        assert asks.post("/v1/classify", content=grey(10), headers=PNG).status_code == 200
        guard.resident_bytes = 10**15 + 1
        refused = asks.post("/v1/classify", content=grey(11), headers=PNG)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert int(refused.headers["Retry-After"]) > 0
        assert asks.get("/healthz").status_code == 200
        wait_until(lambda: guard.resident_bytes < 10**15)
        assert asks.post("/v1/classify", content=grey(11), headers=PNG).status_code == 200


def test_memory_is_measured_with_that_of_all_processes() -> None:
    assert resident_bytes() > 10 * MIB
    MemoryGuard(10).check()
    guard = MemoryGuard(10)
    guard.resident_bytes = 11
    with pytest.raises(Problem, match="too much memory"):
        guard.check()


def test_a_connection_ends_where_a_refused_body_may_have_no_end(asking: TestClient) -> None:
    endless = asking.post("/v1/classify", content=b"", headers={**PNG, "Content-Length": "999999999999"})
    assert endless.status_code == 413
    assert endless.headers["Connection"] == "close"


def test_a_connection_goes_on_where_it_can(asking: TestClient) -> None:
    """Whoever sends everything first would otherwise never read why it was refused."""
    whole = asking.post("/v1/classify", content=grey(10), headers=PNG)
    large = asking.post("/v1/classify", content=bytes(3 * MIB), headers=PNG)
    other = asking.post("/v1/classify", content=bytes(1000), headers={"Content-Type": "text/plain"})
    assert [answer.status_code for answer in (whole, large, other)] == [200, 413, 415]
    assert not any("Connection" in answer.headers for answer in (whole, large, other))


def test_a_name_with_a_broken_escape_is_no_fault_of_the_service(asking: TestClient) -> None:
    broken = '"' + "\\q" * 5000 + '"'
    picture = base64.b64encode(grey(51)).decode()
    json = {"Content-Type": "application/json"}
    first = f'{{"instances":[{{"image":"{picture}","filename":{broken}}}]}}'
    answer = asking.post("/v1/models/brightness:predict", content=first, headers=json)
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["filename"] is None
    tensor = f'{{"name":"image","shape":[1],"datatype":"BYTES","data":["{picture}"]}}'
    second = f'{{"id":{broken},"inputs":[{tensor}]}}'
    assert asking.post("/v2/models/brightness/infer", content=second, headers=json).status_code == 200


def test_the_document_promises_no_parameter_that_may_be_null(asking: TestClient) -> None:
    paths = asking.get("/openapi.json").json()["paths"]
    parameters = [
        parameter
        for methods in paths.values()
        for operation in methods.values()
        for parameter in operation.get("parameters", ())
    ]
    assert len(parameters) > 10
    assert "null" not in str([one["schema"] for one in parameters])
    timeout = next(one for one in parameters if one["name"] == "X-Request-Timeout")
    assert {"type": "number", "exclusiveMinimum": 0}.items() <= timeout["schema"].items()


def test_serving_everybody_on_a_network_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMMONSBOT_ACCESS__ANONYMOUS", "true")
    refused = CliRunner().invoke(cli.app, ["serve", "--host", "0.0.0.0", "--port", "0"])
    assert refused.exit_code == 3
    assert "access.anonymous_beyond_loopback" in refused.stderr
