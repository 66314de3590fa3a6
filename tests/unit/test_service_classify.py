"""One file over HTTP: what comes in by any way gets the score that it has, and what has none is a problem."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.service.deadline import Deadline
from classifier.service.parts import ServiceLimits
from classifier.service.sources import Fetched, SourceProblem
from classifier.values import MediaPart
from tests import media
from tests.service import CARD, Brightness, client, grey, service


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(DecodeLimits(), workers=1) as made:
        yield made


@pytest.fixture
def model() -> Brightness:
    return Brightness()


@pytest.fixture
def api(pool: DecodePool, model: Brightness, tmp_path: Path) -> Iterator[TestClient]:
    with (
        service(pool, tmp_path, model=model, limits=ServiceLimits(file_bytes=200_000)) as app,
        client(app) as made,
    ):
        model.pictures = 0
        yield made


def film(path: Path, *values: int) -> bytes:
    frames = [Image.new("RGB", (64, 48), (value, value, value)) for value in values]
    media.save_video(path, frames, times_ms=[1000 * number for number in range(len(values))])
    return path.read_bytes()


@pytest.mark.parametrize("way", ["raw", "octets", "form"])
def test_a_picture_gets_its_score_by_whatever_way_it_comes(api: TestClient, way: str) -> None:
    content = grey(51)
    if way == "form":
        answer = api.post("/v1/classify", files={"anything": ("../../etc/passwd", content, "text/html")})
    else:
        kind = "image/png" if way == "raw" else "application/octet-stream"
        answer = api.post("/v1/classify", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["score"] == pytest.approx(0.2)
    assert (told["label"], told["threshold"], told["level"]) == ("sfw", 0.7, "balanced")
    assert told["model"] == {
        "name": "brightness",
        "version": "v1",
        "weights_sha256": CARD.weights_sha256,
        "preprocessing": CARD.preprocessing,
        "engine": "mean-fp32",
    }
    assert told["media"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert "frames" not in told
    assert "timing" not in told


def test_nothing_is_left_on_the_disk(api: TestClient, tmp_path: Path) -> None:
    api.post("/v1/classify", content=grey(9), headers={"Content-Type": "image/png"})
    api.post("/v1/classify", content=b"no picture", headers={"Content-Type": "image/png"})
    api.post("/v1/classify", files={"a": ("a", grey(3)), "b": ("b", grey(4))})
    assert list(tmp_path.iterdir()) == []
    assert api.app.state.service.spool.used_bytes == 0  # type: ignore[attr-defined]


def test_the_level_chooses_the_threshold(api: TestClient) -> None:
    labels = {}
    for level in ("cautious", "balanced", "sensitive"):
        told = api.post(
            f"/v1/classify?level={level}", content=grey(153), headers={"Content-Type": "image/png"}
        ).json()
        labels[told["level"]] = (told["threshold"], told["label"])
    assert labels == {"cautious": (0.9, "sfw"), "balanced": (0.7, "sfw"), "sensitive": (0.5, "nsfw")}


def test_a_film_tells_when_its_highest_frame_was(api: TestClient, tmp_path: Path) -> None:
    told = api.post(
        "/v1/classify?frames=true&timing=true",
        content=film(tmp_path / "f.webm", 30, 120, 60, 40),
        headers={"Content-Type": "video/webm"},
    ).json()
    assert told["media"]["kind"] == "video"
    assert told["highest"]["at_s"] == pytest.approx(1.0, abs=0.1)
    assert told["score"] == max(frame["score"] for frame in told["frames"])
    assert [round(frame["at_s"]) for frame in told["frames"]] == [0, 1, 2, 3]
    assert told["timing"]["cached"] is False
    assert told["timing"]["decode_cpu_s"] >= 0


def test_a_film_is_left_at_its_first_hit_unless_all_frames_are_asked_for(
    api: TestClient, tmp_path: Path
) -> None:
    content = film(tmp_path / "f.webm", 20, 200, 20, 250, 20, 20)
    headers = {"Content-Type": "video/webm"}
    early = api.post("/v1/classify", content=content, headers=headers).json()
    whole = api.post("/v1/classify?frames=true", content=content, headers=headers).json()
    assert early["label"] == whole["label"] == "nsfw"
    assert early["media"]["complete"] is False
    assert early["media"]["frames_scored"] < whole["media"]["frames_scored"]
    assert whole["media"]["complete"] is True
    assert whole["score"] > early["score"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "empty"),
        (b"this is no picture", 422, "undecodable"),
        (grey(10)[:60], 422, "undecodable"),
        (media.png_bomb(60_000, 60_000), 413, "too_large"),
    ],
    ids=["empty", "text", "cut off", "bomb"],
)
def test_a_file_that_cannot_be_scored_is_a_problem_and_has_no_score(
    api: TestClient, content: bytes, status: int, code: str
) -> None:
    for answer in (
        api.post("/v1/classify", content=content, headers={"Content-Type": "image/png"}),
        api.post("/v1/classify", files={"file": ("a.png", content)}),
    ):
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        told = answer.json()
        assert (told["code"], told["status"], told["type"]) == (code, status, f"/problems/{code}")
        assert "score" not in told
        assert "label" not in told


def test_sound_is_a_problem_of_its_own(api: TestClient, tmp_path: Path) -> None:
    path = media.save_audio(tmp_path / "a.ogg", "libopus")
    answer = api.post("/v1/classify", content=path.read_bytes(), headers={"Content-Type": "application/ogg"})
    assert (answer.status_code, answer.json()["code"]) == (422, "audio")


def test_too_many_bytes_are_refused_by_their_announcement_and_by_their_count(api: TestClient) -> None:
    headers = {"Content-Type": "image/png"}
    assert api.post("/v1/classify", content=bytes(200_001), headers=headers).json()["code"] == "too_large"
    pieces = (bytes(50_000) for _ in range(5))  # sent in chunks, without a length
    answer = api.post("/v1/classify", content=pieces, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert api.post("/v1/classify", files={"f": ("f", bytes(200_001))}).json()["code"] == "too_large"


def test_a_large_file_goes_over_the_disk_and_gets_the_same_score(api: TestClient) -> None:
    noise = media.photo(300, 300)
    written = io.BytesIO()
    noise.save(written, "PNG")
    assert 131_072 < len(written.getvalue()) < 200_000
    raw = api.post("/v1/classify", content=written.getvalue(), headers={"Content-Type": "image/png"}).json()
    api.app.state.service.desk.cache._results.clear()  # type: ignore[attr-defined]
    form = api.post("/v1/classify", files={"file": ("x", written.getvalue())}).json()
    assert raw == form
    assert raw["media"]["sha256"] == hashlib.sha256(written.getvalue()).hexdigest()


@pytest.mark.parametrize(
    ("headers", "content", "code", "status"),
    [
        ({"Content-Type": "text/plain"}, b"x", "unsupported_media_type", 415),
        ({}, b"x", "unsupported_media_type", 415),
        ({"Content-Type": "application/json"}, b"{", "malformed_request", 400),
        ({"Content-Type": "application/json"}, b"{}", "invalid_request", 422),
        ({"Content-Type": "application/json"}, b'{"title":"a","url":"b"}', "invalid_request", 422),
        ({"Content-Type": "application/json"}, b'{"title":"a","x":1}', "invalid_request", 422),
        ({"Content-Type": "application/json"}, b'{"title":"\\ud800"}', "malformed_request", 400),
        ({"Content-Type": "application/json"}, b'{"title":"File:A.jpg"}', "source_not_offered", 422),
        ({"Content-Type": "multipart/form-data"}, b"x", "malformed_request", 400),
        ({"Content-Type": "multipart/form-data; boundary=q"}, b"--q\r\n", "malformed_request", 400),
        ({"Content-Type": "multipart/form-data; boundary=q"}, b"--q--\r\n", "invalid_request", 422),
        ({"Content-Type": "image/png", "X-Request-Timeout": "soon"}, grey(1), "invalid_request", 422),
        ({"Content-Type": "image/png", "X-Request-Timeout": "-1"}, grey(1), "invalid_request", 422),
    ],
)
def test_what_is_wrong_with_a_request_is_told_with_a_code(
    api: TestClient, headers: dict[str, str], content: bytes, code: str, status: int
) -> None:
    answer = api.post("/v1/classify", content=content, headers=headers)
    assert (answer.json()["code"], answer.status_code) == (code, status)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_form_with_two_files_belongs_to_the_batch(api: TestClient) -> None:
    answer = api.post("/v1/classify", files={"a": ("a", grey(1)), "b": ("b", grey(2))})
    assert answer.json()["code"] == "too_large"


def test_the_same_bytes_are_scored_once(api: TestClient, model: Brightness) -> None:
    headers = {"Content-Type": "image/png"}
    first = api.post("/v1/classify?timing=true", content=grey(77), headers=headers)
    again = api.post("/v1/classify?timing=true", content=grey(77), headers=headers)
    assert model.pictures == 1
    assert again.json().pop("timing") == {"cached": True}
    assert {**first.json(), "timing": None} == {**again.json(), "timing": None}
    assert first.headers["ETag"] == again.headers["ETag"]
    other = api.post("/v1/classify?level=cautious", content=grey(77), headers=headers)
    assert other.headers["ETag"] != first.headers["ETag"]


def test_a_result_can_be_asked_for_by_content_and_on_condition(api: TestClient) -> None:
    first = api.post("/v1/classify", content=grey(78), headers={"Content-Type": "image/png"})
    place, tag = first.headers["Content-Location"], first.headers["ETag"]
    assert api.get(place).json() == first.json()
    unchanged = api.get(place, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", tag)
    assert api.get(place, headers={"If-None-Match": '"other"'}).status_code == 200
    unknown = api.get(f"/v1/scores/{'0' * 64}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_scored_yet")
    repeated = api.post(
        "/v1/classify", content=grey(78), headers={"Content-Type": "image/png", "If-None-Match": tag}
    )
    assert (repeated.status_code, repeated.json()["code"]) == (412, "precondition_failed")


def test_a_model_that_fails_is_a_problem_and_not_remembered(api: TestClient, model: Brightness) -> None:
    headers = {"Content-Type": "image/png"}
    model.error = "the graphics card is on fire"
    answer = api.post("/v1/classify", content=grey(99), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
    assert answer.headers["Retry-After"]
    model.error = None
    assert api.post("/v1/classify", content=grey(99), headers=headers).status_code == 200


class FolderSources:
    """Titles are names of files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open = 0

    @contextmanager
    def title(self, title: str, deadline: Deadline) -> Iterator[Fetched]:
        path = self.folder / title.removeprefix("File:")
        if not path.exists():
            raise SourceProblem("deleted", 404, "there is no such file", None)
        self.open += 1
        try:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            yield Fetched((MediaPart(path),), sha256, {"title": title, "bytes": path.stat().st_size})
        finally:
            self.open -= 1

    def url(self, url: str, deadline: Deadline) -> "contextmanager[Fetched]":  # type: ignore[valid-type]
        raise SourceProblem("host_not_allowed", 422, "only upload.wikimedia.org is fetched")


