"""Collecting goes on where it was killed, fetches nothing twice, and drops nothing silently."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from bot.collecting.collection import Collection
from bot.collecting.collector import Collector
from bot.collecting.plan import CategoryPlan, CollectingPlan
from bot.collecting.result import Result, source_of, summarise
from bot.collecting.values import Listing
from bot.errors import ConfigError, RetryLater, ServiceDown, SkipUpload
from classifier.datasets import manifest
from tests.collecting_fakes import FakeCommons, Killed, description, sha1_of

PAGE_URL = "https://commons.example/wiki/{title}"
LATER = RetryLater("rendition_unavailable", "Not yet.")


def plan(limit: int = 100, **fields: object) -> CollectingPlan:
    categories = (
        CategoryPlan(name="Safe", label="safe", depth=1, limit=limit, groups={"medium": "photo"}),
        CategoryPlan(name="Nude", label="nsfw", limit=limit),
    )
    return CollectingPlan(category=categories, **fields)


def commons(folder: Path) -> FakeCommons:
    fake = FakeCommons(folder)
    safe = [f"File:s{number}.png" for number in range(8)]
    nude = [f"File:n{number}.png" for number in range(5)]
    fake.categories = {
        "Category:Safe": Listing((*safe[:5], "File:gone.png", "File:old name.png"), ("Category:Safe 2",)),
        "Category:Safe 2": Listing((*safe[4:], "File:copy of s0.png", "File:sound.ogg"), ("Category:Safe",)),
        "Category:Nude": Listing((*nude, "File:both.png")),
    }
    fake.files = {title: description(title) for title in (*safe, *nude)}
    fake.files["File:old name.png"] = description("File:s1.png")
    fake.files["File:copy of s0.png"] = description("File:copy of s0.png", "File:s0.png")
    fake.files["File:both.png"] = description("File:both.png", "File:s2.png")
    fake.files["File:sound.ogg"] = description("File:sound.ogg", media_type="AUDIO")
    return fake


def collect(fake: FakeCommons, wanted: CollectingPlan | None = None) -> Result:
    chosen = wanted or plan()
    with Collection(fake.folder / "out").opened() as collection:
        collected = Collector(collection, fake, fake, chosen, concurrent=1, retry_wait_s=0).run()
        result = summarise(chosen, collected, collection.outcomes, collection.folder, PAGE_URL)
        collection.write(result.dataset, result.sources, result.left_out)
    return result


def plain(result: Result) -> tuple[object, ...]:
    sources = [{**one, "fetched_at": ""} for one in result.sources]
    return result.dataset.items, sources, set(result.left_out), result.pending


def test_files_get_labels_groups_sources_and_records(tmp_path: Path) -> None:
    result = collect(commons(tmp_path))
    labels = [item.label for item in result.dataset.items]
    assert (labels.count("safe"), labels.count("nsfw")) == (7, 5)
    first = result.dataset.items[0]
    assert first.groups == {"medium": "photo", "category": "Safe", "licence": "CC0", "media": "bitmap"}
    assert first.source == "author:Ann"
    assert manifest.read(tmp_path / "out/collected.csv").items[0].path == first.path
    lines = (tmp_path / "out/sources.jsonl").read_text().splitlines()
    record = json.loads(lines[0])
    assert record["path"] == first.path
    assert record["page"] == f"https://commons.example/wiki/{quote(record['title'], safe=':')}"
    assert (record["author"], record["licence"], record["sha1"]) == ("Ann", "CC0", sha1_of(record["title"]))
    assert all((tmp_path / "out" / item.path).stat().st_size for item in result.dataset.items)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_nothing_is_dropped_silently(tmp_path: Path) -> None:
    collect(commons(tmp_path))
    with (tmp_path / "out/left-out.csv").open(newline="") as file:
        rows = {(row["title"], row["code"]) for row in csv.DictReader(file)}
    copies = {title for title, code in rows if code == "duplicate"}
    assert rows - {(title, "duplicate") for title in copies} == {
        ("File:gone.png", "deleted"),
        ("File:old name.png", "redirect"),
        ("File:sound.ogg", "media_type"),
        ("File:both.png", "label_conflict"),
        ("File:s2.png", "label_conflict"),
    }
    assert copies in ({"File:copy of s0.png"}, {"File:s0.png"})


def test_wherever_it_is_killed_the_next_run_ends_in_the_same_collection(tmp_path: Path) -> None:
    whole = commons(tmp_path / "whole")
    whole.folder.mkdir()
    expected = plain(collect(whole))
    assert whole.calls > 15
    for dies_at in range(1, whole.calls + 1):
        fake = commons(tmp_path / str(dies_at))
        fake.folder.mkdir()
        fake.dies_at = dies_at
        with pytest.raises(Killed):
            collect(fake)
        fake.dies_at = 0
        assert plain(collect(fake)) == expected
        assert max(fake.listed.values()) == 1
        assert max(fake.fetched.values()) == 1


def test_a_line_cut_by_a_kill_costs_that_line_and_no_more(tmp_path: Path) -> None:
    fake = commons(tmp_path)
    expected = plain(collect(fake))
    for name in ("files.jsonl", "categories.jsonl"):
        journal = tmp_path / "out" / name
        content = journal.read_bytes()
        last = content[:-1].rfind(b"\n") + 1
        for cut in (last + 1, (last + len(content)) // 2, len(content) - 1):
            journal.write_bytes(content[:cut])
            assert plain(collect(fake)) == expected
            assert len(journal.read_bytes().splitlines()) == len(content.splitlines())
    before = fake.calls
    assert plain(collect(fake)) == expected
    assert fake.calls - before <= 2 * 3


def test_a_damaged_journal_is_named_with_its_line(tmp_path: Path) -> None:
    fake = commons(tmp_path)
    collect(fake)
    journal = tmp_path / "out/files.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"garbage\n" + b"".join(lines[1:]))
    with pytest.raises(ConfigError, match=r"files.jsonl, line 2"):
        collect(fake)


def test_limits_count_pictures_and_a_larger_limit_keeps_what_is_there(tmp_path: Path) -> None:
    fake = commons(tmp_path)
    fake.categories["Category:Nude"] = Listing(tuple(f"File:n{number}.png" for number in range(5)))
    small = collect(fake, plan(limit=2))
    assert [item.label for item in small.dataset.items] == ["safe", "safe", "nsfw", "nsfw"]
    large = collect(fake, plan(limit=4))
    assert {item.path for item in small.dataset.items} <= {item.path for item in large.dataset.items}
    assert max(fake.fetched.values()) == 1
    assert max(fake.listed.values()) == 1
    assert fake.fetched.total() <= 10


def test_what_fails_for_now_is_tried_again_and_at_last_by_the_original(tmp_path: Path) -> None:
    fake = commons(tmp_path)
    fake.failures = {sha1_of("File:n0.png"): [LATER], sha1_of("File:n1.png"): [LATER] * 9}
    result = collect(fake)
    assert max(fake.tries) == 2
    assert sha1_of("File:n0.png") in fake.fetched
    left = {one.title: one.code for one in result.left_out}
    assert left["File:n1.png"] == "rendition_unavailable"
    assert "File:n0.png" not in left
    assert result.pending == 0
    assert len(fake.failures[sha1_of("File:n1.png")]) == 9 - 3


def test_a_service_that_is_down_ends_the_run_and_blames_no_file(tmp_path: Path) -> None:
    fake = commons(tmp_path)
    fake.failures = {sha1_of("File:n0.png"): [ServiceDown("upload.example", "no answer")]}
    with pytest.raises(ServiceDown):
        collect(fake)
    result = collect(fake)
    assert "File:n0.png" not in {one.title for one in result.left_out}


def test_what_never_comes_is_not_asked_again_and_pictures_that_were_deleted_are(tmp_path: Path) -> None:
    fake = commons(tmp_path)
    fake.failures = {sha1_of("File:n3.png"): [SkipUpload("too_large", "Too large.")]}
    result = collect(fake)
    asked = fake.described["File:n3.png"]
    lost = next(record for record in result.sources if record["title"] == "File:n0.png")
    (tmp_path / "out" / lost["path"]).unlink()
    collect(fake)
    assert fake.described["File:n3.png"] == asked == 1
    assert fake.fetched[sha1_of("File:n0.png")] == 2


def test_another_kind_of_media_is_asked_for_when_a_plan_wants_it(tmp_path: Path) -> None:
    fake = commons(tmp_path)
    fake.files["File:sound.ogg"] = description("File:sound.ogg", media_type="VIDEO")
    collect(fake)
    result = collect(fake, plan(media=("BITMAP", "VIDEO")))
    assert "File:sound.ogg" in {record["title"] for record in result.sources}


def test_two_processes_do_not_collect_into_one_folder(tmp_path: Path) -> None:
    with (
        Collection(tmp_path / "out").opened(),
        pytest.raises(ConfigError, match="another process"),
        Collection(tmp_path / "out").opened(),
    ):
        pass


def test_all_the_unknown_authors_are_not_one_person() -> None:
    one = description("File:a.png")
    assert source_of(one, "author") == "author:Ann"
    assert source_of(replace(one, author="Unknown author"), "author") == ""
    assert source_of(replace(one, author=""), "author") == "uploader:Up"
    assert source_of(one, "uploader") == "uploader:Up"
    assert source_of(one, "none") == ""
