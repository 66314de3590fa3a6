"""Many files in one request: each its own result or its own problem, in three dialects."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.service.parts import ServiceLimits
from tests.service import Brightness, client, grey, service

LIMITS = ServiceLimits(batch_items=5, instances=4, instance_bytes=20_000, file_bytes=50_000)
PREDICT, INFER = "/v1/models/brightness:predict", "/v2/models/brightness/infer"


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("spool")
    with (
        DecodePool(DecodeLimits(), workers=1) as pool,
        service(pool, folder, limits=LIMITS) as app,
        client(app) as made,
    ):
        yield made
    assert list(folder.iterdir()) == []


def test_a_batch_answers_for_each_file_in_its_order(api: TestClient) -> None:
    files = [("f", (f"{value}.png", grey(value))) for value in (51, 204, 102)]
    files.insert(1, ("f", ("bad.png", b"no picture")))
    told = api.post("/v1/classify/batch?level=sensitive", files=files).json()
    assert (told["scored"], told["failed"]) == (3, 1)
    assert [item["index"] for item in told["items"]] == [0, 1, 2, 3]
    assert [item["name"] for item in told["items"]] == ["51.png", "bad.png", "204.png", "102.png"]
    scores = [item["result"]["score"] for item in told["items"] if "result" in item]
    assert scores == [pytest.approx(value / 255, abs=1e-4) for value in (51, 204, 102)]
    assert told["items"][1] == {"index": 1, "name": "bad.png", "problem": told["items"][1]["problem"]}
    assert told["items"][1]["problem"]["code"] == "undecodable"


def test_a_batch_has_a_bound_and_needs_something_in_it(api: TestClient) -> None:
    files = [("f", (f"{n}", grey(n))) for n in range(6)]
    assert api.post("/v1/classify/batch", files=files).json()["code"] == "too_large"
    many = {"items": [{"title": "File:A.jpg"}] * 6}
    assert api.post("/v1/classify/batch", json=many).json()["code"] == "too_large"
    assert api.post("/v1/classify/batch", json={"items": []}).json()["code"] == "invalid_request"
    text = api.post("/v1/classify/batch", content=b"x", headers={"Content-Type": "image/png"})
    assert text.json()["code"] == "unsupported_media_type"


def test_one_file_too_large_ends_a_form(api: TestClient) -> None:
    """The rest of the form cannot be told apart from it without reading on."""
    answer = api.post("/v1/classify/batch", files=[("f", ("a", grey(1))), ("f", ("b", bytes(50_001)))])
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_predictions_come_as_kserve_wants_them_and_unknown_keys_are_tolerated(api: TestClient) -> None:
    body = {
        "instances": [
            {"filename": "a.png", "image": b64(grey(51)), "target": "logo", "more": {"x": [1]}},
            {"image": b64(b"no picture")},
            {"filename": "c.png", "image": "!!!"},
            {"filename": "d.png", "image": b64(bytes(20_001))},
        ],
        "client": "x",
    }
    predictions = api.post(PREDICT, json=body).json()["predictions"]
    assert predictions[0]["filename"] == "a.png"
    assert predictions[0]["prediction"] == pytest.approx(0.2)
    assert predictions[0]["label"] == "sfw"
    assert predictions[0]["result"]["model"]["version"] == "v1"
    assert [(one["prediction"], one["label"]) for one in predictions[1:]] == [(None, None)] * 3
    assert [one["problem"]["code"] for one in predictions[1:]] == [
        "undecodable",
        "invalid_request",
        "too_large",
    ]


def test_base64_as_php_and_as_mime_write_it_is_read(api: TestClient) -> None:
    content = grey(51, side_px=400) + bytes(9000)  # long enough to stay in the buffer
    assert "/" in b64(b"\xff" * 3)
    php = json.dumps({"instances": [{"image": b64(content)}]}).replace("/", "\\/")
    mime = json.dumps({"instances": [{"image": base64.encodebytes(content).decode()}]})
    for text in (php, mime):
        answer = api.post(PREDICT, content=text, headers={"Content-Type": "application/json"})
        assert answer.json()["predictions"][0]["prediction"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ([], "invalid_request"),
        ({"instances": []}, "invalid_request"),
        ({"instances": [{"filename": "a"}]}, "invalid_request"),
        ({"instances": [{"image": 3}]}, "invalid_request"),
        ({"instances": ["x"]}, "invalid_request"),
        ({"instances": [{"image": "eA=="}] * 5}, "too_large"),
    ],
)
def test_what_is_no_request_of_kserve_is_refused(api: TestClient, body: Any, code: str) -> None:
    assert api.post(PREDICT, json=body).json()["code"] == code


def test_models_are_listed_and_others_unknown(api: TestClient) -> None:
    assert api.get("/v1/models").json() == {"models": ["brightness"]}
    told = api.get("/v1/models/brightness").json()
    assert (told["ready"], told["thresholds"]["balanced"], told["level"]) == (True, 0.7, "balanced")
    for answer in (
        api.get("/v1/models/other"),
        api.post("/v1/models/other:predict", json={"instances": [{"image": ""}]}),
        api.get("/v2/models/other"),
        api.get("/v2/models/other/ready"),
        api.post("/v2/models/other/infer", json={}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")


def infer(*pictures: str, shape: list[int] | None = None, **more: Any) -> dict[str, Any]:
    tensor = {"name": "image", "shape": shape or [len(pictures)], "datatype": "BYTES", "data": list(pictures)}
    return {"inputs": [tensor | more], "id": "42"}


def test_tensors_come_as_the_open_inference_protocol_wants_them(api: TestClient) -> None:
    told = api.post(INFER, json=infer(b64(grey(51)), b64(grey(204)))).json()
    assert (told["model_name"], told["model_version"], told["id"]) == ("brightness", "v1", "42")
    score, label = told["outputs"]
    assert (score["name"], score["shape"], score["datatype"]) == ("score", [2], "FP64")
    assert score["data"] == [pytest.approx(0.2), pytest.approx(0.8)]
    assert (label["name"], label["data"]) == ("label", ["sfw", "nsfw"])
    assert told["parameters"]["threshold"] == 0.7
    nested = infer(shape=[2, 1], data=[[b64(grey(51))], [b64(grey(204))]])
    assert api.post(INFER, json=nested).json()["outputs"] == told["outputs"]


def test_a_tensor_without_one_of_its_scores_is_a_problem(api: TestClient) -> None:
    answer = api.post(INFER, json=infer(b64(grey(51)), b64(b"no picture")))
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "items_failed")
    assert [(item["index"], item["code"]) for item in told["items"]] == [(1, "undecodable")]
    assert told["error"] == told["detail"]
    assert "outputs" not in told


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": [{}, {}]},
        infer("eA==", name="other"),
        infer("eA==", datatype="FP32"),
        infer("eA==", shape=[2]),
        infer("eA==", data="eA=="),
        infer("eA==", data=[3]),
        infer(shape=[0]),
        {
            "inputs": [
                {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}
            ]
        },
    ],
)
def test_what_is_no_inference_request_is_refused(api: TestClient, body: Any) -> None:
    assert api.post(INFER, json=body).json()["code"] == "invalid_request"


def test_the_protocols_metadata_names_what_infer_takes_and_gives(api: TestClient) -> None:
    assert api.get("/v2").json()["name"] == "commons-nsfw"
    assert api.get("/v2/health/live").json() == {"live": True}
    assert api.get("/v2/health/ready").json() == {"ready": True}
    assert api.get("/v2/models/brightness/ready").json() == {"name": "brightness", "ready": True}
    told = api.get("/v2/models/brightness").json()
    assert told["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    answered = api.post(INFER, json=infer(b64(grey(51)))).json()["outputs"]
    assert [(one["name"], one["datatype"]) for one in told["outputs"]] == [
        (one["name"], one["datatype"]) for one in answered
    ]


def test_a_model_that_fails_fails_each_item(tmp_path: Path) -> None:
    model = Brightness()
    with (
        DecodePool(DecodeLimits(), workers=1) as pool,
        service(pool, tmp_path, model=model) as app,
        client(app) as api,
    ):
        model.error = "out of order"
        told = api.post("/v1/classify/batch", files=[("f", ("a", grey(1))), ("f", ("b", grey(2)))]).json()
        assert [item["problem"]["code"] for item in told["items"]] == ["model_unavailable"] * 2
