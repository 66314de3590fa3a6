"""More than it can do, longer than anyone waits, slower than it bears: it says so, and is free again."""

import http.client
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.service.parts import ServiceLimits
from classifier.values import Pixels
from tests import media
from tests.service import Brightness, GateDecoder, grey, listening, service, wait_until

PNG = {"Content-Type": "image/png"}
LIMITS = ServiceLimits(running=2, waiting=3, request_s=20, body_idle_s=0.3, body_s=1.0, uploads=3)


class Site:
    """A service whose decoder waits for a gate."""

    def __init__(self, app: FastAPI, url: str, decoder: GateDecoder) -> None:
        self.app, self.url, self.decoder = app, url, decoder

    @property
    def admission(self) -> Any:
        return self.app.state.service.desk.admission

    def post(self, value: int = 1, **headers: str) -> requests.Response:
        return requests.post(f"{self.url}/v1/classify", data=grey(value), headers=PNG | headers, timeout=30)

    def raw(self) -> socket.socket:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        return socket.create_connection((parts.hostname, parts.port or 0), timeout=20)

    def is_idle(self) -> bool:
        return bool(self.admission.running == self.admission.waiting == 0)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    decoder = GateDecoder()
    with service(decoder, tmp_path, limits=LIMITS) as app, listening(app) as url:
        decoder.begun = decoder.ended = decoder.left = 0
        yield Site(app, url, decoder)
        decoder.gate.set()
    assert list(tmp_path.iterdir()) == []


def test_beyond_the_queue_requests_are_shed_at_once_and_the_others_answered(site: Site) -> None:
    site.decoder.gate.clear()
    with ThreadPoolExecutor(10) as clients:
        accepted = [clients.submit(site.post, number) for number in range(5)]
        wait_until(lambda: (site.admission.running, site.admission.waiting) == (2, 3))
        shed = [site.post(100 + number) for number in range(4)]
        assert [answer.status_code for answer in shed] == [503] * 4
        assert {answer.json()["code"] for answer in shed} == {"overloaded"}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in shed)
        site.decoder.gate.set()
        assert [answer.result().status_code for answer in accepted] == [200] * 5
    numbers = requests.get(f"{site.url}/metrics", timeout=10).text
    assert "commonsbot_service_shed_total 4.0" in numbers
    assert "commonsbot_service_queue_depth 0.0" in numbers


def test_a_deadline_ends_the_work_and_frees_the_worker(site: Site) -> None:
    site.decoder.gate.clear()
    answer = site.post(1, **{"X-Request-Timeout": "0.2"})
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    wait_until(site.is_idle)
    assert site.decoder.left >= 1
    assert site.decoder.ended == 1
    site.decoder.gate.set()
    assert site.post(2).status_code == 200


def test_a_deadline_ends_the_waiting_too_and_nothing_is_begun(site: Site) -> None:
    site.decoder.gate.clear()
    with ThreadPoolExecutor(4) as clients:
        running = [clients.submit(site.post, number) for number in range(2)]
        wait_until(lambda: site.decoder.begun == 2)
        late = site.post(3, **{"X-Request-Timeout": "0.1"})
        assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
        site.decoder.gate.set()
        assert [one.result().status_code for one in running] == [200, 200]
    assert site.decoder.begun == 2


