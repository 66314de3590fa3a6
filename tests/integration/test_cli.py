"""The commands as a user runs them: output, exit codes, and messages that say what to do."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.plan import MediaFault
from bot.minicommons.recipes import SMALL
from bot.minicommons.server import MiniCommons
from bot.settings import ROOT
from tests.daemon_process import read_store, settings_values, start_daemon, write_config

pytestmark = pytest.mark.slow


def bot(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COMMONSBOT_CLASSIFIER__ENGINE": "torch-fp32", **environment},
        timeout=120,
        check=False,
    )


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((240, 320, 3), 128, dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    "command", [(), ("run",), ("demo",), ("status",), ("models",), ("check-config",), ("classify",)]
)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    answer = bot(*command, "--help")
    assert answer.returncode == 0
    assert "Usage" in answer.stdout


def test_classify_answers_in_the_order_given_and_a_bad_file_stops_nothing(
    tmp_path: Path, picture: Path
) -> None:
    broken, missing = tmp_path / "broken.jpg", tmp_path / "missing.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not really")
    answer = bot("classify", str(broken), str(picture), str(missing), "--json")
    assert answer.returncode == 1, answer.stderr
    first, second, third = (json.loads(line) for line in answer.stdout.splitlines())
    assert (first["file"], first["code"]) == (str(broken), "undecodable")
    assert (third["file"], third["code"]) == (str(missing), "unreadable")
    assert first["message"]
    assert third["message"]
    assert {key: second[key] for key in ("file", "label", "model", "at_s", "frames", "truncated")} == {
        "file": str(picture),
        "label": "sfw",
        "model": "open_nsfw",
        "at_s": None,
        "frames": [{"at_s": None, "score": second["score"]}],
        "truncated": False,
    }
    assert 0 <= second["score"] < 0.8


def test_classify_shows_whatever_name_a_file_has_and_waits_for_no_pipe(tmp_path: Path, picture: Path) -> None:
    odd = picture.rename(tmp_path / "[bold]a[\x1b[31m.png")
    os.mkfifo(tmp_path / "pipe")
    answer = bot("classify", "[/].jpg", str(odd), str(tmp_path / "pipe"), COLUMNS="400")
    assert answer.returncode == 1, answer.stderr
    assert "[/].jpg" in answer.stdout
    assert "[bold]a[[31m.png" in answer.stdout
    assert "not a regular file" in answer.stdout


def test_classify_prints_a_table_and_succeeds_where_all_files_are_good(picture: Path) -> None:
    answer = bot("classify", str(picture))
    assert answer.returncode == 0
    assert "sfw" in answer.stdout


def test_without_a_contact_the_daemon_refuses_and_says_how_to_give_one() -> None:
    answer = bot("run")
    assert answer.returncode == 3
    assert "make run CONTACT=" in answer.stderr


def test_a_misspelt_key_is_a_configuration_error_that_names_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[media]\nmax_concurent = 1\n")
    answer = bot("status", "--config", str(path))
    assert answer.returncode == 3
    assert "media.max_concurent" in answer.stderr
    assert "mine.toml" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_unreachable_wiki_is_a_network_error(tmp_path: Path) -> None:
    values = {
        "identity": {"contact": "tests@localhost.invalid"},
        "wiki": {"api_url": "http://127.0.0.1:9/w/api.php"},
        "api": {"max_attempts": 1},
        "store": {"url": f"sqlite:///{tmp_path / 'bot.sqlite3'}"},
        "media": {"directory": str(tmp_path / "media")},
        "report": {"directory": str(tmp_path / "report")},
    }
    answer = bot("run", "--config", str(write_config(tmp_path / "bot.toml", values)))
    assert answer.returncode == 4, answer.stderr
    assert "127.0.0.1:9" in answer.stderr


def test_an_unwritable_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = bot("status", COMMONSBOT_STORE__URL=f"sqlite:///{tmp_path / 'file' / 'bot.sqlite3'}")
    assert answer.returncode == 5, answer.stderr
    assert "store.url" in answer.stderr


def test_an_unknown_model_is_named_together_with_the_known_ones() -> None:
    answer = bot("models", "fetch", "nothing")
    assert answer.returncode == 3
    assert "open_nsfw" in answer.stderr


def test_check_config_shows_every_probe(tmp_path: Path) -> None:
    answer = bot("check-config", "--offline", COMMONSBOT_STORE__URL=f"sqlite:///{tmp_path / 'bot.sqlite3'}")
    assert answer.returncode == 0, answer.stderr
    for what in ("database", "model", "folders", "AV1", "Theora"):
        assert what in answer.stdout


def test_check_config_against_a_wiki_and_against_the_wrong_one(tmp_path: Path) -> None:
    with MiniCommons(prepare_corpus(CORPUS, SMALL)) as commons:
        commons.publish_noise(-1, rate_per_s=20)
        values = settings_values(commons, tmp_path)
        good = bot("check-config", "--config", str(write_config(tmp_path / "good.toml", values)))
        assert good.returncode == 0, good.stdout + good.stderr
        values["wiki"] = {**values["wiki"], "id": "testcommonswiki"}
        bad = bot("check-config", "--config", str(write_config(tmp_path / "bad.toml", values)))
    assert bad.returncode == 3
    assert "wiki.id" in bad.stdout.replace("\n", " ")


def test_sigterm_ends_the_daemon_in_time_and_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    with MiniCommons(prepare_corpus(CORPUS, SMALL)) as commons:
        # A host that dribbles for a minute must not keep the daemon from ending.
        commons.set_media_fault(None, MediaFault("slow", times=2, seconds=60))
        values = settings_values(commons, tmp_path)
        config = write_config(tmp_path / "bot.toml", values)
        daemon = start_daemon(config, log)
        assert commons.wait_for_stream()
        commons.publish_many(40)
        while commons.statistics()["downloads_peak"] == 0:
            assert daemon.poll() is None, log.read_text()
            time.sleep(0.05)
        second = bot("run", "--config", str(config))
        assert second.returncode == 5
        assert "another daemon" in second.stderr
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=15) == 0, log.read_text()
        current, outcomes = read_store(values["store"]["url"])
        assert current.claimed == 0
        assert current.pending + len(outcomes) == 40

        daemon = start_daemon(config, log)
        while len(read_store(values["store"]["url"])[1]) < 40:
            assert daemon.poll() is None, log.read_text()
            time.sleep(0.2)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=15) == 0
        status = bot("status", "--config", str(config), "--json")
    assert json.loads(status.stdout)["scored"] == 40


def test_sigterm_ends_a_daemon_that_still_waits_for_the_wiki(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    with (
        MiniCommons(prepare_corpus(CORPUS, SMALL)) as commons,
        socket.create_server(("127.0.0.1", 0)) as mute,
    ):
        values = settings_values(commons, tmp_path)
        values["wiki"]["api_url"] = f"http://127.0.0.1:{mute.getsockname()[1]}/w/api.php"
        daemon = start_daemon(write_config(tmp_path / "bot.toml", values), log)
        connection, _ = mute.accept()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=15) == 0, log.read_text()
        connection.close()


def test_a_process_that_hangs_in_something_else_is_ended_all_the_same() -> None:
    program = "import time; from bot.cli import _leave_after; _leave_after(0.1); time.sleep(100)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=False)
    assert ended.returncode == 1
