"""Shadow mode: verdicts given in the console, by whom, on what, and what they may know before."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from storage import reviews
from storage.review_values import ReviewState, Verdict, VerdictCode, VerdictSource
from storage.values import ReviewReason
from tests.console_site import ConsoleSite, console_site, form_token
from tests.export_store import one_upload
from tests.review_items import give, item_id, put_up, verdict
from tests.storage_database import after


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path, now=after(100), filled=False) as made:
        for number in (1, 2, 3):
            put_up(made.database, {number: 0.937}, values=[one_upload(number)], now=after(number))
        yield made


@pytest.fixture
def reviewer(site: ConsoleSite) -> TestClient:
    return site.client(site.token("Rosa"))


def say(client: TestClient, log_id: int, code: str, **fields: str) -> Any:
    form = {
        "form_token": form_token(client.get("/console/review").text),
        "item": item_id(log_id),
        "code": code,
    }
    return client.post("/console/review", data={**form, **fields})


def verdicts(site: ConsoleSite, log_id: int) -> list[Verdict]:
    with site.database.read() as tx:
        return reviews.verdicts_of(tx, item_id(log_id))


@pytest.mark.parametrize("code", list(VerdictCode))
def test_a_verdict_is_stored_as_those_of_the_wiki_are(
    site: ConsoleSite, reviewer: TestClient, code: VerdictCode
) -> None:
    answer = say(reviewer, 1, code.value, comment="  a\tfew   words ")
    assert answer.status_code == 303
    (stored,) = verdicts(site, 1)
    assert (stored.code, stored.comment, stored.author) == (code, "a few words", "Rosa")
    assert stored.source is VerdictSource.CONSOLE
    assert stored.blind
    assert stored.trusted
    assert stored.revision_id is None
    assert stored.given_at == after(100)
    with site.database.read() as tx:
        standing = reviews.standing(tx, item_id(1))
    assert standing.state is (ReviewState.OPEN if code is VerdictCode.UNSURE else ReviewState.CLOSED)


def test_after_a_verdict_comes_the_next_item_and_a_way_back(site: ConsoleSite, reviewer: TestClient) -> None:
    assert "File:Noise 1.jpg" in reviewer.get("/console/review").text
    page = reviewer.get(say(reviewer, 1, "sfw").headers["location"]).text
    assert "File:Noise 2.jpg" in page
    assert "Saved: Not explicit" in page
    assert f'href="/console/review?item={item_id(1)}"' in page
    assert "2 waiting for you, 1 done today" in page


def test_undoing_is_a_verdict_that_supersedes_and_is_not_called_blind(
    site: ConsoleSite, reviewer: TestClient
) -> None:
    say(reviewer, 1, "nsfw-delete")
    back = reviewer.get(f"/console/review?item={item_id(1)}").text
    assert "Your verdict on this file is" in back
    say(reviewer, 1, "sfw")
    first, second = verdicts(site, 1)
    assert (first.code, first.blind) == (VerdictCode.NSFW_DELETE, True)
    assert (second.code, second.blind, second.supersedes_id) == (VerdictCode.SFW, False, first.id)


def test_the_same_verdict_twice_is_stored_once(site: ConsoleSite, reviewer: TestClient) -> None:
    say(reviewer, 1, "sfw")
    assert say(reviewer, 1, "sfw").status_code == 303
    assert len(verdicts(site, 1)) == 1
    say(reviewer, 1, "sfw", comment="now with a reason")
    assert len(verdicts(site, 1)) == 2


def test_what_is_skipped_comes_again_at_the_end(site: ConsoleSite, reviewer: TestClient) -> None:
    titles = []
    after_item = ""
    for _ in range(4):
        page = reviewer.get("/console/review", params={"after": after_item} if after_item else {}).text
        titles.append(next(number for number in (1, 2, 3) if f"File:Noise {number}.jpg" in page))
        after_item = item_id(titles[-1])
    assert titles == [1, 2, 3, 1]


def test_with_nothing_left_the_page_says_so(site: ConsoleSite, reviewer: TestClient) -> None:
    for number in (1, 2, 3):
        say(reviewer, number, "unsure")
    page = reviewer.get("/console/review").text
    assert "Nothing is waiting for you." in page


def blind_pages(folder: Path, score: float, reason: ReviewReason, code: VerdictCode) -> dict[str, str]:
    """What a reviewer sees of a file before and after the own verdict, without what differs by chance."""
    found: dict[str, str] = {}
    with console_site(folder, now=after(100), filled=False) as site:
        put_up(site.database, {1: score}, values=[one_upload(1)], reason=reason, probability=score / 2)
        give(site.database, verdict(1, code, author="Ann", comment=f"remark for {code.value}"))
        client = site.client(site.token("Rosa"))
        paths = (f"review?item={item_id(1)}", "queue", f"items/{item_id(1)}", "models")
        for moment in ("before", "after"):
            for path in paths:
                page = client.get(f"/console/{path}").text
                found[f"{moment} {path}"] = re.sub(r'name="form_token" value="\w+"', "", page)
            say(client, 1, "unsure")
    return found


def test_before_the_own_verdict_pages_are_the_same_whatever_the_score(tmp_path: Path) -> None:
    high = blind_pages(tmp_path / "a", 0.937, ReviewReason.FLAGGED, VerdictCode.NSFW_DELETE)
    low = blind_pages(tmp_path / "b", 0.123, ReviewReason.AUDIT, VerdictCode.SFW)
    for name, page in high.items():
        told = name in ("after queue", f"after items/{item_id(1)}")
        assert (page != low[name]) is told, name
    assert "0.937" in high["after queue"]
    assert "remark for nsfw-delete" in high[f"after items/{item_id(1)}"]


def test_filters_that_would_tell_the_score_are_not_for_reviewers(
    site: ConsoleSite, reviewer: TestClient
) -> None:
    for query in ("low=0.99", "high=0.1", "label=sfw", "reason=audit", "order=highest"):
        page = reviewer.get(f"/console/queue?{query}").text
        assert "is not for reviewers" in page
        assert all(f"File:Noise {number}.jpg" in page for number in (1, 2, 3))


def test_an_operator_without_the_right_to_review_sees_scores_and_gives_no_verdicts(site: ConsoleSite) -> None:
    client = site.client(site.token("Olga", "console"))
    assert "0.937" in client.get("/console/queue").text
    assert "0.937" in client.get(f"/console/items/{item_id(1)}").text
    assert "scope “review”" in client.get("/console/review").text
    token = form_token(client.get("/console/").text)
    form = {"form_token": token, "item": item_id(1), "code": "sfw"}
    answer = client.post("/console/review", data=form)
    assert answer.status_code == 403
    assert verdicts(site, 1) == []


@pytest.mark.parametrize("account", ["Rosa", "rosa", "Rosa_"])
def test_nobody_judges_an_own_upload(tmp_path: Path, account: str) -> None:
    with console_site(tmp_path, filled=False) as site:
        put_up(site.database, {1: 0.9}, values=[one_upload(1, "Rosa")])
        client = site.client(site.token(account))
        assert "Nothing is waiting" in client.get("/console/review").text
        page = client.get(f"/console/review?item={item_id(1)}").text
        assert "your own upload" in page
        assert "data-verdicts" not in page
        form = {"form_token": form_token(page), "item": item_id(1), "code": "sfw"}
        assert client.post("/console/review", data=form).status_code == 403
        assert verdicts(site, 1) == []


def test_with_the_report_live_on_the_wiki_no_verdict_is_taken_here(tmp_path: Path) -> None:
    with console_site(tmp_path, filled=False, enabled=True, dry_run=False) as site:
        put_up(site.database, {1: 0.937}, values=[one_upload(1)])
        client = site.client(site.token())
        page = client.get("/console/review").text
        assert "Verdicts are given on-wiki now" in page
        assert "data-verdicts" not in page
        assert "On-wiki review is switched on" in client.get("/console/").text
        form = {"form_token": form_token(page), "item": item_id(1), "code": "sfw"}
        answer = client.post("/console/review", data=form)
        assert answer.status_code == 409
        assert verdicts(site, 1) == []
        assert "0.937" in client.get("/console/queue").text


def test_a_dry_run_of_the_report_is_still_shadow_mode(tmp_path: Path) -> None:
    with console_site(tmp_path, filled=False, enabled=True, dry_run=True) as site:
        put_up(site.database, {1: 0.9}, values=[one_upload(1)])
        assert say(site.client(site.token()), 1, "sfw").status_code == 303
        assert len(verdicts(site, 1)) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"code": "delete"}, 400),
        ({"code": ""}, 400),
        ({"comment": "x" * 501}, 400),
        ({"item": "commonswiki-999"}, 404),
        ({"item": "../../etc/passwd"}, 404),
        ({"item": ""}, 404),
    ],
)
def test_a_form_that_makes_no_sense_changes_nothing(
    site: ConsoleSite, reviewer: TestClient, fields: dict[str, str], status: int
) -> None:
    form = {
        "form_token": form_token(reviewer.get("/console/review").text),
        "item": item_id(1),
        "code": "sfw",
        **fields,
    }
    assert reviewer.post("/console/review", data=form).status_code == status
    assert verdicts(site, 1) == []


def test_an_item_that_nobody_is_asked_about_is_not_there(reviewer: TestClient) -> None:
    assert reviewer.get("/console/review?item=commonswiki-999").status_code == 404
