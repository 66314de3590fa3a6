"""Tokens: the secret is shown once and stored nowhere, and a day's quota is one for all workers."""

import hashlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner, Result

from bot import cli
from storage import api_tokens
from storage.api_tokens import IssuedToken, Scope
from storage.engine import Database
from storage.errors import StoreError
from tests.storage_database import NOW, SERVER_URL, after, database_url, fresh_database

TODAY = NOW.date()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def issue(database: Database, **changes: object) -> IssuedToken:
    values = {"account": "Ann", "scopes": {Scope.CLASSIFY}, "now": NOW, **changes}
    with database.transaction() as tx:
        return api_tokens.add(tx, **values)  # type: ignore[arg-type]


def take(database: Database, token_id: int, least: int, most: int, per_day: int | None) -> int:
    with database.transaction() as tx:
        api_tokens.begin_day(tx, token_id, TODAY)
    with database.transaction() as tx:
        return api_tokens.take(tx, token_id, TODAY, least=least, most=most, per_day=per_day)


def used(database: Database, token_id: int) -> int:
    with database.read() as tx:
        return api_tokens.usage(tx, TODAY).get(token_id, 0)


def test_a_token_is_found_by_its_secret_with_all_that_was_said_of_it(database: Database) -> None:
    issued = issue(
        database,
        account="Ünïcode 名",
        scopes={Scope.REVIEW, Scope.CONSOLE},
        note="for <b>me</b>",
        expires_at=after(60),
        per_minute=5,
        per_day=7,
    )
    with database.read() as tx:
        found = api_tokens.find(tx, issued.secret)
    assert found == issued.token
    assert found.scopes == {Scope.REVIEW, Scope.CONSOLE}
    assert (found.account, found.note, found.per_minute, found.per_day) == (
        "Ünïcode 名",
        "for <b>me</b>",
        5,
        7,
    )


@pytest.mark.parametrize("change", ["", "x", " ", "case", "\x00", "\ud800", "empty"])
def test_nothing_but_the_secret_finds_it(database: Database, change: str) -> None:
    secret = issue(database).secret
    wrong = {"": secret[:-1], "case": secret.swapcase(), "empty": ""}.get(change, secret + change)
    with database.read() as tx:
        assert api_tokens.find(tx, wrong) is None


def test_the_database_holds_the_hash_of_the_secret_and_never_the_secret(database: Database) -> None:
    issued = issue(database)
    with database.read() as tx:
        (row,) = tx.execute(text("SELECT * FROM api_token")).mappings()
    assert row["secret_sha256"] == hashlib.sha256(issued.secret.encode()).hexdigest()
    assert not any(issued.secret in str(value) for value in row.values())
    assert issued.secret not in repr(issued)


def test_secrets_have_256_random_bits_and_a_beginning_that_scanners_can_look_for(database: Database) -> None:
    secrets = {issue(database).secret for _ in range(20)}
    assert len(secrets) == 20
    assert all(one.startswith("cnb_") and len(one) == 4 + 43 for one in secrets)


def test_a_token_ends_when_it_expires_and_when_it_is_revoked(database: Database) -> None:
    token = issue(database, expires_at=after(60)).token
    assert token.is_valid(after(59.9))
    assert not token.is_valid(after(60))
    with database.transaction() as tx:
        assert api_tokens.revoke(tx, token.id, after(10))
        assert api_tokens.revoke(tx, token.id, after(20))
        assert not api_tokens.revoke(tx, token.id + 1, after(20))
    with database.read() as tx:
        (revoked,) = api_tokens.listed(tx)
    assert revoked.revoked_at == after(10)
    assert not revoked.is_valid(after(11))


def test_a_use_is_written_once_a_minute_at_most(database: Database) -> None:
    token = issue(database).token
    written = []
    for seconds in (0, 1, 59, 60, 61, 200):
        with database.transaction() as tx:
            written.append(api_tokens.note_use(tx, token.id, after(seconds)))
    assert written == [True, False, False, True, False, True]
    with database.read() as tx:
        assert api_tokens.listed(tx)[0].last_used_at == after(200)


def test_a_token_without_account_or_scope_or_with_a_quota_of_nothing_is_refused(database: Database) -> None:
    for wrong in ({"account": ""}, {"scopes": set()}):
        with pytest.raises(ValueError, match="needs an account and at least one scope"):
            issue(database, **wrong)
    for quota in ("per_day", "per_minute"):
        with pytest.raises(StoreError):
            issue(database, **{quota: 0})


def test_a_days_quota_is_given_out_once_and_what_is_given_back_again(database: Database) -> None:
    token = issue(database).token
    assert [take(database, token.id, 1, 4, 10) for _ in range(4)] == [4, 4, 2, 0]
    with database.transaction() as tx:
        api_tokens.give_back(tx, token.id, TODAY, 3)
    assert used(database, token.id) == 7
    assert take(database, token.id, 4, 4, 10) == 0
    assert take(database, token.id, 2, 9, 10) == 3


def test_without_a_quota_the_use_is_counted_all_the_same(database: Database) -> None:
    token = issue(database).token
    assert [take(database, token.id, 1, 500, None) for _ in range(3)] == [500] * 3
    assert used(database, token.id) == 1500


