"""Who is let in: tokens of the real store, quotas that hold over workers, minutes and days."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from bot.errors import ConfigError
from bot.serving import access
from bot.serving.access import TokenAccess, check_doors
from bot.serving.quota import MinuteWindow, most_to_take
from bot.serving.settings import AccessSettings
from bot.settings import load_settings
from classifier.service.access import AccessDenied
from storage import api_tokens
from storage.api_tokens import IssuedToken, Scope
from storage.engine import Database
from tests.storage_database import NOW, database_url, fresh_database


class Clock:
    """Both clocks of `TokenAccess`, moved by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return 1000.25 + self.passed_s


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


def configured(**changes: object) -> AccessSettings:
    return load_settings().access.model_copy(update=changes)


def door(database: Database, clock: Clock, **changes: object) -> TokenAccess:
    return TokenAccess(database, configured(**changes), now=clock.now, monotonic=clock.monotonic)


def issue(database: Database, **changes: object) -> IssuedToken:
    values = {"account": "Ann", "scopes": {Scope.CLASSIFY}, "now": NOW, **changes}
    with database.transaction() as tx:
        return api_tokens.add(tx, **values)  # type: ignore[arg-type]


def denied(to: TokenAccess, token: str | None, scope: str = "classify", cost: int = 1) -> AccessDenied:
    with pytest.raises(AccessDenied) as caught:
        to.admit(token, scope=scope, cost=cost)
    return caught.value


def let_in(to: TokenAccess, token: str, cost: int = 1, most: int = 10_000) -> int:
    """How often a token is let in until it is not."""
    for times in range(most):
        try:
            to.admit(token, scope="classify", cost=cost)
        except AccessDenied:
            return times
    return most


def counted(database: Database, token_id: int) -> int:
    with database.read() as tx:
        return api_tokens.usage(tx, NOW.date()).get(token_id, 0)


def test_a_token_is_let_in_as_its_account_with_its_scopes(database: Database, clock: Clock) -> None:
    token = issue(database, account="Bob", scopes={Scope.CONSOLE, Scope.REVIEW})
    caller = door(database, clock).admit(token.secret, scope="review", cost=0)
    assert (caller.account, caller.scopes) == ("Bob", {"console", "review"})


@pytest.mark.parametrize(
    "token",
    [None, "", "cnb_", "cnb_" + "A" * 43, "cnb_" + "A" * 43 + "\n", "é" * 47, "\ud800", "x" * 100_000],
)
def test_whoever_has_no_token_of_ours_is_told_so_and_nothing_else(
    database: Database, clock: Clock, token: str | None
) -> None:
    issue(database)
    error = denied(door(database, clock), token)
    assert (error.status, error.code) == (401, "unauthorized")
    assert not token or token not in error.detail


def test_expired_and_revoked_tokens_are_refused_like_unknown_ones(database: Database, clock: Clock) -> None:
    expiring = issue(database, expires_at=NOW + timedelta(seconds=1))
    to = door(database, clock)
    to.admit(expiring.secret, scope="classify", cost=1)
    clock.passed_s = 1
    unknown = denied(to, "cnb_" + "A" * 43)
    error = denied(to, expiring.secret)
    assert (error.status, error.code, error.detail) == (unknown.status, unknown.code, unknown.detail)


def test_a_revocation_takes_effect_within_seconds_in_a_worker_that_knew_the_token(
    database: Database, clock: Clock
) -> None:
    token = issue(database)
    to = door(database, clock)
    to.admit(token.secret, scope="classify", cost=1)
    with database.transaction() as tx:
        api_tokens.revoke(tx, token.token.id, NOW)
    clock.passed_s = access.REMEMBERED_S
    assert denied(to, token.secret).status == 401


