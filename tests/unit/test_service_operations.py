"""What the service tells of itself: ready or not, numbers, a log line a request; and what it never tells."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from classifier.service import self_test
from classifier.service.access import AccessDenied, Caller
from classifier.service.problems import PROBLEMS
from tests.service import Brightness, GateDecoder, client, grey, service, wait_until

PNG = {"Content-Type": "image/png"}
SCORING = (
    "/v1/classify",
    "/v1/classify/batch",
    "/v1/models/brightness:predict",
    "/v2/models/brightness/infer",
)
BAD_IDS = ("", "short", "x" * 65, 'with "quotes" in it', "line\nbreak", "ümläute-und-mehr")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    console = Starlette(routes=[Route("/", lambda _: PlainTextResponse("the console"))])
    with service(GateDecoder(), tmp_path, mounts={"/console": console}) as app, client(app) as made:
        yield made


def test_it_is_not_ready_before_the_model_has_answered_for_the_known_picture(tmp_path: Path) -> None:
    decoder = GateDecoder()
    decoder.gate.clear()
    with service(decoder, tmp_path) as app, TestClient(app) as api:
        wait_until(lambda: decoder.begun)
        for path in ("/readyz", "/v2/health/ready", "/v2/models/brightness/ready"):
            answer = api.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert api.get("/healthz").status_code == api.get("/v2/health/live").status_code == 200
        assert api.get("/v1/models/brightness").json()["ready"] is False
        assert api.post("/v1/classify", content=grey(1), headers=PNG).json()["code"] == "not_ready"
        decoder.gate.set()
        wait_until(lambda: api.get("/readyz").status_code == 200)
        assert api.post("/v1/classify", content=grey(1), headers=PNG).status_code == 200


def test_a_model_that_fails_its_self_test_is_never_ready_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Brightness()
    model.error = "no such device"
    with service(GateDecoder(), tmp_path, model=model) as app, TestClient(app) as api:
        wait_until(lambda: "self_test_failed" in caplog.text)
        answer = api.get("/readyz")
        assert (answer.status_code, answer.json()["detail"]) == (503, "the self-test failed: no such device")


def test_the_known_picture_is_always_the_same() -> None:
    assert self_test.picture() == self_test.picture()


def test_a_service_that_drains_is_not_ready_but_answers(api: TestClient) -> None:
    api.app.state.service.draining = True  # type: ignore[attr-defined]
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
    assert api.post("/v1/classify", content=grey(1), headers=PNG).status_code == 200
    assert "commonsbot_service_ready 0.0" in api.get("/metrics").text


def test_requests_are_counted_by_template_and_never_by_what_a_caller_sent(api: TestClient) -> None:
    api.post("/v1/classify", content=grey(1), headers=PNG)
    api.post("/v1/classify", content=b"x", headers={"Content-Type": "text/plain"})
    api.get("/v1/models/secret-name")
    api.get("/secret-path")
    api.get("/console/")
    api.request("BREW", "/healthz")
    numbers = api.get("/metrics").text
    for expected in (
        'requests_total{method="POST",route="/v1/classify",status_class="2xx"} 1.0',
        'requests_total{method="POST",route="/v1/classify",status_class="4xx"} 1.0',
        'requests_total{method="GET",route="/v1/models/{name}",status_class="4xx"} 1.0',
        'requests_total{method="GET",route="unmatched",status_class="4xx"} 1.0',
        'requests_total{method="GET",route="/console/",status_class="2xx"} 1.0',
        'requests_total{method="other",route="/healthz",status_class="4xx"} 1.0',
        'request_duration_seconds_count{route="/v1/classify"} 2.0',
        'problems_total{code="unsupported_media_type"} 1.0',
        'batch_size_bucket{le="1"} 3.0',
        "cache_misses_total 1.0",
        "queue_depth 0.0",
        "ready 1.0",
    ):
        assert f"commonsbot_service_{expected}" in numbers
    assert "secret" not in numbers


def test_one_line_a_request_with_its_id_and_nothing_of_what_was_sent(
    api: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = {"X-Request-ID": "from-the-proxy-17", "Authorization": "Bearer secret-token"}
    answer = api.post("/v1/classify", files={"f": ("secret-name.png", b"secret-bytes")}, headers=headers)
    assert answer.headers["X-Request-ID"] == "from-the-proxy-17"
    lines = [record for record in caplog.records if record.message == "request"]
    assert len(lines) == 1
    told = vars(lines[0])
    assert (told["request_id"], told["method"], told["route"], told["status"]) == (
        "from-the-proxy-17",
        "POST",
        "/v1/classify",
        200,
    )
    assert told["account"] == "anonymous"
    assert told["duration_ms"] > 0
    everything = "".join(json.dumps(vars(record), default=str) for record in caplog.records)
    assert "secret" not in everything


@pytest.mark.parametrize("given", BAD_IDS)
def test_an_id_that_is_not_well_formed_is_replaced(api: TestClient, given: str) -> None:
    answer = api.get("/healthz", headers={"X-Request-ID": given.encode()})
    assert answer.headers["X-Request-ID"] != given
    assert len(answer.headers["X-Request-ID"]) == 16


def test_a_problem_names_its_request(api: TestClient) -> None:
    answer = api.get("/nowhere")
    assert answer.json()["instance"] == f"urn:request:{answer.headers['X-Request-ID']}"


def test_what_has_no_address_or_method_is_a_problem_too(api: TestClient) -> None:
    missing = api.get("/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = api.delete("/v1/classify")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "POST"
    predict = api.get("/v1/models/brightness:predict")
    assert (predict.status_code, predict.headers["Allow"]) == (405, "POST")


def test_a_fault_of_ours_is_a_problem_without_its_details(tmp_path: Path) -> None:
    class Broken:
        def admit_at_once(self, token: str | None, *, scope: str, cost: int) -> Caller | None:
            return None

        def admit(self, token: str | None, *, scope: str, cost: int) -> Caller:
            raise RuntimeError("secret detail")

    with (
        service(GateDecoder(), tmp_path, access=Broken()) as app,
        TestClient(app, raise_server_exceptions=False) as api,
    ):
        wait_until(lambda: app.state.service.not_ready_because is None)
        answer = api.post("/v1/classify", content=grey(1), headers=PNG)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "secret" not in answer.text
        assert 'route="/v1/classify",status_class="5xx"} 1.0' in api.get("/metrics").text


class Doorkeeper:
    """Lets one token in, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str, int]] = []

    def admit_at_once(self, token: str | None, *, scope: str, cost: int) -> Caller | None:
        return None

    def admit(self, token: str | None, *, scope: str, cost: int) -> Caller:
        self.asked.append((token, scope, cost))
        if token is None:
            raise AccessDenied(401, "unauthorized", "a token is needed")
        if token == "used-up":
            raise AccessDenied(429, "quota_exceeded", "too many", 30)
        return Caller("Someone", frozenset({"classify"}))