def test_each_day_and_each_token_has_its_own_count_and_old_days_are_forgotten(database: Database) -> None:
    first, second = issue(database).token, issue(database).token
    with database.transaction() as tx:
        for days in (0, 1, 91):
            day = TODAY + timedelta(days=days)
            api_tokens.begin_day(tx, first.id, day)
            assert api_tokens.take(tx, first.id, day, least=5, most=5, per_day=5) == 5
            assert api_tokens.take(tx, first.id, day, least=1, most=1, per_day=5) == 0
        api_tokens.begin_day(tx, second.id, TODAY)
        assert api_tokens.take(tx, second.id, TODAY, least=5, most=5, per_day=5) == 5
    with database.read() as tx:
        assert api_tokens.usage(tx, TODAY) == {second.id: 5}
        assert api_tokens.usage(tx, TODAY + timedelta(days=1)) == {first.id: 5}


def test_workers_that_ask_at_once_never_get_more_than_the_quota(tmp_path: Path, database: Database) -> None:
    token = issue(database).token
    workers = [Database.open(database_url(tmp_path), tmp_path) for _ in range(4)]
    taken: list[int] = []
    barrier = threading.Barrier(len(workers))

    def work(own: Database) -> None:
        barrier.wait(30)
        taken.extend(take(own, token.id, 1, 3, 100) for _ in range(20))

    threads = [threading.Thread(target=work, args=(own,)) for own in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for own in workers:
        own.close()
    assert len(taken) == 80
    assert sum(taken) == used(database, token.id) == 100


@given(steps=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 20), st.integers(0, 5)), max_size=20))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_taken_and_given_back_the_count_stays_within_the_quota(
    database: Database, steps: list[tuple[int, int, int]]
) -> None:
    token = issue(database).token
    held = 0
    for least, more, back in steps:
        got = take(database, token.id, least, least + more, 30)
        assert got == 0 or least <= got <= least + more
        assert got > 0 or 30 - held < least
        held += got
        with database.transaction() as tx:
            api_tokens.give_back(tx, token.id, TODAY, min(back, held))
        held -= min(back, held)
        assert used(database, token.id) == held <= 30


def invoke(tmp_path: Path, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("COMMONSBOT_STORE__URL", database_url(tmp_path))
    return CliRunner().invoke(cli.app, ["tokens", *arguments])


pytest_sqlite = pytest.mark.skipif(SERVER_URL is not None, reason="about the command, not the database")


@pytest_sqlite
@pytest.mark.usefixtures("wide_tables")
def test_the_command_prints_the_secret_alone_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = invoke(
        tmp_path,
        *("add", "patrol_Tool", "--scope", "classify", "--scope", "console", "--note", "for [b]you"),
        *("--per-minute", "60", "--per-day", "5000", "--expires", "30"),
        monkeypatch=monkeypatch,
    )
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    assert "not shown again" in made.stderr
    listing = invoke(tmp_path, "list", monkeypatch=monkeypatch)
    assert secret not in listing.stdout
    for part in ("Patrol Tool", "classify console", "until ", "0 of 5000", "60", "never", "for [b]you"):
        assert part in listing.stdout
    with fresh_database(tmp_path) as database, database.read() as tx:
        found = api_tokens.find(tx, secret)
        assert found is not None
        assert (found.account, found.per_minute, found.per_day) == ("Patrol Tool", 60, 5000)
        assert found.expires_at == found.created_at + timedelta(days=30)


@pytest_sqlite
@pytest.mark.usefixtures("wide_tables")
def test_the_command_revokes_by_the_id_that_it_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no tokens" in invoke(tmp_path, "list", monkeypatch=monkeypatch).stdout
    invoke(tmp_path, "add", "Ann", "--scope", "review", monkeypatch=monkeypatch)
    assert "valid" in invoke(tmp_path, "list", monkeypatch=monkeypatch).stdout
    assert invoke(tmp_path, "revoke", "1", monkeypatch=monkeypatch).exit_code == 0
    assert "revoked 20" in invoke(tmp_path, "list", monkeypatch=monkeypatch).stdout
    unknown = invoke(tmp_path, "revoke", "77", monkeypatch=monkeypatch)
    assert unknown.exit_code == 1
    assert "there is no token 77" in unknown.stderr


@pytest_sqlite
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Ann",), "--scope"),
        (("Ann", "--scope", "admin"), "'admin' is none of classify, console, review"),
        (("", "--scope", "review"), "cannot be a wiki user name"),
        (("A|B", "--scope", "review"), "cannot be a wiki user name"),
        (("A\x1b[31m", "--scope", "review"), "cannot be a wiki user name"),
        (("A" * 256, "--scope", "review"), "cannot be a wiki user name"),
        (("Ann", "--scope", "review", "--per-day", "0"), "--per-day"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    refused = invoke(tmp_path, "add", *arguments, monkeypatch=monkeypatch)
    assert refused.exit_code == 2
    assert message in " ".join(refused.stderr.replace("│", " ").split())
