"""Which files a plan reaches: knots of categories, depths, exclusions, conflicts, and wrong plans."""

from pathlib import Path

import pytest

from bot.collecting.plan import CategoryPlan, category_title, read_plan
from bot.collecting.tree import candidates, walk
from bot.collecting.values import Listing
from bot.errors import ConfigError
from bot.settings import ROOT

KNOT = {
    "Category:A": Listing(("File:A.jpg",), ("Category:B", "Category:C", "Category:A")),
    "Category:B": Listing(("File:B.jpg", "File:A.jpg"), ("Category:A", "Category:D")),
    "Category:C": Listing(("File:C.jpg",), ("Category:D", "Category:B")),
    "Category:D": Listing(("File:D.jpg",), ("Category:A", "Category:E")),
    "Category:E": Listing(("File:E.jpg",)),
}


class Listings:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, category: str) -> Listing:
        self.asked.append(category)
        return KNOT.get(category, Listing())


def plan(name: str = "A", label: str = "safe", **fields: object) -> CategoryPlan:
    return CategoryPlan(name=name, label=label, **fields)


def test_cycles_end_and_every_category_is_asked_once() -> None:
    listings = Listings()
    found = walk(plan(depth=10), listings)
    assert listings.asked == [f"Category:{letter}" for letter in "ABCDE"]
    assert found.files["File:A.jpg"] == "Category:A"
    assert set(found.files) == {f"File:{letter}.jpg" for letter in "ABCDE"}
    assert found.left_out == ()


@pytest.mark.parametrize(("depth", "letters"), [(0, "A"), (1, "ABC"), (2, "ABCD"), (3, "ABCDE")])
def test_depth_is_the_shortest_way(depth: int, letters: str) -> None:
    found = walk(plan(depth=depth), Listings())
    assert set(found.files) == {f"File:{letter}.jpg" for letter in letters}


def test_what_is_excluded_is_not_entered_and_not_silent() -> None:
    listings = Listings()
    found = walk(plan(depth=10, exclude=("c*", "file:b.jp*")), listings, ("Category:d",))
    assert listings.asked == ["Category:A", "Category:B"]
    assert set(found.files) == {"File:A.jpg"}
    assert {(one.title, one.code) for one in found.left_out} == {
        ("Category:C", "excluded"),
        ("Category:D", "excluded"),
        ("File:B.jpg", "excluded"),
    }


def test_limits_and_empty_categories_are_told() -> None:
    found = walk(plan(depth=10), Listings(), max_categories=2)
    assert {one.title for one in found.left_out if one.code == "too_many_categories"} == {
        "Category:C",
        "Category:D",
    }
    (empty,) = walk(plan("Nothing"), Listings()).left_out
    assert (empty.title, empty.code) == ("Category:Nothing", "empty_category")
    (cut,) = walk(plan(), lambda _: Listing(("File:A.jpg",), (), True)).left_out
    assert cut.code == "category_cut"


def test_files_of_both_labels_are_nobodys_and_files_of_two_categories_the_firsts() -> None:
    walks = [walk(plan("B"), Listings()), walk(plan("C"), Listings()), walk(plan("A", "nsfw"), Listings())]
    found, conflicts = candidates(walks, 0)
    assert [one.titles for one in found] == [("File:B.jpg",), ("File:C.jpg",), ()]
    assert {(one.title, one.label) for one in conflicts} == {("File:A.jpg", "safe"), ("File:A.jpg", "nsfw")}


def test_the_order_depends_on_the_seed_and_on_nothing_else() -> None:
    titles = tuple(f"File:{number}.jpg" for number in range(50))
    one = walk(plan(), lambda _: Listing(titles))
    other = walk(plan(), lambda _: Listing(titles[::-1]))
    first = candidates([one], 1)[0][0].titles
    assert first == candidates([other], 1)[0][0].titles
    assert first != candidates([one], 2)[0][0].titles
    assert sorted(first) == sorted(titles)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("category:nude_art ", "Category:Nude art"),
        ("Éclairs", "Category:Éclairs"),
        ("Art: a history", "Category:Art: a history"),
        ("Category:", None),
        ("a|b", None),
        ("x" * 300, None),
    ],
)
def test_names_become_titles(name: str, title: str | None) -> None:
    assert category_title(name) == title


GOOD = """
classes = ["safe", "nsfw"]
exclude = ["Category:* by year"]
[[category]]
name = "Landscapes"
label = "safe"
depth = 2
limit = 10
groups = { medium = "photo" }
"""


def test_a_file_and_options_make_one_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(GOOD)
    whole = read_plan(path, [plan("Nudes", "nsfw")], ["x"])
    assert [one.name for one in whole.category] == ["Category:Landscapes", "Category:Nudes"]
    assert whole.exclude == ("Category:* by year", "x")
    assert read_plan(None, [plan()]).category[0].limit == 1000


def test_the_example_is_a_plan() -> None:
    example = read_plan(ROOT / "config" / "collect" / "example.toml")
    assert {one.label for one in example.category} == set(example.classes)


@pytest.mark.parametrize(
    ("text", "blamed"),
    [
        (GOOD.replace("depth = 2", "deep = 2"), "category.0.deep: unknown key"),
        (GOOD.replace("depth = 2", "depth = 99"), "category.0.depth"),
        (GOOD.replace('label = "safe"', 'label = "sfw"'), "the label 'sfw'"),
        (GOOD.replace("medium =", "licence ="), "'licence' cannot be"),
        (GOOD.replace('"Landscapes"', '"a|b"'), "no category's name"),
        (GOOD + '[[category]]\nname = "landscapes"\nlabel = "safe"', "named twice"),
        ("classes = ['a', 'b']", "nothing is named"),
        ("[category]\nname = 'x'", "one [[category]] table"),
        ("[[", "cannot be read"),
    ],
)
def test_a_wrong_plan_names_file_and_key(tmp_path: Path, text: str, blamed: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_plan(path)
    assert blamed in str(refused.value)
    assert str(path) in str(refused.value)
