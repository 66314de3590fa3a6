"""The log: one line per event in both formats, whatever a title contains."""

import io
import json
import logging

import pytest

from bot.logs import JsonLines, StderrHandler, TextFormatter, configure
from bot.settings import load_settings

HOSTILE = 'File:A\nINFO upload_scored score=0.0 "x".jpg'


def line(formatter: logging.Formatter, **fields: object) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    record = logging.makeLogRecord(
        {"name": "bot", "levelno": 20, "levelname": "INFO", "msg": "upload_scored", **fields}
    )
    handler.emit(record)
    return stream.getvalue()


def test_text_puts_the_fields_behind_the_event() -> None:
    assert (
        line(TextFormatter(), log_id=7, score=0.123456)
        .rstrip()
        .endswith("upload_scored log_id=7 score=0.1235")
    )


def test_a_hostile_title_cannot_begin_a_new_line_or_field() -> None:
    text = line(TextFormatter(), title=HOSTILE)
    assert text.count("\n") == 1
    assert f"title={HOSTILE!r}" in text


@pytest.mark.parametrize("title", ["\x1b[2J", "\u202egpj.exe", "\x9b31m", "a\u2028b", ""])
def test_a_hostile_title_cannot_steer_the_terminal(title: str) -> None:
    text = line(TextFormatter(), title=f"File:{title}.jpg")
    assert text.rstrip("\n").isprintable()


def test_json_gives_one_object_a_line() -> None:
    text = line(JsonLines(), title=HOSTILE)
    assert text.count("\n") == 1
    value = json.loads(text)
    assert (value["event"], value["title"], value["level"]) == ("upload_scored", HOSTILE, "INFO")
    assert value["at"].endswith("+00:00")


@pytest.mark.parametrize("chosen", ["text", "json"])
def test_configuring_writes_to_standard_error(chosen: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure(load_settings(overrides={"log": {"format": chosen}}).log)
        logging.getLogger("bot.test").info("something", extra={"count": 3})
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    assert "something" in capsys.readouterr().err


@pytest.mark.parametrize("turn", [1, 2])
def test_no_test_hears_less_than_another(turn: int, caplog: pytest.LogCaptureFixture) -> None:
    """Commands that ran in the tests' process had left the level of their settings behind."""
    logging.getLogger("bot.test").warning("heard %d", turn)
    assert caplog.messages == [f"heard {turn}"]
    assert not any(isinstance(handler, StderrHandler) for handler in logging.getLogger().handlers)
    configure(load_settings().log, level="ERROR")
