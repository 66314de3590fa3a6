"""The examples of docs/api.md are run as they stand there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.settings import ROOT
from classifier.service.problems import PROBLEMS
from tests import media
from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.pictures import gradient
from tests.service_process import ServiceProcess, serving

DOCUMENT = ROOT / "docs" / "api.md"


def example(name: str) -> str:
    """The block of code behind a mark."""
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


class Running:
    """A service that wants tokens, and one for it, made as the document says."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service
        made = [sys.executable, "-m", "bot", "tokens", "add", "Tester", "--scope", "classify"]
        made += ["--config", str(service.config)]
        self._token = subprocess.run(
            made, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    def run(self, command: list[str], folder: Path, **more: str) -> str:
        environment = os.environ | {"SERVICE": self._service.url, "TOKEN": self._token} | more
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("service"), access={"anonymous": False}) as started:
        yield Running(started)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    media.photo(330, 248).save(tmp_path / "picture.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_curl(service: Running, folder: Path) -> None:
    printed = service.run(["bash", "-euc", example("curl")], folder)
    answers = [json.loads(one) for one in printed.replace("}{", "}\n{").splitlines()]
    plain, detailed, batch = answers
    assert plain["label"] == "sfw"
    assert detailed["score"] == plain["score"] == detailed["frames"][0]["score"]
    assert (detailed["level"], "timing" in detailed) == ("sensitive", True)
    assert (batch["scored"], batch["failed"]) == (1, 1)
    assert batch["items"][1]["problem"]["code"] == "undecodable"


def test_requests(service: Running, folder: Path) -> None:
    printed = service.run([sys.executable, "-c", example("requests")], folder)
    first, second = printed.splitlines()
    assert re.fullmatch(r"picture\.jpg: sfw 0\.\d{4} by open_nsfw [0-9a-f]{12}", first)
    assert second.startswith("notes.txt: not scored: undecodable: ")


@pytest.mark.slow
def test_pywikibot(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.jpg", seed=77), "Of the API.jpg")
    (tmp_path / "user-config.py").write_text(
        f"family_files['sandbox'] = '{sandbox_wiki.api_url}'\nfamily = 'sandbox'\nmylang = 'sandbox'\n"
    )
    (tmp_path / "user-config.py").chmod(0o600)
    wiki = {
        "identity": {"contact": "tests@localhost.invalid"},
        "wiki": {"api_url": sandbox_wiki.api_url},
        "media": {"allowed_hosts": [sandbox_wiki.media_host]},
        "access": {"anonymous": False},
    }
    with serving(tmp_path, **wiki) as started:
        script = [sys.executable, "-c", example("pywikibot")]
        printed = Running(started).run(script, tmp_path, PYWIKIBOT_DIR=str(tmp_path))
    assert re.search(r"^File:Of the API\.jpg: sfw 0\.\d{4}$", printed, re.MULTILINE)


def test_the_document_explains_every_code() -> None:
    text = DOCUMENT.read_text()
    table = text[text.index("## Problems") : text.index("## Run it")]
    assert not [code for code in PROBLEMS if f"`{code}`" not in table]
