"""Locating and downloading together, over HTTP, from the miniature Commons."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.api import Api
from bot.errors import BotError, RetryLater, SkipUpload
from bot.media.download import Downloader
from bot.media.locate import Locator
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.plan import Corpus
from bot.minicommons.server import MiniCommons
from bot.settings import load_settings
from bot.upload import Rendition
from storage.values import ClaimedUpload, Upload, UploadAction

NAMES = (
    "jpeg-progressive",
    "jpeg-narrow",
    "tiff",
    "svg",
    "suppressed",
    "overwritten",
    "overwrites",
    "moved",
    "vp9",
)
NOW = datetime(2025, 5, 1, tzinfo=UTC)
AGENT = "TestBot/1.0 (test@example.org)"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return prepare_corpus(tmp_path_factory.mktemp("corpus"), NAMES)


@pytest.fixture
def commons(corpus: Corpus) -> Iterator[MiniCommons]:
    with MiniCommons(corpus) as server:
        server.publish_corpus(names=NAMES)
        yield server


@pytest.fixture
def downloader(commons: MiniCommons, tmp_path: Path) -> Iterator[Downloader]:
    values = {"allowed_hosts": (re.sub("https?://", "", commons.base_url),), "directory": tmp_path / "media"}
    made = Downloader(load_settings().media.model_copy(update=values), AGENT)
    yield made
    made.close()


def claims(commons: MiniCommons) -> list[ClaimedUpload]:
    """Every upload in the wiki's log, oldest first."""
    api = Api(load_settings().api, commons.api_url, AGENT, min_interval_s=0)
    answer = api.query(
        {"list": "logevents", "letype": "upload", "leprop": "ids|title|details", "ledir": "newer"}
    )
    claimed = []
    for number, event in enumerate(answer["query"]["logevents"]):
        sha1 = event["params"]["img_sha1"]
        at = datetime.fromisoformat(event["params"]["img_timestamp"])
        upload = Upload("commonswiki", number, UploadAction.UPLOAD, event["title"], "U", sha1, at, NOW)
        claimed.append(ClaimedUpload(number, upload, event["title"], 0, "c", NOW))
    return claimed


def test_every_upload_of_the_log_is_located_in_one_batch_and_downloads(commons, corpus, downloader):
    api = Api(load_settings().api, commons.api_url, AGENT, min_interval_s=0)
    claimed = claims(commons)
    results = Locator(api, load_settings().media).locate(claimed)
    found: dict[str, list[Rendition | BotError]] = {}
    for one in claimed:
        found.setdefault(one.title, []).append(results[one.id])
        result = results[one.id]
        if isinstance(result, Rendition):
            downloaded = downloader.download(result)
            assert all(part.size_bytes > 0 for part in downloaded.parts)
            downloader.discard(downloaded)

    def of(name: str) -> list[Rendition | BotError]:
        return found[corpus.specimen(name).title]

    kinds = {name: [getattr(one, "kind", None) for one in of(name)] for name in NAMES}
    assert kinds["jpeg-progressive"] == kinds["svg"] == ["thumbnail"]
    assert kinds["jpeg-narrow"] == ["original"]
    assert kinds["vp9"] == ["derivative"]
    assert kinds["moved"] == ["thumbnail"]
    [tiff] = of("tiff")
    assert isinstance(tiff, Rendition)
    assert [part.page for part in tiff.parts] == [1, 2, 4]
    assert len({part.url for part in tiff.parts}) == 3
    [hidden] = of("suppressed")
    assert isinstance(hidden, SkipUpload)
    assert hidden.code == "hidden"
    old, new = of("overwritten")
    assert isinstance(old, Rendition)
    assert isinstance(new, Rendition)
    assert old.parts[0].url != new.parts[0].url


def test_a_file_that_is_not_there_is_waited_for(commons):
    api = Api(load_settings().api, commons.api_url, AGENT, min_interval_s=0)
    upload = Upload("commonswiki", 1, UploadAction.UPLOAD, "File:Nobody knows.jpg", "U", None, None, NOW)
    claimed = ClaimedUpload(1, upload, upload.title, 0, "c", NOW)
    result = Locator(api, load_settings().media).locate([claimed])[1]
    assert isinstance(result, RetryLater)
    assert result.code == "deleted"
