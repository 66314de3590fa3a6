"""The OpenAPI document says what the service does: every status and body, and answers of that shape."""

import base64
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from classifier.service.problems import PROBLEM_JSON, PROBLEMS
from tests.service import GateDecoder, client, grey, service

JSON = "application/json"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with service(GateDecoder(), tmp_path_factory.mktemp("spool")) as app, client(app) as made:
        yield made


@pytest.fixture(scope="module")
def document(api: TestClient) -> dict[str, Any]:
    told: dict[str, Any] = api.get("/openapi.json").json()
    return told


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for reference in references(document):
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_every_operation_is_described_and_its_problems_are_problem_details(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == [PROBLEM_JSON], (path, status)
                example = response["content"][PROBLEM_JSON]["example"]
                assert PROBLEMS[example["code"]][0] == int(status)


def test_what_scores_declares_every_status_that_it_may_answer_with(document: dict[str, Any]) -> None:
    scoring = [operation for _, method, operation in operations(document) if method == "post"]
    assert len(scoring) == 4
    for operation in scoring:
        expected = {"200", "400", "401", "403", "408", "413", "415", "422", "429", "503", "504"}
        assert expected <= set(operation["responses"])
        assert operation["security"] == [{"bearer": []}, {}]
        assert operation["requestBody"]["required"] is True


def examples() -> list[tuple[str, str, dict[str, Any], str, int]]:
    png, headers = grey(51), {"Content-Type": "image/png"}
    text = base64.b64encode(png).decode()
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
    return [
        ("post", "/v1/classify", {"content": png, "headers": headers}, "/v1/classify", 200),
        ("post", "/v1/classify?frames=true&timing=true", {"files": {"f": ("f", png)}}, "/v1/classify", 200),
        ("post", "/v1/classify", {"content": b"", "headers": headers}, "/v1/classify", 422),
        ("post", "/v1/classify", {"content": b"x"}, "/v1/classify", 415),
        ("post", "/v1/classify", {"json": {"title": 1}}, "/v1/classify", 422),
        (
            "post",
            "/v1/classify/batch",
            {"files": [("f", ("f", png)), ("f", ("g", b""))]},
            "/v1/classify/batch",
            200,
        ),
        ("post", "/v1/classify/batch", {"json": {"items": []}}, "/v1/classify/batch", 422),
        ("get", "/v1/scores/" + "0" * 64, {}, "/v1/scores/{sha256}", 404),
        ("get", "/v1/scores/0", {}, "/v1/scores/{sha256}", 422),
        (
            "post",
            "/v1/models/brightness:predict",
            {"json": {"instances": [{"image": text}, {"image": "?"}]}},
            "/v1/models/{name}:predict",
            200,
        ),
        ("post", "/v1/models/x:predict", {"json": {}}, "/v1/models/{name}:predict", 404),
        ("get", "/v1/models", {}, "/v1/models", 200),
        ("get", "/v1/models/brightness", {}, "/v1/models/{name}", 200),
        (
            "post",
            "/v2/models/brightness/infer",
            {"json": {"inputs": [tensor]}},
            "/v2/models/{name}/infer",
            200,
        ),
        ("post", "/v2/models/brightness/infer", {"json": {}}, "/v2/models/{name}/infer", 422),
        ("get", "/v2", {}, "/v2", 200),
        ("get", "/v2/health/live", {}, "/v2/health/live", 200),
        ("get", "/v2/health/ready", {}, "/v2/health/ready", 200),
        ("get", "/v2/models/brightness", {}, "/v2/models/{name}", 200),
        ("get", "/v2/models/brightness/ready", {}, "/v2/models/{name}/ready", 200),
        ("get", "/healthz", {}, "/healthz", 200),
        ("get", "/readyz", {}, "/readyz", 200),
        ("get", "/problems/nothing", {}, "/problems/{code}", 404),
    ]


@pytest.mark.parametrize(("method", "url", "arguments", "path", "status"), examples(), ids=lambda value: None)
def test_answers_have_the_shape_that_the_document_declares(
    api: TestClient,
    document: dict[str, Any],
    method: str,
    url: str,
    arguments: dict[str, Any],
    path: str,
    status: int,
) -> None:
    answer = api.request(method, url, **arguments)
    assert answer.status_code == status, answer.text
    declared = document["paths"][path][method]["responses"][str(status)]
    kind = answer.headers["Content-Type"]
    schema = declared["content"][kind]["schema"]
    jsonschema.validate(answer.json(), schema | {"components": document["components"]})


def test_the_pages_that_load_scripts_from_elsewhere_are_not_there(api: TestClient) -> None:
    assert api.get("/docs").status_code == api.get("/redoc").status_code == 404
