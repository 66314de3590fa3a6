"""One door for all peers: what a name leads to, and what every card states."""

from pathlib import Path

import pytest

from classifier import preprocess
from classifier.errors import ModelError
from classifier.peers import door

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = {"nudenet": "nudenet.md", "nsfwjs": "nsfwjs.md"}


@pytest.mark.parametrize("name", door.names())
def test_every_card_states_licence_source_published_numbers_and_failures(name: str) -> None:
    card, notes = door.card(name), door.notes(name)
    assert card.name == name
    assert card.licence
    assert card.source
    assert len(card.failure_modes) >= 4
    assert notes.published
    assert all(number.source and number.measured_on for number in notes.published)
    assert len(card.weights_sha256) == 64
    assert preprocess.get(card.preprocessing).input_px == card.input_px
    assert list(card.thresholds.values()) == sorted(card.thresholds.values(), reverse=True)


@pytest.mark.parametrize("name", door.names())
def test_the_document_of_a_peer_says_the_same_as_its_card(name: str) -> None:
    card = door.card(name)
    text = (ROOT / "docs" / "models" / DOCUMENTS.get(name, "hf-marqo.md")).read_text(encoding="utf-8")
    for said in (card.licence, card.preprocessing, card.weights_sha256):
        assert said in text
    for value in card.thresholds.values():
        assert f"{value:.2f}" in text


@pytest.mark.parametrize("name", door.names())
def test_what_was_never_fetched_is_missing_and_cannot_be_loaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.peers.nudenet.graph_path", lambda: None)
    described = door.describe(name, tmp_path)
    assert (described.state, described.size_bytes) == ("missing", None)
    with pytest.raises(ModelError, match=r"pip install|models fetch"):
        door.load(name, tmp_path)


def test_nudenet_is_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classifier.peers.nudenet.graph_path", lambda: None)
    with pytest.raises(ModelError, match=r"AGPL-3\.0.*left to you"):
        door.fetch("nudenet", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_of_others_are_refused() -> None:
    assert not door.is_peer("open_nsfw")
    with pytest.raises(ModelError, match="unknown peer 'open_nsfw'; known: nudenet, nsfwjs, hf:Marqo"):
        door.load("open_nsfw")
    with pytest.raises(ModelError, match="a file is taken for nsfwjs alone"):
        door.fetch("nudenet", from_file=Path("x"))
