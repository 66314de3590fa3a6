"""The sandbox wiki is a real MediaWiki with the accounts, rights, filters and failures that the bot meets."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tests.sandbox_wiki import ApiRefused, SandboxWiki
from tests.sandbox_wiki.accounts import (
    BLACKLISTED_TITLE,
    DISALLOWED_TEXT,
    DISALLOWED_UPLOAD,
    SPAM_DOMAIN,
    WARNED_TEXT,
)
from tests.sandbox_wiki.pictures import gradient

pytestmark = pytest.mark.slow


def _groups(wiki: SandboxWiki, name: str) -> set[str]:
    user = wiki.client(None).query(list="users", ususers=name, usprop="groups")["users"][0]
    return set(user["groups"]) - {"*", "user", "autoconfirmed"}


def _refusal(wiki: SandboxWiki, title: str, text: str, user: str | None = "Newcomer") -> str:
    with pytest.raises(ApiRefused) as refusal:
        wiki.edit(user, title, text)
    return refusal.value.code


def test_it_says_of_itself_that_it_is_commons(sandbox_wiki: SandboxWiki) -> None:
    general = sandbox_wiki.client(None).query(meta="siteinfo")["general"]
    assert general["wikiid"] == "commonswiki"
    assert general["servername"] == "commons.wikimedia.org"
    assert general["generator"].startswith("MediaWiki 1.")


def test_pages_are_rendered_for_a_browser(sandbox_wiki: SandboxWiki) -> None:
    sandbox_wiki.edit("Newcomer", "Rendered", "{{Information|description=''Straße''}}")
    answer = requests.get(sandbox_wiki.page_url("Rendered"), timeout=60)
    assert answer.status_code == 200
    assert "<i>Straße</i>" in answer.text
    assert "/w/load.php" in answer.text


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("Admin", {"sysop", "bureaucrat", "interface-admin"}),
        ("Reviewer", {"image-reviewer"}),
        ("Patroller", {"patroller"}),
        ("Uploader", set()),
        ("Newcomer", set()),
        ("ReviewBot", {"bot"}),
    ],
)
def test_accounts_can_log_in_and_have_their_groups(
    sandbox_wiki: SandboxWiki, name: str, groups: set[str]
) -> None:
    assert sandbox_wiki.client(name).query(meta="userinfo")["userinfo"]["name"] == name
    assert _groups(sandbox_wiki, name) == groups


def test_a_bot_password_edits_as_its_account_and_may_do_no_more(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    bot = sandbox_wiki.client("ReviewBot@sandbox")
    bot.edit("User:ReviewBot/Review", "by bot password", bot=1)
    page = bot.query(
        prop="revisions", titles="User:ReviewBot/Review", rvprop="user|flags|content", rvslots="main"
    )
    revision = page["pages"][0]["revisions"][0]
    assert revision["user"] == "ReviewBot"
    assert revision["slots"]["main"]["content"] == "by bot password"
    with pytest.raises(ApiRefused, match="permissiondenied"):
        bot.upload(gradient(tmp_path / "bot.png"), "Bot.png")


def test_groups_can_be_given_and_taken(sandbox_wiki: SandboxWiki) -> None:
    sandbox_wiki.set_groups("Newcomer", add=["patroller", "autopatrolled"])
    assert _groups(sandbox_wiki, "Newcomer") == {"patroller", "autopatrolled"}
    sandbox_wiki.set_groups("Newcomer", remove=["patroller", "autopatrolled"])
    assert _groups(sandbox_wiki, "Newcomer") == set()


def test_a_blocked_account_cannot_edit_until_unblocked(sandbox_wiki: SandboxWiki) -> None:
    sandbox_wiki.block("Newcomer")
    assert _refusal(sandbox_wiki, "Blocked", "text") == "blocked"
    sandbox_wiki.unblock("Newcomer")
    sandbox_wiki.edit("Newcomer", "Blocked", "text")


@pytest.mark.parametrize(
    ("title", "text", "code"),
    [
        ("Filtered", DISALLOWED_TEXT, "abusefilter-disallowed"),
        ("Warned", WARNED_TEXT, "abusefilter-warning"),
        ("Spam", f"https://{SPAM_DOMAIN}/", "spamblacklist"),
        (BLACKLISTED_TITLE, "text", "titleblacklist-forbidden"),
    ],
)
def test_filters_and_blacklists_refuse_edits(
    sandbox_wiki: SandboxWiki, title: str, text: str, code: str
) -> None:
    assert _refusal(sandbox_wiki, title, text) == code


def test_a_filter_refuses_uploads(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    with pytest.raises(ApiRefused) as refusal:
        sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=1), f"A {DISALLOWED_UPLOAD}.png")
    assert refusal.value.code == "abusefilter-disallowed"


def test_readonly_switch_refuses_edits_with_the_reason(sandbox_wiki: SandboxWiki) -> None:
    with (
        sandbox_wiki.switched(readonly="moving to another datacentre"),
        pytest.raises(ApiRefused, match="readonly"),
    ):
        sandbox_wiki.edit("Newcomer", "Switched", "while read-only")
    sandbox_wiki.edit("Newcomer", "Switched", "afterwards")


def test_maxlag_switch_answers_only_those_who_ask(sandbox_wiki: SandboxWiki) -> None:
    question = {"action": "query", "meta": "siteinfo", "format": "json", "maxlag": "5"}
    with sandbox_wiki.switched(maxlag_s=30):
        polite = requests.get(sandbox_wiki.api_url, params=question, timeout=60)
        assert polite.json()["error"]["code"] == "maxlag"
        assert int(polite.headers["Retry-After"]) > 0
        del question["maxlag"]
        assert "query" in requests.get(sandbox_wiki.api_url, params=question, timeout=60).json()
    question["maxlag"] = "5"
    assert "query" in requests.get(sandbox_wiki.api_url, params=question, timeout=60).json()


def test_captcha_switch_refuses_edits(sandbox_wiki: SandboxWiki) -> None:
    with sandbox_wiki.switched(captcha=True):
        assert _refusal(sandbox_wiki, "Captcha", "text") == "captcha"


def test_ratelimit_switch_refuses_the_second_edit(sandbox_wiki: SandboxWiki) -> None:
    limits = {"edit": {"user": (1, 600), "newbie": (1, 600)}}
    with sandbox_wiki.switched(rate_limits=limits):
        sandbox_wiki.edit("Newcomer", "Limited", "first")
        assert _refusal(sandbox_wiki, "Limited", "second") == "ratelimited"


def test_sleep_switch_outlasts_an_impatient_client(sandbox_wiki: SandboxWiki) -> None:
    with sandbox_wiki.switched(sleep_ms=1500), pytest.raises(requests.ReadTimeout):
        requests.get(sandbox_wiki.api_url, timeout=0.3)


def test_jobs_run_when_asked(sandbox_wiki: SandboxWiki) -> None:
    sandbox_wiki.edit("Newcomer", "Categorised", "[[Category:Sandbox jobs]]")
    ended = [
        line for line in sandbox_wiki.run_jobs().splitlines() if "categoryMembershipChange Categor" in line
    ]
    assert ended[-1].endswith(" good")
    event = sandbox_wiki.relay.wait_for(
        lambda e: e["type"] == "categorize" and e["title"] == "Category:Sandbox jobs"
    )
    assert event["user"] == "Newcomer"


def test_a_second_wiki_is_fresh_and_runs_beside_the_first(sandbox_wiki: SandboxWiki) -> None:
    sandbox_wiki.edit("Newcomer", "Only here", "text")
    with SandboxWiki() as other:
        page = other.client(None).query(titles="Only here")["pages"][0]
        assert page.get("missing") is True
        folder = other.site.folder
    assert not folder.exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(other.api_url, timeout=60)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=60).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("death", [signal.SIGINT, signal.SIGKILL])
def test_the_command_prints_addresses_and_takes_the_server_with_it(
    sandbox_wiki: SandboxWiki, tmp_path: Path, death: signal.Signals
) -> None:
    command = [sys.executable, "-m", "tests.sandbox_wiki"]
    environment = {**os.environ, "COLUMNS": "160", "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None
        printed = ""
        for line in run.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        api_url = next(word for word in printed.split() if word.endswith("/w/api.php"))
        assert _answers(api_url)
        assert "Sandbox-review-pass-1" in printed
        run.send_signal(death)
        assert run.wait(60) == (0 if death == signal.SIGINT else -death)
    while _answers(api_url):  # pytest's own time limit ends this
        time.sleep(0.05)
    if death == signal.SIGINT:
        assert not list(tmp_path.iterdir())
