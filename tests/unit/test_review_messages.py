import re

import pytest

from bot.review.control import RUN_MARKER, WikiConfig, may_edit, parse_config
from bot.review.messages import FALLBACK, LANGUAGES, Messages, load_messages, placeholders, texts_of
from bot.review.rows import FILE_STATES, ReviewRow, parse_rows, render_row
from bot.review.templates import KEPT_IF_THERE, setup_pages, subpage
from storage.review_values import VerdictCode
from storage.values import FrameScore, ReviewReason

BOT = "TestBot"


def pages(language: str = "en") -> dict[str, str]:
    return setup_pages(BOT, load_messages(language), ["sysop", "image-reviewer"], WikiConfig())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text_with_the_same_placeholders(language: str) -> None:
    texts, english = texts_of(language), texts_of(FALLBACK)
    assert texts.keys() == english.keys()
    for key, text in texts.items():
        assert placeholders(text) == placeholders(english[key]), key
        assert text.strip() == text != ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_hold_nothing_that_acts_in_a_template(language: str) -> None:
    for key, text in texts_of(language).items():
        assert not re.search(r"\||\[\[|\{\{|~~~|\n", text), key
        if not key.startswith("guide."):
            assert "=" not in text, key


@pytest.mark.parametrize(
    ("asked", "given"), [("de", "de"), ("de-AT", "de"), ("FR", "fr"), ("xx", "en"), ("", "en")]
)
def test_an_unknown_language_is_english(asked: str, given: str) -> None:
    assert load_messages(asked).language == given


def test_a_text_that_a_language_lacks_is_english() -> None:
    assert Messages("de", {**texts_of("en"), "index.open": "Offen"}).text("index.done") == "Done"


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        load_messages("en").text("index.guide")


def test_what_is_filled_in_is_not_filled_again() -> None:
    assert load_messages("en").text("problem.bad_value", key="{key}") == "value not allowed: {key}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_slot_of_a_page_stays_empty(language: str) -> None:
    for title, text in pages(language).items():
        assert "<<" not in text, title
        assert "TestBot" in text or title.endswith("Config.json")


def test_the_stop_page_lets_the_bot_run_and_holds_the_marker_once() -> None:
    text = pages()[subpage(BOT, "Run")]
    assert may_edit(text)
    assert text.count(RUN_MARKER) == 1
    assert not may_edit(text.replace("yes -->", "no -->"))


def test_the_configuration_page_is_valid() -> None:
    assert parse_config(pages()[subpage(BOT, "Config.json")], WikiConfig(), WikiConfig()).problems == ()


def test_pages_that_belong_to_the_community_are_marked() -> None:
    assert {subpage(BOT, name) for name in KEPT_IF_THERE} <= pages().keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_puts_itself_into_a_category_or_signs(language: str) -> None:
    for title, text in pages(language).items():
        assert not re.search(r"\[\[\s*(category|kategorie|catégorie|categoría)|~~~", text, re.IGNORECASE), (
            title
        )
        assert not re.search(r"\[\[\s*(file|image|datei|fichier|archivo):", text, re.IGNORECASE), title


def test_the_row_template_balances_and_knows_every_value_the_bot_writes() -> None:
    text = pages()[subpage(BOT, "item")]
    assert text.count("{{") == text.count("}}")
    assert text.count("<div") == text.count("</div>")
    written = render_row(
        ReviewRow("w-1", "File:A.jpg", FrameScore(0.9), score=0.5, reason=ReviewReason.AUDIT), BOT
    )
    for name in re.findall(r"\|([a-z]+)=", written):
        assert f"{{{{{{{name}|}}}}}}" in text, name
    for code in VerdictCode:
        assert f"|{code.value}=" in text
    for reason in ReviewReason:
        assert f"|{reason.value}=" in text
    for state in FILE_STATES:
        assert f"|{state}=" in text
    assert f"|{', '.join(FILE_STATES)}=" in text


@pytest.mark.parametrize("name", ["id", "file", "at", "verdict"])
def test_the_row_template_gives_the_user_script_what_it_needs(name: str) -> None:
    text = pages()[subpage(BOT, "item")]
    assert 'class="commons-review-item"' in text
    assert '<div class="commons-review-actions"></div>' in text
    assert f' data-{name}="' in text


def test_the_guide_shows_rows_as_they_are_and_names_every_code() -> None:
    guide = pages()[subpage(BOT, "Guide")]
    for code in VerdictCode:
        assert f"<code>{code.value}</code>" in guide
    assert "image&#45;reviewer" in guide
    assert parse_rows(guide, BOT) == []