def test_named_files_are_fetched_scored_and_put_away(pool: DecodePool, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "spool").mkdir()
    Image.new("RGB", (80, 80), (102, 102, 102)).save(tmp_path / "files" / "A.png")
    sources = FolderSources(tmp_path / "files")
    with service(pool, tmp_path / "spool", sources=sources) as app, client(app) as api:
        answer = api.post("/v1/classify?timing=true", json={"title": "File:A.png"}).json()
        assert answer["score"] == pytest.approx(0.4)
        assert answer["source"]["title"] == "File:A.png"
        again = api.post("/v1/classify?timing=true", json={"title": "File:A.png"}).json()
        assert again["timing"]["cached"] is True
        gone = api.post("/v1/classify", json={"title": "File:B.png"})
        assert (gone.status_code, gone.json()["code"]) == (404, "deleted")
        refused = api.post("/v1/classify", json={"url": "http://127.0.0.1/"})
        assert (refused.status_code, refused.json()["code"]) == (422, "host_not_allowed")
        batch = api.post(
            "/v1/classify/batch", json={"items": [{"title": "File:A.png"}, {"title": "File:B.png"}]}
        ).json()
        assert (batch["scored"], batch["failed"]) == (1, 1)
        assert batch["items"][1]["problem"]["code"] == "deleted"
        assert "result" not in batch["items"][1]
    assert sources.open == 0
