"""The rules of talking to a wiki that need no wiki: exclusion, error codes, who we must be, odd answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BotError, ConfigError, ServiceDown
from bot.exclusion import may_edit
from bot.settings import load_settings
from bot.wiki_answers import as_mediawiki, batches, canonical, newest_ids, page_texts, revisions, user_infos
from bot.wiki_errors import is_transient, refused
from bot.wiki_identity import Account, check_account, is_loopback
from bot.wiki_values import EditConflict, RefusalCode, WriteRefused


@pytest.mark.parametrize(
    "text",
    [
        "{{nobots}}",
        "rows {{ Nobots }} rows",
        "{{Template:nobots}}",
        "{{nobots|}}",
        "{{nobots|My Bot}}",
        "{{bots|deny=all}}",
        "{{bots|deny=Other, my_Bot }}",
        "{{Bots|allow=none}}",
        "{{bots|allow=Other}}",
        "{{outer|{{nobots}}}}",
    ],
)
def test_a_page_can_keep_the_bot_away(text: str) -> None:
    assert not may_edit(text, "My Bot")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "robots and {{robots}}",
        "<!-- {{nobots}} -->",
        "<nowiki>{{nobots}}</nowiki>",
        "{{bots}}",
        "{{bots|deny=none}}",
        "{{bots|deny=Other}}",
        "{{bots|allow=all}}",
        "{{bots|allow=Other,My Bot}}",
        "{{nobots|Other}}",
    ],
)
def test_other_pages_do_not(text: str) -> None:
    assert may_edit(text, "My Bot")


@given(st.text(alphabet="{}|=[]<!->bots nabdeny\n", max_size=200))
def test_broken_wikitext_crashes_nothing(text: str) -> None:
    assert may_edit(text, "My Bot") in {True, False}


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("blocked", "blocked"),
        ("globalblocking-blockedtext-user", "blocked"),
        ("protectedpage", "protected"),
        ("protectednamespace-interface", "protected"),
        ("abusefilter-disallowed", "abusefilter"),
        ("titleblacklist-forbidden-edit", "blacklisted"),
        ("mwoauth-invalid-authorization", "not_logged_in"),
        ("assertnameduserfailed", "not_logged_in"),
        ("customjsprotected", "no_right"),
        ("contenttoobig", "too_big"),
        ("something-new", "other"),
    ],
)
def test_a_refusal_has_a_stable_code_and_says_what_the_wiki_said(code: str, meaning: RefusalCode) -> None:
    error = refused(code, "because", "Title")
    assert isinstance(error, WriteRefused) and error.code == meaning
    assert "because" in str(error) and code in str(error)


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("readonly", ServiceDown),
        ("maxlag", ServiceDown),
        ("ratelimited", ServiceDown),
        ("internal_api_error_DBQueryError", ServiceDown),
        ("editconflict", EditConflict),
        ("missingtitle", EditConflict),
        ("articleexists", EditConflict),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(code: str, family: type[BotError]) -> None:
    assert isinstance(refused(code, "", "Title"), family)
    assert is_transient(code) == (family is ServiceDown)


def account(**changes: Any) -> Account:
    usual: dict[str, Any] = {
        "name": "CommonsNsfwBot",
        "rights": frozenset({"edit", "bot"}),
        "groups": frozenset({"bot"}),
        "blocked": False,
    }
    return Account(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "Somebody"}, "signed in as Somebody"),
        ({"rights": frozenset()}, "Edit existing pages"),
        ({"rights": frozenset({"edit"})}, "High-volume"),
        ({"rights": frozenset({"edit"}), "groups": frozenset()}, "no bot flag"),
    ],
)
def test_an_account_must_be_ours_and_have_the_rights_to_write(changes: dict[str, Any], says: str) -> None:
    writing = load_settings().review.model_copy(update={"dry_run": False})
    check_account(account(), writing, require_bot=True)
    with pytest.raises(ConfigError, match=says):
        check_account(account(**changes), writing, require_bot=True)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8090/w/api.php", True),
        ("http://[::1]/w/api.php", True),
        ("http://localhost/api.php", True),
        ("https://commons.wikimedia.org/w/api.php", False),
        ("https://127.0.0.1.example.org/w/api.php", False),
        ("nonsense", False),
    ],
)
def test_only_this_machine_is_loopback(url: str, loopback: bool) -> None:
    assert is_loopback(url) == loopback


@pytest.mark.parametrize(
    ("written", "name"),
    [("my_bot", "My bot"), (" a  b ", "A b"), ("éa", "Éa"), ("", "")],
)
def test_user_names_are_compared_as_the_wiki_writes_them(written: str, name: str) -> None:
    assert canonical(written) == name


def test_batches_leave_out_what_cannot_be_asked_and_repeats() -> None:
    assert list(batches(["a", "b", "a", "x|y", " ", "c"], 2)) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    "answer", [{}, {"query": None}, {"query": {"pages": [{}]}}, {"query": {"pages": 1}}, {"query": []}]
)
def test_an_answer_that_is_not_mediawikis_is_a_service_that_is_down(answer: Any) -> None:
    def read_all() -> None:
        with as_mediawiki():
            list(page_texts(answer))
            newest_ids(answer)
            list(revisions(answer))
            user_infos(answer)

    with pytest.raises(ServiceDown):
        read_all()


def test_temporary_and_suppressed_authors_are_recognised() -> None:
    made = {"revid": 2, "parentid": 1, "timestamp": "2026-01-02T03:04:05Z"}
    page = {
        "title": "T",
        "revisions": [
            {**made, "user": "~2026-12", "userid": 7, "slots": {"main": {"content": ""}}},
            {**made, "user": "Temp", "userid": 8, "temp": True, "slots": {"main": {"content": "x"}}},
            {**made, "userhidden": True, "suppressed": True, "slots": {"main": {"texthidden": True}}},
            {**made, "user": "A", "userid": 1, "slots": {"main": {"texthidden": True, "content": "seen"}}},
        ],
    }
    found = list(revisions({"query": {"pages": [page]}}))
    assert [(r.anonymous, r.user, r.text) for r in found] == [
        (True, "~2026-12", ""),
        (True, "Temp", "x"),
        (False, None, None),
        (False, "A", None),
    ]
