"""Contact sheets, the data card and the report: nothing unblurred unasked, nothing unescaped."""

import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier.datasets import report
from classifier.datasets.card import Statements, data_card
from classifier.datasets.sheets import contact_sheets, representatives
from classifier.datasets.values import Dataset, DatasetError, Finding, Item

NASTY = "<script>alert(1)</script>|x"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("sheets")
    board = (np.indices((64, 64)).sum(axis=0) // 4 % 2 * 255).astype(np.uint8)
    items = []
    for index in range(7):
        Image.fromarray(board).save(root / f"{index}.png")
        medium = "photo" if index < 5 else NASTY
        label = ("safe", "nsfw")[index == 6]
        items.append(Item(f"{index}.png", label, "", {"medium": medium}, "train", f"{index:064x}"))
    (root / "3.png").write_bytes(b"broken")
    return Dataset(tuple(items), root, NASTY)


def contrast(jpeg: bytes) -> float:
    """Standard deviation in the middle of the first picture of a sheet."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return float(np.asarray(image.convert("L"))[20:100, 20:100].std())


def test_sheets_are_blurred_unless_asked_otherwise(dataset: Dataset) -> None:
    safe, nsfw = contact_sheets(dataset, columns=4, workers=1)
    assert [len(sheet.items) for sheet in (safe, nsfw)] == [6, 1]
    assert safe.is_blurred
    assert contrast(nsfw.jpeg) < 10
    plain = contact_sheets(dataset, blurred=False, workers=1)[1]
    assert not plain.is_blurred
    assert contrast(plain.jpeg) > 60
    with Image.open(io.BytesIO(safe.jpeg)) as image:
        assert image.size == (4 * 116 + 4, 2 * 116 + 4)


def test_representatives_are_spread_and_no_copies_of_each_other() -> None:
    items = [
        Item(f"{n}", "safe", "", {"medium": "map" if n < 3 else "photo"}, "", f"{n:064x}") for n in range(30)
    ]
    items.append(Item("copy", "safe", "", {"medium": "map"}, "", f"{1:064x}"))
    items.append(Item("https://x.example/1.png", "safe", "", {"medium": "chart"}))
    given = Dataset(tuple(items), Path("/nowhere"), "d")
    chosen = representatives(given, "safe", 10, 1, "medium")
    assert sum(item.groups["medium"] == "map" for item in chosen) == 3
    assert len({item.sha256 for item in chosen}) == len(chosen) == 10
    assert (
        representatives(given.with_items(reversed(items)), "safe", 10, 1, "medium")[0].sha256
        == chosen[0].sha256
    )
    assert representatives(given, "safe", 10, 2, "medium") != chosen


class Tags(HTMLParser):
    """Which elements a page has, and which text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_escapes_what_the_data_says_and_loads_nothing(dataset: Dataset, tmp_path: Path) -> None:
    findings = [Finding("error", "leak_near", NASTY, NASTY, "label", (NASTY,))] * 501
    report.write(tmp_path / "r.html", dataset, findings, contact_sheets(dataset, workers=1))
    page = (tmp_path / "r.html").read_text()
    seen = Tags(page)
    assert "script" not in seen.tags
    assert NASTY in seen.text
    assert {"img", "table", "figure"} <= seen.tags
    assert "501 errors; 1 further findings" in seen.text
    assert "http" not in page.replace("http-equiv", "")
    assert "Nothing." in report.render(dataset)


def test_the_card_counts_what_can_be_counted_and_asks_for_the_rest(dataset: Dataset) -> None:
    findings = [Finding("error", "leak_near", "nearly the same", f"{index}.png") for index in range(22)]
    card = data_card(dataset, findings, Statements(purpose="To test."))
    assert "## Purpose\n\nTo test." in card
    assert card.count("*Not stated.*") == 6
    assert "<script>" not in card
    assert "| safe: 6, nsfw: 1 |" in card
    assert "| photo | 5 | 0 | 5 | 0.0% |" in card
    assert "- and 2 more errors" in card
    # A cell that ends early would move the columns.
    assert all(
        line.replace(r"\|", "").count("|") in (3, 4, 6) for line in card.splitlines() if line[:1] == "|"
    )


def test_a_label_that_is_none_is_an_error_that_names_the_file(dataset: Dataset) -> None:
    wrong = dataset.with_items([*dataset.items, Item("odd.png", "Safe")])
    for make in (report.render, data_card):
        with pytest.raises(DatasetError, match=r"odd.png, column 'label'"):
            make(wrong)
