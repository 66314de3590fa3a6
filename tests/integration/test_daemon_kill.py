"""Promise 1 under the worst treatment: whatever is killed whenever, each upload ends exactly once."""

import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.recipes import SMALL
from bot.minicommons.server import MiniCommons
from tests.daemon_process import read_store, settings_values, start_daemon, write_config

KILLS = 20
UPLOADS = 300


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_leave_every_upload_with_exactly_one_outcome(tmp_path: Path) -> None:
    rng = random.Random(20)
    log = tmp_path / "daemon.log"
    with MiniCommons(prepare_corpus(CORPUS, SMALL)) as commons:
        values = settings_values(commons, tmp_path)
        config = write_config(tmp_path / "bot.toml", values)
        url = values["store"]["url"]
        commons.publish_noise(-1, rate_per_s=50)
        daemon = start_daemon(config, log)
        while read_position(tmp_path / "bot.sqlite3") is None:
            assert daemon.poll() is None, log.read_text()
            time.sleep(0.05)
        for kill in range(KILLS):
            commons.publish_many(UPLOADS // KILLS, rate_per_s=8)
            if kill % 2:
                time.sleep(rng.uniform(0.1, 2.5))  # while it starts, mostly before the model is loaded
            else:
                work_for_a_while(daemon, url, rng)
            daemon.send_signal(signal.SIGKILL)
            daemon.wait()
            daemon = start_daemon(config, log)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            assert daemon.poll() is None, log.read_text()[-5000:]
            current, outcomes = read_store(url)
            if len(outcomes) == UPLOADS and not commons.publishing():
                break
            time.sleep(0.5)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=30) == 0
        planned = {outcome.log_id for outcome in commons.plan().outcomes}
    current, outcomes = read_store(url)
    counted = Counter(outcome.log_id for outcome in outcomes)
    assert counted.keys() == planned
    assert set(counted.values()) == {1}
    assert (current.pending, current.claimed) == (0, 0)
    assert Counter(outcome.label for outcome in outcomes) == {"sfw": UPLOADS}


def work_for_a_while(daemon: "subprocess.Popen[bytes]", url: str, rng: random.Random) -> None:
    """Wait for some outcomes of this daemon, and then for any moment of its work on the next ones."""
    enough = len(read_store(url)[1]) + rng.randint(1, 5)
    deadline = time.monotonic() + 120
    while len(read_store(url)[1]) < enough:
        assert daemon.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(rng.uniform(0, 0.3))


def read_position(path: Path) -> object:
    """Whether a position was stored; the file may not have tables yet."""
    if not path.exists():
        return None
    try:
        with sqlite3.connect(path, timeout=5) as connection:
            return connection.execute("select event_id from stream_position").fetchone()
    except sqlite3.OperationalError:
        return None
