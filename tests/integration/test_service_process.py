"""The prediction API as a process: it scores as `classify` does, ends gently, and survives its workers."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from bot.settings import ROOT
from tests import media
from tests.service import grey, wait_until
from tests.service_process import serving

PNG = {"Content-Type": "image/png"}


def status(url: str) -> int | None:
    try:
        return requests.get(url, timeout=5).status_code
    except requests.RequestException:
        return None


def test_sigterm_lets_running_requests_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    frames = media.grey_frames(600)
    film = media.save_video(tmp_path / "film.mkv", frames, codec="mpeg4", rate=2).read_bytes()
    with (
        serving(tmp_path, serve={"drain_notice_s": 1.5, "drain_s": 60}) as service,
        ThreadPoolExecutor(1) as client,
    ):
        url = service.url
        assert (
            requests.post(f"{url}/v1/classify", data=grey(9), headers=PNG, timeout=60).json()["label"]
            == "sfw"
        )
        running = client.submit(
            requests.post,
            f"{url}/v1/classify?frames=true",
            data=film,
            headers={"Content-Type": "video/x-matroska"},
            timeout=120,
        )
        wait_until(lambda: "files_running 1.0" in requests.get(f"{url}/metrics", timeout=5).text)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: status(f"{url}/readyz") in (503, None))
        assert service.events("service_draining")
        wait_until(lambda: status(f"{url}/healthz") is None)  # the port is closed
        answer = running.result()
        assert (answer.status_code, answer.json()["media"]["frames_scored"] >= 100) == (200, True)
        assert service.process.wait(60) == 0
        assert service.events("service_stopped")
        assert list((tmp_path / "serve").iterdir()) == []
        assert "Traceback" not in service.text()


def test_what_does_not_end_in_time_is_ended_and_nothing_is_left(tmp_path: Path) -> None:
    with serving(tmp_path, serve={"drain_notice_s": 0.1, "drain_s": 1, "body_idle_s": 60}) as service:
        parts = urlsplit(service.url)
        assert parts.hostname is not None
        with socket.create_connection((parts.hostname, parts.port or 0)) as hanging:
            lines = (
                "POST /v1/classify HTTP/1.1",
                "Host: x",
                "Content-Type: image/png",
                "Content-Length: 9",
                "",
                "x",
            )
            hanging.sendall("\r\n".join(lines).encode())
            wait_until(lambda: "in_progress 2.0" in requests.get(f"{service.url}/metrics", timeout=5).text)
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(60) == 0
    assert list((tmp_path / "serve").iterdir()) == []


@pytest.mark.slow
def test_several_workers_share_the_port_and_one_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2", ready=2) as service:
        workers = psutil.Process(service.process.pid).children()
        assert len(workers) == 2
        assert {line["worker"] for line in service.events("service_started")} == {0, 1}
        workers[0].kill()
        wait_until(lambda: service.events("worker_died"))
        assert status(f"{service.url}/readyz") == 200  # by the other
        wait_until(lambda: len(service.events("service_ready")) == 3, 120)
        family = psutil.Process(service.process.pid).children(recursive=True)
        service.process.terminate()
        assert service.process.wait(60) == 0
        assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_workers_do_not_outlive_the_process_that_started_them(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2", ready=2) as service:
        workers = psutil.Process(service.process.pid).children()
        service.process.kill()
        wait_until(lambda: not any(one.is_running() for one in workers))


def test_a_port_that_is_taken_is_a_sentence_and_an_exit_code(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "bot", "serve", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"COMMONSBOT_STORE__URL": f"sqlite:///{tmp_path / 'x.sqlite3'}"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 3
    assert f"serve.port: cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_the_daemon_and_the_commands_need_no_web_framework() -> None:
    asked = "import sys, bot.cli, bot.daemon; print({'fastapi', 'starlette', 'uvicorn'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "set()"
