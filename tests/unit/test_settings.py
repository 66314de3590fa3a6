"""Settings: merged from files and environment, validated, and clear about what is wrong."""

from pathlib import Path

import pytest

from bot.errors import ConfigError
from bot.settings import ROOT, load_settings


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_the_default_configuration_is_valid() -> None:
    assert load_settings().media.thumbnail_width_px == 330


def test_every_shipped_configuration_is_valid() -> None:
    for path in (ROOT / "config").glob("*.toml"):
        if path.name not in {"default.toml", "logging.toml"}:
            load_settings(path)


def test_a_file_overrides_single_keys(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "[media]\nmax_concurrent = 1\n"))
    assert settings.media.max_concurrent == 1
    assert settings.media.max_bits_per_s == 25e6


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONSBOT_MEDIA__MAX_CONCURRENT", "7")
    assert load_settings(written(tmp_path, "[media]\nmax_concurrent = 1\n")).media.max_concurrent == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[media]\nmax_concurent = 1\n", "media.max_concurent: unknown key"),
        ("[medium]\nx = 1\n", "medium: unknown key"),
        ("[media]\nmax_concurrent = 0\n", "media.max_concurrent"),
        ("[classifier]\nlevel = 'strict'\n", "classifier.level"),
        ("[stream]\nbackoff_max_s = 0.1\n", "stream.backoff_max_s"),
        ("[media\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_names_itself_and_the_key(tmp_path: Path, text: str, expected: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "name", ["COMMONSBOT_MEDIUM__X", "COMMONSBOT_MEDIA__MAX_CONCURENT", "COMMONSBOT_MEDIAMAX"]
)
def test_a_misspelt_variable_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=r"(?i)unknown key"):
        load_settings()


@pytest.mark.parametrize("name", ["COMMONSBOT_MEDIA__ALLOWED_HOSTS", "COMMONSBOT_MEDIA"])
def test_a_variable_that_is_no_json_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "a,b")
    with pytest.raises(ConfigError, match=r"environment: .*media.*JSON"):
        load_settings()


@pytest.mark.parametrize("contact", ["a@example.org\nX-Evil: 1", "почта@example.org"])
def test_a_contact_that_no_header_can_carry_is_refused(contact: str) -> None:
    with pytest.raises(ConfigError, match=r"identity\.contact"):
        load_settings(overrides={"identity": {"contact": contact}})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such configuration file"):
        load_settings(tmp_path / "nowhere.toml")


def test_settings_are_frozen() -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError):
        load_settings().media.max_concurrent = 3  # type: ignore[misc]


def test_without_a_contact_there_is_no_user_agent() -> None:
    with pytest.raises(ConfigError, match=r"identity\.contact"):
        _ = load_settings().user_agent


def test_the_user_agent_has_the_form_the_policy_asks_for() -> None:
    settings = load_settings(overrides={"identity": {"contact": "you@example.org"}})
    assert settings.user_agent.startswith("CommonsNsfwBot/")
    assert "(you@example.org)" in settings.user_agent