def test_nobody_scores_without_being_let_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    door = Doorkeeper()
    with service(GateDecoder(), tmp_path, access=door) as app, client(app) as api:
        for path in SCORING:
            answer = api.post(path, content=grey(1), headers=PNG)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        used_up = api.post("/v1/classify", content=grey(1), headers=PNG | {"Authorization": "Bearer used-up"})
        assert (used_up.status_code, used_up.headers["Retry-After"]) == (429, "30")
        door.asked.clear()
        good = {"Authorization": "bearer right"}
        assert api.post("/v1/classify", content=grey(1), headers=PNG | good).status_code == 200
        api.post("/v1/classify/batch", files=[("f", ("a", grey(n))) for n in range(3)], headers=good)
        assert door.asked == [("right", "classify", 1), ("right", "classify", 0), ("right", "classify", 3)]
        assert api.get("/healthz").status_code == api.get("/readyz").status_code == 200
    assert {vars(one)["account"] for one in caplog.records if one.message == "request"} >= {None, "Someone"}


def test_other_sites_may_not_read_answers(api: TestClient) -> None:
    answer = api.post("/v1/classify", content=grey(1), headers=PNG | {"Origin": "https://example.org"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_every_code_leads_to_an_explanation(api: TestClient) -> None:
    for code, (status, title) in PROBLEMS.items():
        assert api.get(f"/problems/{code}").text == f"{code} ({status}): {title}\n"
    assert api.get("/problems/unheard-of").status_code == 404


def test_a_mounted_application_answers_below_its_path(api: TestClient) -> None:
    assert api.get("/console/").text == "the console"
