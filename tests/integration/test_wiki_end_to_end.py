"""From an upload on a real MediaWiki to a row on its report, and from a person's edit to a stored verdict."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.daemon import Daemon
from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.review import assembly
from bot.review.messages import load_messages
from bot.review.setup import apply_setup, plan_setup
from bot.review.templates import subpage
from bot.settings import ROOT, Settings, load_settings, merged
from bot.wiki import _load_pywikibot
from storage import review_pages
from storage.engine import Database
from storage.review_values import ReviewEntry, ReviewState, VerdictCode
from tests.daemon_process import SHORT_WAITS
from tests.review_bot import password_file
from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.accounts import NEWCOMER, PATROLLER, REVIEW_BOT, REVIEWER, UPLOADER

pytestmark = pytest.mark.slow
BOT = REVIEW_BOT.name


@pytest.fixture
def settings(
    sandbox_wiki: SandboxWiki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    monkeypatch.setenv("PWB_PASSWORD_FILE", str(password_file(tmp_path)))
    # pywikibot reads that once a process, and keeps what the last session signed in with.
    monkeypatch.setattr(_load_pywikibot().config, "password_file", str(password_file(tmp_path)))
    places: dict[str, Any] = {
        "wiki": {"api_url": sandbox_wiki.api_url},
        "stream": {"url": sandbox_wiki.stream_url, "read_timeout_s": 60},
        "store": {"url": f"sqlite:///{tmp_path / 'bot.sqlite3'}"},
        "report": {"directory": str(tmp_path / "report")},
        "sampling": {"key_file": str(tmp_path / "sampling.key")},
        "retention": {"directory": str(tmp_path / "copies")},
        "media": {"directory": str(tmp_path / "media"), "allowed_hosts": [sandbox_wiki.media_host]},
        "review": {
            "enabled": True,
            "dry_run": False,
            "user": BOT,
            "edit_interval_s": 0,
            "control_interval_s": 1,
            "poll_interval_s": 5,
        },
    }
    made = load_settings(overrides=merged(SHORT_WAITS, places))
    wiki = assembly.connect(made, log_in=True)
    messages = load_messages("en")
    for _ in apply_setup(wiki, plan_setup(wiki, messages, made.review, "balanced"), messages):
        pass
    assert plan_setup(wiki, messages, made.review, "balanced") == []
    yield made
    # The next test begins with an empty store and must not find rows of this one.
    for page in sandbox_wiki.client("Admin").query(
        list="allpages", apprefix=f"{BOT}/Review/2", apnamespace=2
    )["allpages"]:
        sandbox_wiki.delete(page["title"])


@contextmanager
def running(settings: Settings) -> Iterator[Daemon]:
    daemon = Daemon(settings)
    with ThreadPoolExecutor(1) as executor:
        ended = executor.submit(daemon.run)
        try:
            yield daemon
        finally:
            daemon.stop()
        ended.result(timeout=60)


def until(
    settings: Settings, found: Callable[[list[ReviewEntry]], bool], seconds: float = 60
) -> list[ReviewEntry]:
    deadline = time.monotonic() + seconds
    entries: list[ReviewEntry] = []
    pause = threading.Event()
    while time.monotonic() < deadline:
        database = Database.open(settings.store.url, ROOT)
        try:
            database.migrate()
            with database.read() as tx:
                pages = review_pages.pages(tx, settings.wiki.id, open_only=False)
                entries = [
                    entry
                    for page in pages
                    for entry in review_pages.rows_of(tx, settings.wiki.id, page.title)
                ]
        finally:
            database.close()
        if found(entries):
            return entries
        pause.wait(0.2)
    pytest.fail(f"never happened; the store holds {entries}")


def placed(
    settings: Settings, name: str, wanted: Callable[[ReviewEntry], bool] = lambda _entry: True
) -> ReviewEntry:
    """Wait until the upload of that name stands on a page, and is as wanted; the log brings others too."""

    def chosen(entries: list[ReviewEntry]) -> list[ReviewEntry]:
        return [one for one in entries if one.title == f"File:{name}" and one.page_title and wanted(one)]

    return chosen(until(settings, lambda entries: bool(chosen(entries))))[0]


def page_text(sandbox: SandboxWiki, title: str) -> str:
    answer = sandbox.client(None).query(titles=title, prop="revisions", rvprop="content", rvslots="main")
    page = answer["pages"][0]
    return "" if page.get("missing") else str(page["revisions"][0]["slots"]["main"]["content"])


def wait_for_text(
    sandbox: SandboxWiki, title: str, wanted: Callable[[str], bool], seconds: float = 60
) -> str:
    deadline = time.monotonic() + seconds
    text = ""
    pause = threading.Event()
    while time.monotonic() < deadline:
        text = page_text(sandbox, title)
        if wanted(text):
            return text
        pause.wait(0.2)
    pytest.fail(f"never happened; {title} says {text!r}")


def give(sandbox: SandboxWiki, user: str, entry: ReviewEntry, verdict: str, comment: str = "") -> None:
    """What a person does by hand: change two parameters of one line."""
    assert entry.page_title is not None
    text = page_text(sandbox, entry.page_title)
    lines = [
        re.sub(r"\|verdict=[^|}]*\|comment=[^|}]*", f"|verdict={verdict}|comment={comment}", line)
        if f"|id={entry.item_id}|" in line
        else line
        for line in text.split("\n")
    ]
    sandbox.edit(user, entry.page_title, "\n".join(lines))


def upload_flagged(sandbox: SandboxWiki, title: str) -> None:
    specimen = prepare_corpus(CORPUS, ["positive"]).specimens[0]
    # MediaWiki refuses exact duplicates without a word of warning accepted; a suffix makes the bytes unique.
    sandbox.upload(unique_copy(CORPUS / specimen.file.path, title), title, UPLOADER.name)


def unique_copy(path: Path, title: str) -> Path:
    import tempfile

    copy = Path(tempfile.mkdtemp()) / path.name
    copy.write_bytes(path.read_bytes() + title.encode())
    return copy


def test_an_upload_becomes_a_row_and_a_reviewer_s_edit_becomes_a_label(
    sandbox_wiki: SandboxWiki, settings: Settings
) -> None:
    with running(settings):
        name = "End to end.jpg"
        upload_flagged(sandbox_wiki, name)
        entry = placed(settings, name)
        assert entry.page_title is not None
        text = wait_for_text(sandbox_wiki, entry.page_title, lambda text: entry.item_id in text)
        assert "file=End to end.jpg" in text
        assert "score=" not in text
        assert "reason=" not in text

        give(sandbox_wiki, REVIEWER.name, entry, "sfw", "a gradient")
        entry = placed(settings, name, lambda one: one.state is ReviewState.CLOSED)
        verdict = entry.verdict
        assert verdict is not None
        assert (verdict.code, verdict.author, verdict.comment) == (
            VerdictCode.SFW,
            REVIEWER.name,
            "a gradient",
        )
        assert verdict.trusted
        assert verdict.blind
        # A verdict stands, so nobody can be influenced any more.
        shown = wait_for_text(sandbox_wiki, entry.page_title, lambda text: "score=" in text)
        assert "verdict=sfw|comment=a gradient" in shown
        index = wait_for_text(sandbox_wiki, subpage(BOT), lambda text: "Done: 1" in text)
        assert entry.page_title in index


@pytest.mark.parametrize(
    ("author", "reason"), [(NEWCOMER.name, "group"), (UPLOADER.name, "uploader"), (None, "anonymous")]
)
def test_a_verdict_of_somebody_who_is_not_trusted_is_kept_but_is_no_label(
    sandbox_wiki: SandboxWiki, settings: Settings, author: str | None, reason: str
) -> None:
    with running(settings):
        name = f"Untrusted {reason}.jpg"
        upload_flagged(sandbox_wiki, name)
        entry = placed(settings, name)
        assert entry.page_title is not None
        wait_for_text(sandbox_wiki, entry.page_title, lambda text: entry.item_id in text)
        give(sandbox_wiki, author, entry, "sfw", "[[User:Admin]] ~~~~")
        entry = placed(settings, name, lambda one: bool(one.standing.untrusted))
        assert entry.state is ReviewState.OPEN
        assert entry.standing.votes == ()
        assert [one.untrusted_reason for one in entry.standing.untrusted] == [reason]


def test_two_reviewers_who_disagree_leave_the_item_disputed(
    sandbox_wiki: SandboxWiki, settings: Settings
) -> None:
    with running(settings):
        name = "Disputed.jpg"
        upload_flagged(sandbox_wiki, name)
        entry = placed(settings, name)
        assert entry.page_title is not None
        wait_for_text(sandbox_wiki, entry.page_title, lambda text: entry.item_id in text)
        give(sandbox_wiki, REVIEWER.name, entry, "sfw")
        placed(settings, name, lambda one: one.state is ReviewState.CLOSED)
        give(sandbox_wiki, PATROLLER.name, entry, "nsfw-keep")
        entry = placed(settings, name, lambda one: one.state is ReviewState.DISPUTED)
        assert entry.page_title is not None
        wait_for_text(sandbox_wiki, entry.page_title, lambda text: "|disputed=yes" in text)


def test_a_blanked_page_comes_back_and_the_bot_stops_when_told(
    sandbox_wiki: SandboxWiki, settings: Settings
) -> None:
    with running(settings):
        name = "Blanked.jpg"
        upload_flagged(sandbox_wiki, name)
        entry = placed(settings, name)
        title = entry.page_title
        assert title is not None
        wait_for_text(sandbox_wiki, title, lambda text: entry.item_id in text)
        sandbox_wiki.edit(NEWCOMER.name, title, "vandalism")
        restored = wait_for_text(sandbox_wiki, title, lambda text: entry.item_id in text)
        assert "vandalism" in restored  # what a person wrote stays until a person removes it

        run = subpage(BOT, "Run")
        allowed = page_text(sandbox_wiki, run)
        sandbox_wiki.edit("Admin", run, allowed.replace("run: yes", "run: no"))
        time.sleep(3)
        upload_flagged(sandbox_wiki, "While stopped.jpg")
        time.sleep(4)
        assert "While stopped" not in page_text(sandbox_wiki, title)
        sandbox_wiki.edit("Admin", run, allowed)
        wait_for_text(sandbox_wiki, title, lambda text: "While stopped" in text)