def test_the_store_is_not_asked_for_every_request(database: Database, clock: Clock) -> None:
    token = issue(database)
    to = door(database, clock)
    to.admit(token.secret, scope="classify", cost=1)
    statements: list[str] = []
    engine = database._engine

    def count(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    for _ in range(50):
        to.admit(token.secret, scope="classify", cost=1)
    assert statements == []


def test_whoever_is_known_is_let_in_at_once_without_the_store(database: Database, clock: Clock) -> None:
    token = issue(database, per_day=1000)
    to = door(database, clock)
    assert to.admit_at_once(token.secret, scope="classify", cost=1) is None
    slowly = to.admit(token.secret, scope="classify", cost=1)
    statements: list[str] = []
    event.listen(database._engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    assert to.admit_at_once(token.secret, scope="classify", cost=4) == slowly
    assert statements == []
    to.close()
    assert counted(database, token.token.id) == 5


def test_whoever_the_store_has_to_be_asked_about_is_not_counted_at_once(
    database: Database, clock: Clock
) -> None:
    token = issue(database, per_day=1000, per_minute=100)
    to = door(database, clock)
    to.admit(token.secret, scope="classify", cost=1)
    # What is held of the day is used up, another thread asks the store, the use is to be noted, the token
    # was not looked up lately.
    assert to.admit_at_once(token.secret, scope="classify", cost=10) is None
    with to._meters[token.token.id].lock:
        assert to.admit_at_once(token.secret, scope="classify", cost=1) is None
    clock.passed_s = 61
    assert to.admit_at_once(token.secret, scope="classify", cost=1) is None
    to.admit(token.secret, scope="classify", cost=0)
    assert to.admit_at_once(token.secret, scope="classify", cost=1) is not None
    clock.passed_s += access.REMEMBERED_S
    assert to.admit_at_once(token.secret, scope="classify", cost=1) is None
    assert to.admit_at_once("cnb_unknown", scope="classify", cost=1) is None
    to.close()
    assert counted(database, token.token.id) == 2


def test_at_once_nobody_gets_in_who_would_not_get_in_otherwise(database: Database, clock: Clock) -> None:
    token = issue(database, per_minute=3, expires_at=NOW + timedelta(seconds=3))
    to = door(database, clock, anonymous=True, anonymous_per_minute=2)
    to.admit(token.secret, scope="classify", cost=1)

    def refused(secret: str | None, scope: str, cost: int) -> AccessDenied:
        with pytest.raises(AccessDenied) as caught:
            to.admit_at_once(secret, scope=scope, cost=cost)
        return caught.value

    assert refused(token.secret, "review", 1).code == "forbidden"
    assert refused(token.secret, "classify", 3).code == "quota_exceeded"
    assert to.admit_at_once(token.secret, scope="classify", cost=2) is not None
    assert refused(token.secret, "classify", 1).code == "quota_exceeded"
    clock.passed_s = 3
    assert refused(token.secret, "classify", 0).code == "unauthorized"
    assert to.admit_at_once(None, scope="classify", cost=2) is not None
    assert refused(None, "classify", 1).code == "quota_exceeded"
    assert refused(None, "console", 0).code == "unauthorized"


def test_what_is_remembered_is_bounded(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MAX_REMEMBERED", 3)
    to = door(database, clock)
    for token in [issue(database) for _ in range(6)]:
        to.admit(token.secret, scope="classify", cost=0)
    for number in range(50):
        denied(to, f"cnb_{number:043d}")
    assert len(to._remembered) == 3


@pytest.mark.parametrize("scope", ["console", "review", "admin", ""])
def test_a_token_without_the_scope_is_forbidden(database: Database, clock: Clock, scope: str) -> None:
    error = denied(door(database, clock), issue(database).secret, scope)
    assert (error.status, error.code) == (403, "forbidden")


def test_a_forbidden_request_costs_nothing(database: Database, clock: Clock) -> None:
    token = issue(database, per_day=2)
    to = door(database, clock)
    for _ in range(5):
        denied(to, token.secret, "console")
    assert let_in(to, token.secret) == 2


def test_a_days_quota_is_shared_by_workers_and_restarts(
    tmp_path: Path, database: Database, clock: Clock
) -> None:
    token = issue(database, per_day=250, per_minute=10_000)
    second = Database.open(database_url(tmp_path), tmp_path)
    first_door, second_door = door(database, clock), door(second, clock)
    for _ in range(50):
        first_door.admit(token.secret, scope="classify", cost=1)
        second_door.admit(token.secret, scope="classify", cost=2)
    first_door.close()
    assert 50 + let_in(second_door, token.secret) + 100 == 250
    second_door.close()
    assert let_in(door(database, clock), token.secret) == 0
    second.close()


def test_a_killed_worker_costs_a_hundredth_of_the_quota_at_most(database: Database, clock: Clock) -> None:
    token = issue(database, per_day=1000, per_minute=10_000)
    killed = door(database, clock)
    killed.admit(token.secret, scope="classify", cost=1)
    assert let_in(door(database, clock), token.secret) == 990


def test_a_worker_that_ends_gives_back_what_it_did_not_use(database: Database, clock: Clock) -> None:
    token = issue(database, per_day=1000)
    to = door(database, clock)
    to.admit(token.secret, scope="classify", cost=3)
    assert counted(database, token.token.id) == 10
    to.close()
    to.close()
    assert counted(database, token.token.id) == 3


def test_a_used_up_day_says_when_the_next_one_begins_and_ends_with_it(
    database: Database, clock: Clock
) -> None:
    token = issue(database, per_day=5)
    to = door(database, clock)
    to.admit(token.secret, scope="classify", cost=5)
    error = denied(to, token.secret)
    assert (error.status, error.code) == (429, "quota_exceeded")
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    assert error.retry_after_s == pytest.approx((midnight - NOW).total_seconds())
    to.admit(token.secret, scope="classify", cost=0)
    clock.passed_s = error.retry_after_s or 0
    assert let_in(to, token.secret) == 5


def test_more_at_once_than_the_quota_is_refused_without_a_time_to_come_again(
    database: Database, clock: Clock
) -> None:
    token = issue(database, per_day=20, per_minute=10)
    to = door(database, clock)
    assert denied(to, token.secret, cost=11).retry_after_s is None
    wide = issue(database, per_day=20)
    assert denied(to, wide.secret, cost=21).retry_after_s is None
    assert let_in(to, token.secret) == 10


def test_a_refused_request_takes_nothing_from_either_quota(database: Database, clock: Clock) -> None:
    token = issue(database, per_day=15, per_minute=10)
    to = door(database, clock)
    to.admit(token.secret, scope="classify", cost=8)
    denied(to, token.secret, cost=3)
    to.admit(token.secret, scope="classify", cost=2)
    clock.passed_s = 62
    denied(to, token.secret, cost=6)
    to.admit(token.secret, scope="classify", cost=5)
    assert counted(database, token.token.id) == 15


def test_a_minutes_quota_comes_back_when_it_says_so(database: Database, clock: Clock) -> None:
    token = issue(database, per_minute=4)
    to = door(database, clock)
    assert let_in(to, token.secret) == 4
    error = denied(to, token.secret)
    assert (error.status, error.code) == (429, "quota_exceeded")
    assert error.retry_after_s is not None
    clock.passed_s = error.retry_after_s - 0.01
    denied(to, token.secret)
    clock.passed_s = error.retry_after_s
    assert let_in(to, token.secret) == 4


def test_tokens_that_name_no_quota_have_that_of_the_settings(database: Database, clock: Clock) -> None:
    for changes, times in (
        ({"per_minute": 7}, 7),
        ({"per_minute": 0, "per_day": 9}, 9),
        ({"per_minute": 0, "per_day": 0}, 500),
    ):
        assert let_in(door(database, clock, **changes), issue(database).secret, most=500) == times


def test_a_use_is_noted_once_a_minute(database: Database, clock: Clock) -> None:
    token = issue(database, scopes={Scope.CONSOLE})
    to = door(database, clock)
    seen = []
    for clock.passed_s in (0, 30, 59, 60, 100):
        to.admit(token.secret, scope="console", cost=0)
        with database.read() as tx:
            seen.append(api_tokens.listed(tx)[0].last_used_at)
    assert [at and (at - NOW).total_seconds() for at in seen] == [0, 0, 0, 60, 60]


def test_without_a_token_nobody_is_let_in_by_default(database: Database, clock: Clock) -> None:
    assert not load_settings().access.anonymous
    assert denied(door(database, clock), None).status == 401


@pytest.mark.parametrize("scope", ["console", "review"])
def test_nobody_gets_into_the_console_without_a_token(database: Database, clock: Clock, scope: str) -> None:
    assert denied(door(database, clock, anonymous=True), None, scope).status == 401


def test_those_without_a_token_share_a_quota_where_they_are_let_in(database: Database, clock: Clock) -> None:
    to = door(database, clock, anonymous=True, anonymous_per_minute=6)
    for _ in range(3):
        caller = to.admit(None, scope="classify", cost=2)
    assert (caller.account, caller.scopes) == ("anonymous", {"classify"})
    assert denied(to, None).code == "quota_exceeded"
    clock.passed_s = 61
    to.admit(None, scope="classify", cost=6)


def test_a_wrong_token_is_not_let_in_as_nobody(database: Database, clock: Clock) -> None:
    assert denied(door(database, clock, anonymous=True), "cnb_" + "A" * 43).status == 401


def test_while_the_store_is_away_nobody_unknown_is_let_in(database: Database, clock: Clock) -> None:
    token = issue(database)
    to = door(database, clock)
    to.admit(token.secret, scope="classify", cost=1)
    with database.transaction() as tx:
        tx.execute(text("ALTER TABLE api_token RENAME TO elsewhere"))
    to.admit(token.secret, scope="classify", cost=1)
    clock.passed_s = access.REMEMBERED_S
    error = denied(to, token.secret)
    assert (error.status, error.code) == (503, "access_unavailable")
    assert error.retry_after_s is not None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "", "127.0.0.1.example.org"])
def test_open_doors_on_a_network_are_refused_unless_somebody_allowed_them(host: str) -> None:
    with pytest.raises(ConfigError, match=r"access\.anonymous_beyond_loopback"):
        check_doors(configured(anonymous=True), host)
    check_doors(configured(anonymous=True, anonymous_beyond_loopback=True), host)
    check_doors(configured(anonymous=False), host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_open_doors_on_loopback_are_fine(host: str) -> None:
    check_doors(configured(anonymous=True), host)


@given(
    asked=st.lists(st.tuples(st.floats(0, 40), st.integers(0, 6)), max_size=60),
    limit=st.integers(1, 10),
)
def test_no_minute_ever_holds_more_than_the_limit(asked: list[tuple[float, int]], limit: int) -> None:
    window, now_s = MinuteWindow(limit), 5.5
    let_through: list[tuple[float, int]] = []
    for pause_s, cost in asked:
        now_s += pause_s
        wait_s = window.wait_s(cost, now_s)
        if wait_s == 0:
            window.add(cost, now_s)
            let_through.append((now_s, cost))
        elif cost <= limit:
            assert window.wait_s(cost, now_s + wait_s) == 0
            now_s += wait_s
    for end_s, _ in let_through:
        assert sum(cost for at_s, cost in let_through if end_s - 60 < at_s <= end_s) <= limit


@given(cost=st.integers(1, 1000), per_day=st.none() | st.integers(1, 10**6))
def test_what_is_taken_at_once_is_enough_and_little(cost: int, per_day: int | None) -> None:
    most = most_to_take(cost, per_day)
    assert most >= cost
    assert most == cost or per_day is None or most <= per_day / 100
