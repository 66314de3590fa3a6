"""Hints on a real MediaWiki: what it tells of deleted files, and rows that tell what files look like."""

import hashlib
import re
from pathlib import Path

import pytest
from PIL import Image

from bot.api import Api
from bot.demo import CORPUS
from bot.media.sha1 import base36_from_hex
from bot.minicommons.corpus import prepare_corpus
from bot.retention.reuploads import DeletedFiles
from bot.settings import Settings, load_settings
from storage.review_values import Hint, LookAlike, ReviewState, VerdictCode
from tests import media
from tests.integration.test_wiki_end_to_end import (
    give,
    placed,
    running,
    settings,  # noqa: F401 - a fixture
    unique_copy,
    wait_for_text,
)
from tests.review_bot import connect
from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.accounts import REVIEWER, UPLOADER
from tests.storage_database import fresh_database

pytestmark = pytest.mark.slow


def anonymous(sandbox: SandboxWiki) -> Api:
    return Api(load_settings().api, sandbox.api_url, "CommonsNsfwBotTests/1.0 (sandbox)", min_interval_s=0)


def sha1_of(path: Path) -> str:
    return base36_from_hex(hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest())


def test_deleted_files_are_found_by_their_bytes_with_and_without_an_account(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    path = tmp_path / "gone.png"
    media.photo(60, 40, seed=71).save(path)
    for title in ("Gone & away (1).png", "Kept.png"):
        sandbox_wiki.upload(path, title, UPLOADER.name)
    sandbox_wiki.delete("File:Gone & away (1).png")
    sha1 = sha1_of(path)
    for session in (anonymous(sandbox_wiki), connect(sandbox_wiki, tmp_path)):
        with fresh_database(tmp_path) as database:
            deleted = DeletedFiles([session], database)
            assert deleted.titles(sha1) == ("File:Gone & away (1).png",)
            assert deleted.titles("0" * 31) == ()
    sandbox_wiki.restore("File:Gone & away (1).png")
    with fresh_database(tmp_path) as database:
        assert DeletedFiles([anonymous(sandbox_wiki)], database).titles(sha1) == ()


def test_a_deletion_whose_log_entry_is_hidden_is_not_told(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    path = tmp_path / "hidden.png"
    media.photo(60, 40, seed=72).save(path)
    sandbox_wiki.upload(path, "Name to hide.png", UPLOADER.name)
    sandbox_wiki.delete("File:Name to hide.png")
    (event,) = sandbox_wiki.client(None).query(
        list="logevents", letitle="File:Name to hide.png", letype="delete"
    )["logevents"]
    sandbox_wiki.hide("logging", "", str(event["logid"]), "content")
    with fresh_database(tmp_path) as database:
        deleted = DeletedFiles([anonymous(sandbox_wiki)], database)
        assert deleted.titles(sha1_of(path)) == ()


def test_a_near_copy_of_a_reviewed_picture_is_shown_with_that_verdict(
    sandbox_wiki: SandboxWiki,
    settings: Settings,  # noqa: F811
    tmp_path: Path,
) -> None:
    wanted = settings.retention.model_copy(update={"near_duplicates": True, "reuploads": True})
    settings = settings.model_copy(update={"retention": wanted})
    original = CORPUS / prepare_corpus(CORPUS, ["positive"]).specimens[0].file.path
    reviewed, copied, deleted = "Reviewed 'one' & only.jpg", "Near copy.jpg", 'Deleted "before".jpg'
    copy = tmp_path / "copy.jpg"
    with Image.open(original) as picture:
        picture.resize((picture.width * 9 // 10, picture.height * 9 // 10)).save(copy, quality=85)
    sandbox_wiki.upload(copy, deleted, UPLOADER.name)
    sandbox_wiki.delete(f"File:{deleted}")
    with running(settings):
        sandbox_wiki.upload(unique_copy(original, reviewed), reviewed, UPLOADER.name)
        first = placed(settings, reviewed)
        assert first.page_title is not None
        wait_for_text(sandbox_wiki, first.page_title, lambda text: first.item_id in text)
        give(sandbox_wiki, REVIEWER.name, first, "nsfw-keep")
        placed(settings, reviewed, lambda one: one.state is ReviewState.CLOSED)

        sandbox_wiki.upload(copy, copied, UPLOADER.name)
        second = placed(settings, copied, lambda one: bool(one.hint.deleted_as))
        like = LookAlike(f"File:{reviewed}", VerdictCode.NSFW_KEEP)
        assert second.hint == Hint(like, (f"File:{deleted}",))
        assert second.state is ReviewState.OPEN
        wait_for_text(sandbox_wiki, first.page_title, lambda text: "|judged=nsfw-keep" in text)
        html = rendered(sandbox_wiki, first.page_title)
        assert "Looks like" in html
        assert "explicit, in scope" in html
        links = re.findall(r'href="([^"]*)"', html.replace("&amp;", "&"))
        assert any("Reviewed_%27one%27_%26_only.jpg" in link for link in links)
        assert any("type=delete&page=File:Deleted_%22before%22.jpg" in link for link in links)

        give(sandbox_wiki, REVIEWER.name, second, "sfw")
        second = placed(settings, copied, lambda one: one.state is ReviewState.CLOSED)
        assert second.verdict is not None
        assert (second.verdict.blind, second.verdict.hinted) == (True, True)
        wait_for_text(sandbox_wiki, first.page_title, lambda text: "like=" not in text)


def rendered(sandbox: SandboxWiki, title: str) -> str:
    answer = sandbox.client(None).call(action="parse", page=title, prop="text")
    return str(answer["parse"]["text"])
