"""`dataset collect` against a real MediaWiki: categories, redirects, copies, deletions, and a real kill."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.commands.dataset import app
from bot.settings import ROOT
from classifier.datasets import manifest
from tests.media import photo
from tests.sandbox_wiki import SandboxWiki

pytestmark = pytest.mark.slow

SAFE, NUDE = "Collected landscapes", "Collected figures"


def upload(wiki: SandboxWiki, folder: Path, name: str, seed: int, category: str) -> None:
    path = folder / f"{seed}.png"
    photo(400, 300, seed=seed).save(path)
    wiki.upload(path, name, text=f"By [[User:Jane]]. [[Category:{category}]]")


@pytest.fixture(scope="module")
def wiki(sandbox_wiki: SandboxWiki, tmp_path_factory: pytest.TempPathFactory) -> SandboxWiki:
    """Seven files in a knot of categories, one of them moved, one a copy, one deleted, one of both labels."""
    folder = tmp_path_factory.mktemp("uploads")
    for number in range(3):
        upload(sandbox_wiki, folder, f"Collected safe {number}.png", 60 + number, SAFE)
    upload(sandbox_wiki, folder, "Collected hill.png", 63, f"{SAFE} of hills")
    upload(sandbox_wiki, folder, "Collected nude 0.png", 64, NUDE)
    upload(sandbox_wiki, folder, "Collected nude 1.png", 65, NUDE)
    upload(sandbox_wiki, folder, "Collected copy.png", 60, SAFE)
    upload(sandbox_wiki, folder, "Collected both.png", 66, f"{SAFE}]] [[Category:{NUDE}")
    upload(sandbox_wiki, folder, "Collected left.png", 67, f"{SAFE} of others")
    sandbox_wiki.edit("Newcomer", f"Category:{SAFE} of hills", f"[[Category:{SAFE}]]")
    sandbox_wiki.edit("Newcomer", f"Category:{SAFE} of others", f"[[Category:{SAFE}]]")
    sandbox_wiki.edit("Newcomer", f"Category:{SAFE}", f"[[Category:{SAFE} of hills]]")
    sandbox_wiki.move("File:Collected safe 2.png", "File:Collected moved.png")
    sandbox_wiki.edit(
        "Admin", "File:Collected safe 2.png", f"#REDIRECT [[File:Collected moved.png]]\n[[Category:{SAFE}]]"
    )
    sandbox_wiki.run_jobs()
    return sandbox_wiki


@pytest.fixture
def environment(wiki: SandboxWiki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONSBOT_IDENTITY__CONTACT", "sandbox tests on loopback")
    monkeypatch.setenv("COMMONSBOT_WIKI__API_URL", wiki.api_url)
    monkeypatch.setenv("COMMONSBOT_WIKI__PAGE_URL", f"{wiki.base_url}/wiki/{{title}}")
    monkeypatch.setenv("COMMONSBOT_MEDIA__ALLOWED_HOSTS", json.dumps([wiki.media_host]))


def arguments(out: Path) -> list[str]:
    plan = out.with_name("plan.toml")
    plan.write_text(
        f'exclude = ["{SAFE} of others"]\n'
        f'[[category]]\nname = "{SAFE}"\nlabel = "safe"\ndepth = 3\ngroups = {{ medium = "photo" }}\n'
    )
    return [str(out), "--plan", str(plan), "--category", f"nsfw={NUDE}"]


def left_out(out: Path) -> set[tuple[str, str]]:
    with (out / "left-out.csv").open(newline="") as file:
        return {(row["title"], row["code"]) for row in csv.DictReader(file)}


@pytest.mark.usefixtures("environment")
def test_categories_become_a_verified_manifest(wiki: SandboxWiki, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["collect", *arguments(out)])
    assert result.exit_code == 0, result.output
    dataset = manifest.read(out / "manifest.csv")
    records = {one["path"]: one for one in map(json.loads, (out / "sources.jsonl").read_text().splitlines())}
    titles = {records[item.path]["title"]: item for item in dataset.items}
    copies = {"File:Collected copy.png", "File:Collected safe 0.png"}
    assert len(copies & set(titles)) == 1
    assert set(titles) - copies == {
        "File:Collected safe 1.png",
        "File:Collected moved.png",
        "File:Collected hill.png",
        "File:Collected nude 0.png",
        "File:Collected nude 1.png",
    }
    assert {titles[title].label for title in titles if "nude" in title} == {"nsfw"}
    hill = titles["File:Collected hill.png"]
    assert (hill.label, hill.groups["medium"], hill.source) == ("safe", "photo", "uploader:Uploader")
    assert len(hill.sha256) == 64
    record = records[hill.path]
    assert record["page"] == wiki.page_url("File:Collected hill.png")
    assert (record["uploader"], record["category"]) == ("Uploader", f"Category:{SAFE} of hills")
    assert record["revision_id"] > 0
    assert record["revision_timestamp"]
    assert (record["rendition"]["kind"], record["rendition"]["width_px"]) == ("thumbnail", 330)
    assert {
        ("File:Collected both.png", "label_conflict"),
        ("File:Collected safe 2.png", "redirect"),
        (f"Category:{SAFE} of others", "excluded"),
    } <= left_out(out)
    assert {title for title, code in left_out(out) if code == "duplicate"} < copies
    wiki.delete("File:Collected nude 1.png")
    again = CliRunner().invoke(app, ["collect", *arguments(tmp_path / "later"), "--no-build"])
    assert again.exit_code == 0, again.output
    assert "File:Collected nude 1.png" not in (tmp_path / "later/sources.jsonl").read_text()
    wiki.restore("File:Collected nude 1.png")


PROGRAM = "from bot.commands.dataset import app; app()"


@pytest.mark.usefixtures("environment")
def test_a_killed_process_is_gone_on_with(wiki: SandboxWiki, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", PROGRAM, "collect", *arguments(out), "--no-build"]
    journal = out / "files.jsonl"
    with wiki.switched(sleep_ms=300):
        process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.DEVNULL)
        while not (
            journal.exists() and journal.read_bytes().count(b"\n")
        ):  # pytest's own time limit ends this
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = journal.read_bytes()
    assert not (out / "collected.csv").exists()
    subprocess.run(command, cwd=ROOT, env=dict(os.environ), check=True, stdout=subprocess.DEVNULL)
    whole = before[: before.rfind(b"\n") + 1]
    assert whole.count(b"\n") < journal.read_bytes().count(b"\n")
    assert journal.read_bytes().startswith(whole)
    assert len(manifest.read(out / "collected.csv")) == 6
    assert not list((out / ".partial").iterdir())


@pytest.mark.usefixtures("environment")
def test_a_wiki_without_contact_or_out_of_reach_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMONSBOT_API__MAX_ATTEMPTS", "1")
    monkeypatch.setenv("COMMONSBOT_WIKI__API_URL", "http://127.0.0.1:9/w/api.php")
    unreachable = CliRunner().invoke(app, ["collect", *arguments(tmp_path / "out")])
    assert unreachable.exit_code == 4
    monkeypatch.setenv("COMMONSBOT_IDENTITY__CONTACT", "")
    nameless = CliRunner().invoke(app, ["collect", *arguments(tmp_path / "out")])
    assert nameless.exit_code == 3
    assert "identity.contact" in nameless.stderr
    wrong = CliRunner().invoke(app, ["collect", str(tmp_path / "out"), "--category", "nsfw"])
    assert wrong.exit_code == 2