def test_a_client_that_leaves_frees_the_worker(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site.decoder.gate.clear()
    with site.raw() as connection:
        content = grey(1)
        connection.sendall(head(len(content)) + content)
        wait_until(lambda: site.decoder.begun == 1)
    wait_until(site.is_idle)
    assert site.decoder.left >= 1
    wait_until(lambda: 499 in [vars(record).get("status") for record in caplog.records])


def head(length: int, kind: str = "image/png", path: str = "/v1/classify") -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", f"Content-Length: {length}", "", "")
    return "\r\n".join(lines).encode()


def answer_of(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())


def test_a_silent_upload_is_ended_and_so_is_one_that_trickles(site: Site) -> None:
    with site.raw() as silent, site.raw() as trickling:
        silent.sendall(head(1000) + b"x")
        trickling.sendall(head(1000))

        def trickle() -> None:
            try:
                for _ in range(100):
                    trickling.sendall(b"x")
                    time.sleep(0.1)
            except OSError:
                pass

        thread = threading.Thread(target=trickle)
        thread.start()
        for connection in (silent, trickling):
            status, told = answer_of(connection)
            assert (status, told["code"]) == (408, "upload_too_slow")
        trickling.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_only_so_many_bodies_are_received_at_once(site: Site) -> None:
    open_ones = [site.raw() for _ in range(3)]
    try:
        for connection in open_ones:
            connection.sendall(head(1000) + b"x")
        wait_until(lambda: site.app.state.service._receiving == 3)
        assert site.post().json()["code"] == "overloaded"
    finally:
        for connection in open_ones:
            connection.close()
    wait_until(lambda: site.app.state.service._receiving == 0)
    assert site.post().status_code == 200


def test_a_body_that_ends_early_costs_nothing(site: Site, tmp_path: Path) -> None:
    with site.raw() as connection:
        part = b'--q\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        begun = head(900_000, "multipart/form-data; boundary=q", "/v1/classify/batch") + part
        connection.sendall(begun + bytes(300_000))
        wait_until(lambda: site.app.state.service.spool.used_bytes > 0)
    wait_until(lambda: site.app.state.service.spool.used_bytes == 0)
    assert list(tmp_path.iterdir()) == []
    assert site.post().status_code == 200


def test_the_disk_has_a_bound_too(tmp_path: Path) -> None:
    limits = ServiceLimits(spool_bytes=200_000)
    with service(GateDecoder(), tmp_path, limits=limits) as app, listening(app) as url:
        answer = requests.post(f"{url}/v1/classify", data=bytes(300_000), headers=PNG, timeout=20)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert requests.post(f"{url}/v1/classify", data=grey(1), headers=PNG, timeout=20).status_code == 200


class SlowBrightness(Brightness):
    """Waits for a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def predict(self, pixels: Pixels) -> NDArray[np.float32]:
        self.gate.wait()
        return super().predict(pixels)


def test_a_deadline_frees_a_real_worker_in_the_middle_of_a_film(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 48), (value % 100,) * 3) for value in range(300)]
    film = media.save_video(tmp_path / "long.mkv", frames, codec="mpeg4", rate=1)
    spool, model = tmp_path / "spool", SlowBrightness()
    spool.mkdir()
    with (
        DecodePool(DecodeLimits(), workers=1) as pool,
        service(pool, spool, model=model) as app,
        listening(app) as url,
    ):
        model.pictures = 0
        model.gate.clear()
        headers = {"Content-Type": "video/x-matroska", "X-Request-Timeout": "0.3"}
        answer = requests.post(f"{url}/v1/classify", data=film.read_bytes(), headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
        model.gate.set()
        wait_until(lambda: pool.idle_workers == 1 and app.state.service.desk.admission.running == 0)
        assert model.pictures < len(frames) / 2
        assert requests.post(f"{url}/v1/classify", data=grey(7), headers=PNG, timeout=60).status_code == 200
        assert list(spool.iterdir()) == []


def test_a_worker_that_says_nothing_is_not_waited_for_beyond_the_deadline(tmp_path: Path) -> None:
    with (
        DecodePool(DecodeLimits(), workers=1) as pool,
        service(pool, tmp_path) as app,
        listening(app) as url,
    ):
        os.kill(pool.pids()[0], signal.SIGSTOP)
        late = PNG | {"X-Request-Timeout": "0.3"}
        answer = requests.post(f"{url}/v1/classify", data=grey(5), headers=late, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
        wait_until(lambda: pool.restarts == 1 and app.state.service.desk.admission.running == 0)
        assert requests.post(f"{url}/v1/classify", data=grey(5), headers=PNG, timeout=60).status_code == 200


def test_whoever_sends_far_too_much_still_reads_why_it_was_refused(tmp_path: Path) -> None:
    """As most clients do: everything is sent before anything is read."""
    body = bytes(30_000_000)
    with (
        service(GateDecoder(), tmp_path, limits=ServiceLimits(file_bytes=1000)) as app,
        listening(app) as url,
        Site(app, url, GateDecoder()).raw() as connection,
    ):
        connection.sendall(head(len(body)) + body)
        status, told = answer_of(connection)
        assert (status, told["code"]) == (413, "too_large")


def test_whoever_asks_first_is_refused_before_sending(tmp_path: Path) -> None:
    with (
        service(GateDecoder(), tmp_path, limits=ServiceLimits(file_bytes=1000)) as app,
        listening(app) as url,
        Site(app, url, GateDecoder()).raw() as connection,
    ):
        connection.sendall(head(30_000_000).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert answer_of(connection)[0] == 413
