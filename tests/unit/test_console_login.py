"""Who gets into the console: tokens, sessions, forms of other sites, and too many failures."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bot.console.attempts import CLIENTS, FAILURES, WINDOW_S, Attempts
from bot.console.door import COOKIE
from bot.console.headers import HEADERS, POLICY
from bot.console.sessions import LENGTH, Sessions, new_nonce
from storage import api_tokens
from tests.console_site import ConsoleSite, console_site, form_token, log_in
from tests.storage_database import NOW

PAGES = (
    "",
    "review",
    "queue",
    "scores",
    "quality",
    "models",
    "purges",
    "items/commonswiki-1",
    "charts/rates.svg",
)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    with console_site(tmp_path_factory.mktemp("site"), filled=False) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    """One of its own, for those who fail often: all clients of a test have the same address."""
    with console_site(tmp_path, filled=False) as made:
        yield made


@pytest.mark.parametrize("path", PAGES)
def test_no_page_opens_without_a_login(shared_site: ConsoleSite, path: str) -> None:
    answer = shared_site.client().get(f"/console/{path}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/login?next=")


def test_a_token_for_the_console_opens_it(shared_site: ConsoleSite) -> None:
    client = shared_site.client()
    answer = log_in(client, shared_site.token("Olga", "console"))
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/"
    page = client.get("/console/")
    assert page.status_code == 200
    assert "Olga" in page.text


def test_after_the_login_comes_the_page_that_was_asked_for(shared_site: ConsoleSite) -> None:
    client = shared_site.client()
    asked = client.get("/console/queue?title=a%26b")
    form = client.get(asked.headers["location"]).text
    assert 'name="next" value="/queue?title=a%26b"' in form
    answer = log_in(client, shared_site.token(), next="/queue?title=a%26b")
    assert answer.headers["location"] == "/console/queue?title=a%26b"


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb", "javascript:1"]
)
def test_a_login_leads_to_no_other_site(shared_site: ConsoleSite, path: str) -> None:
    client = shared_site.client()
    assert log_in(client, shared_site.token(), next=path).headers["location"] == "/console/"


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(shared_site: ConsoleSite) -> None:
    client = shared_site.client()
    cookie = log_in(client, shared_site.token()).headers["set-cookie"]
    assert f"{COOKIE}=" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/console" in cookie
    assert "Secure" not in cookie.split(COOKIE, 1)[1].split(",")[0]


def test_behind_https_the_cookie_is_secure(shared_site: ConsoleSite) -> None:
    client = TestClient(shared_site.app, base_url="https://console.test", follow_redirects=False)
    cookie = log_in(client, shared_site.token()).headers["set-cookie"]
    assert "Secure" in cookie


@pytest.mark.parametrize("secret", ["", "x", "cnb_" + "a" * 43, "\ud7ff' OR 1=1 --"])
def test_an_unknown_token_opens_nothing(site: ConsoleSite, secret: str) -> None:
    client = site.client()
    answer = log_in(client, secret)
    assert answer.status_code == 403
    assert "not known" in answer.text
    assert COOKIE not in client.cookies


def test_a_token_for_something_else_opens_nothing(site: ConsoleSite) -> None:
    answer = log_in(site.client(), site.token("Rosa", "classify", "review"))
    assert answer.status_code == 403
    assert "needs the scope" in answer.text


def test_a_revoked_token_ends_its_sessions_at_once(site: ConsoleSite) -> None:
    client = site.client(site.token())
    assert client.get("/console/").status_code == 200
    with site.database.transaction() as tx:
        assert api_tokens.revoke(tx, api_tokens.listed(tx)[0].id, datetime.now(UTC))
    assert client.get("/console/").status_code == 303


def test_who_fails_too_often_has_to_wait(site: ConsoleSite) -> None:
    client = site.client()
    answers = [log_in(client, "wrong").status_code for _ in range(FAILURES)]
    assert answers == [403] * FAILURES
    answer = log_in(client, site.token())
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW_S + 1


def test_a_login_form_of_another_site_is_refused(shared_site: ConsoleSite) -> None:
    client = shared_site.client()
    form = {"form_token": form_token(client.get("/console/login").text), "token": shared_site.token()}
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert client.post("/console/login", data=form, headers=headers).status_code == 403
    own = {"origin": "http://console.test", "sec-fetch-site": "same-origin"}
    assert client.post("/console/login", data=form, headers=own).status_code == 303


def test_a_login_form_made_for_somebody_else_is_refused(shared_site: ConsoleSite) -> None:
    stolen = form_token(shared_site.client().get("/console/login").text)
    client = shared_site.client()
    client.get("/console/login")
    answer = client.post("/console/login", data={"form_token": stolen, "token": shared_site.token()})
    assert answer.status_code == 403


def test_who_logs_out_is_out_and_so_is_a_copy_of_the_cookie(shared_site: ConsoleSite) -> None:
    client = shared_site.client(shared_site.token())
    copy = client.cookies[COOKIE]
    form = {"form_token": form_token(client.get("/console/").text)}
    assert client.post("/console/logout", data=form).status_code == 303
    assert COOKIE not in client.cookies
    thief = shared_site.client()
    thief.cookies.set(COOKIE, copy)
    assert thief.get("/console/").status_code == 303


@pytest.mark.parametrize("path", ["logout", "review"])
def test_a_form_without_the_sessions_token_changes_nothing(shared_site: ConsoleSite, path: str) -> None:
    client = shared_site.client(shared_site.token())
    other = shared_site.client(shared_site.token("Ann"))
    foreign = form_token(other.get("/console/").text)
    for form in ({"item": "x"}, {"form_token": ""}, {"form_token": foreign}):
        assert client.post(f"/console/{path}", data=form).status_code == 403
    assert client.get("/console/").status_code == 200


def test_only_small_forms_are_read(shared_site: ConsoleSite) -> None:
    client = shared_site.client()
    assert client.post("/console/login", data={"token": "x" * 40_000}).status_code == 413
    assert client.post("/console/login", json={"token": "x"}).status_code == 415
    many = {f"field{number}": "x" for number in range(50)}
    assert client.post("/console/login", data=many).status_code == 400
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/console/login", content=b"\xff\xfe=%ff", headers=form).status_code == 400


@pytest.mark.parametrize("path", ["", "login", "static/console.css", "nothing", "review"])
def test_every_answer_carries_the_policy(shared_site: ConsoleSite, path: str) -> None:
    answer = shared_site.client(shared_site.token()).get(f"/console/{path}")
    for name, value in HEADERS.items():
        if name != "Cache-Control":
            assert answer.headers[name] == value
    assert "unsafe" not in POLICY


def test_pages_are_not_stored_by_browsers(shared_site: ConsoleSite) -> None:
    client = shared_site.client(shared_site.token())
    assert client.get("/console/queue").headers["cache-control"] == "no-store"


def test_a_session_is_told_only_by_a_cookie_that_was_signed_here() -> None:
    sessions = Sessions(b"k" * 32, lambda: NOW)
    cookie = sessions.begin(7)
    session = sessions.read(cookie)
    assert session is not None
    assert session.token_id == 7
    other = Sessions(b"l" * 32, lambda: NOW)
    assert other.read(cookie) is None
    body, _, signature = cookie.rpartition(".")
    for forged in (
        None,
        "",
        ".",
        "a.b",
        cookie[:-1] + "é",
        f"{body.replace('.7.', '.8.')}.{signature}",
        body,
    ):
        assert sessions.read(forged) is None


def test_a_session_ends_by_itself() -> None:
    now = NOW
    sessions = Sessions(b"k" * 32, lambda: now)
    cookie = sessions.begin(7)
    now = NOW + LENGTH - timedelta(seconds=2)
    assert sessions.read(cookie) is not None
    now = NOW + LENGTH
    assert sessions.read(cookie) is None


def test_a_form_counts_for_its_own_session_only() -> None:
    sessions = Sessions(b"k" * 32)
    one, other = new_nonce(), new_nonce()
    assert sessions.is_form_token(one, sessions.form_token(one))
    assert not sessions.is_form_token(other, sessions.form_token(one))
    assert not sessions.is_form_token("", sessions.form_token(""))


def test_failures_are_forgotten_after_a_while_and_counted_by_address() -> None:
    now = 0.0
    attempts = Attempts(lambda: now)
    for _ in range(FAILURES):
        assert attempts.wait_s("a") == 0
        attempts.failed("a")
    assert attempts.wait_s("a") == WINDOW_S
    assert attempts.wait_s("b") == 0
    now = WINDOW_S
    assert attempts.wait_s("a") == 0


def test_failures_of_many_addresses_take_bounded_room() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(CLIENTS + 50):
        attempts.failed(str(number))
    for _ in range(FAILURES - 1):
        attempts.failed("0")
    assert attempts.wait_s("0") == 0  # its first failure was forgotten
