"""Our stream, log reader, locator and downloader against a real MediaWiki: what they rely on holds."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.api import Api
from bot.errors import BotError, RetryLater, ServiceDown, SkipUpload
from bot.media.download import Downloader
from bot.media.locate import Locator
from bot.media.sha1 import hex_from_base36
from bot.settings import Settings, load_settings
from bot.stream import backfill
from bot.upload import Rendition
from storage.values import (
    ChangeKind,
    ClaimedUpload,
    Gap,
    Source,
    Upload,
    UploadAction,
)
from tests import media
from tests.sandbox_wiki import ApiRefused, SandboxWiki
from tests.sandbox_wiki.following import Follower, at_last, following
from tests.sandbox_wiki.pictures import blue, document, gradient, opened, vector

pytestmark = pytest.mark.slow

WIDTH_PX = 330


@pytest.fixture
def settings(sandbox_wiki: SandboxWiki, tmp_path: Path) -> Settings:
    return load_settings(
        overrides={
            "identity": {"contact": "sandbox tests on loopback"},
            "wiki": {"api_url": sandbox_wiki.api_url, "page_url": f"{sandbox_wiki.base_url}/wiki/{{title}}"},
            "stream": {"url": sandbox_wiki.stream_url, "read_timeout_s": 60, "backoff_initial_s": 0.01},
            "media": {"allowed_hosts": [sandbox_wiki.media_host], "directory": str(tmp_path / "media")},
        }
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    api = Api(
        settings.api,
        settings.wiki.api_url,
        settings.user_agent,
        min_interval_s=0,
        backoff_initial_s=0.01,
    )
    yield api
    api.close()


@pytest.fixture
def locator(api: Api, settings: Settings) -> Locator:
    return Locator(api, settings.media, settings.api.batch_titles)


@pytest.fixture
def downloader(settings: Settings) -> Iterator[Downloader]:
    downloader = Downloader(settings.media, settings.user_agent)
    yield downloader
    downloader.close()


@pytest.fixture
def follower(settings: Settings) -> Iterator[Follower]:
    with following(settings) as follower:
        yield follower


def _claimed(upload: Upload, attempts: int = 0, number: int = 1) -> ClaimedUpload:
    return ClaimedUpload(number, upload, upload.title, attempts, "claim", upload.logged_at)


def _located(locator: Locator, claimed: ClaimedUpload) -> Rendition | BotError:
    return locator.locate([claimed])[claimed.id]


def _rendition(locator: Locator, upload: Upload) -> Rendition:
    found = _located(locator, _claimed(upload))
    assert isinstance(found, Rendition), found
    return found


def _fetched(downloader: Downloader, rendition: Rendition) -> list[bytes]:
    downloaded = downloader.download(rendition)
    contents = [part.path.read_bytes() for part in downloaded.parts]
    downloader.discard(downloaded)
    return contents


def _archive_name(wiki: SandboxWiki, title: str) -> str:
    """The name of the newest old version."""
    page = wiki.client(None).query(titles=title, prop="imageinfo", iiprop="archivename", iilimit=2)
    return str(page["pages"][0]["imageinfo"][1]["archivename"])


def test_the_wiki_is_who_the_default_settings_expect(api: Api, settings: Settings) -> None:
    site = api.siteinfo()
    assert (site.wiki_id, site.server_name) == (settings.wiki.id, settings.wiki.domain)
    assert site.generator.startswith("MediaWiki ")


@pytest.mark.parametrize(
    ("title", "kind"),
    [("Straße & Co.jpg", "thumbnail"), ("A'b (c), d+e!.png", "thumbnail"), ("日本語.webp", "original")],
)
def test_an_upload_comes_through_the_stream_and_its_rendition_decodes(
    sandbox_wiki: SandboxWiki,
    follower: Follower,
    locator: Locator,
    downloader: Downloader,
    tmp_path: Path,
    title: str,
    kind: str,
) -> None:
    path = gradient(tmp_path / f"x{Path(title).suffix}", seed=len(title) * 5)
    answer = sandbox_wiki.upload(path, title)
    upload = follower.upload(f"File:{title}")
    assert (upload.wiki, upload.user, upload.source) == ("commonswiki", "Uploader", Source.STREAM)
    assert upload.sha1 is not None
    assert hex_from_base36(upload.sha1) == answer["imageinfo"]["sha1"]
    assert upload.file_timestamp == datetime.fromisoformat(answer["imageinfo"]["timestamp"])
    rendition = _rendition(locator, upload)
    assert rendition.kind == kind
    (content,) = _fetched(downloader, rendition)
    width_px, height_px = (WIDTH_PX, 231) if kind == "thumbnail" else (1000, 700)
    assert opened(content).size == (width_px, height_px)


def test_svg_and_every_sampled_page_of_a_document_are_rendered_by_the_wiki(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, downloader: Downloader, tmp_path: Path
) -> None:
    sandbox_wiki.upload(vector(tmp_path / "x.svg"), "Pipeline.svg")
    sandbox_wiki.upload(document(tmp_path / "x.pdf", pages=5), "Pipeline.pdf")
    claimed = [
        _claimed(follower.upload("File:Pipeline.svg"), number=1),
        _claimed(follower.upload("File:Pipeline.pdf"), number=2),
    ]
    found = locator.locate(claimed)
    drawing, pages = found[1], found[2]
    assert isinstance(drawing, Rendition)
    assert isinstance(pages, Rendition)
    assert [part.page for part in pages.parts] == [1, 3, 5]
    assert opened(_fetched(downloader, drawing)[0]).size == (WIDTH_PX, 231)
    contents = _fetched(downloader, pages)
    assert {opened(content).width for content in contents} == {WIDTH_PX}
    assert len(set(contents)) == 3


def test_fifty_titles_are_located_in_one_call(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, tmp_path: Path
) -> None:
    names = [f"Batch {number}.png" for number in range(10)]
    for number, name in enumerate(names):
        sandbox_wiki.upload(gradient(tmp_path / "x.png", 400, 300, seed=150 + number), name)
    uploads = [follower.upload(f"File:{name}") for name in names]
    absent = [dataclasses.replace(uploads[0], title=f"File:Never there {n}.png") for n in range(39)]
    odd = dataclasses.replace(uploads[0], title="File:A<b>.png")
    claimed = [_claimed(one, attempts=5, number=n) for n, one in enumerate([*uploads, *absent, odd])]
    found = locator.locate(claimed)
    assert [isinstance(found[n], Rendition) for n in range(10)] == [True] * 10
    endings = [found[n] for n in range(10, 50)]
    assert [one.code for one in endings if isinstance(one, SkipUpload)] == ["deleted"] * 40


def test_an_overwritten_version_is_found_and_fetched_by_its_hash(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, downloader: Downloader, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "1.png", seed=60), "Overwritten.png")
    sandbox_wiki.upload(gradient(tmp_path / "2.png", seed=190), "Overwritten.png")
    first = follower.upload("File:Overwritten.png")
    second = follower.upload("File:Overwritten.png", UploadAction.OVERWRITE)
    old, new = _rendition(locator, first), _rendition(locator, second)
    assert "/archive/" in old.parts[0].url
    assert blue(_fetched(downloader, old)[0]) == 60
    assert blue(_fetched(downloader, new)[0]) == 190


def test_a_moved_file_is_reported_and_found_behind_its_redirect(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, downloader: Downloader, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=70), "Before.png")
    upload = follower.upload("File:Before.png")
    sandbox_wiki.move("File:Before.png", "File:After.png")
    change = follower.change("File:Before.png", ChangeKind.MOVE)
    assert (change.target_title, change.user) == ("File:After.png", "Admin")
    rendition = _rendition(locator, upload)
    assert "After.png" in rendition.parts[0].url
    assert blue(_fetched(downloader, rendition)[0]) == 70


def test_a_deleted_file_is_reported_ends_as_deleted_and_can_come_back(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, downloader: Downloader, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=80), "Deleted.png")
    upload = follower.upload("File:Deleted.png")
    rendition = _rendition(locator, upload)
    sandbox_wiki.delete("File:Deleted.png")
    assert follower.change("File:Deleted.png", ChangeKind.DELETE).user == "Admin"
    with pytest.raises(RetryLater):
        downloader.download(rendition)
    first, last = _located(locator, _claimed(upload)), _located(locator, _claimed(upload, attempts=3))
    assert isinstance(first, RetryLater)
    assert isinstance(last, SkipUpload)
    assert first.code == last.code == "deleted"
    sandbox_wiki.restore("File:Deleted.png")
    follower.change("File:Deleted.png", ChangeKind.RESTORE)
    # MediaWiki's cache remembers for two seconds that the file was gone.
    contents = at_last(lambda: _fetched(downloader, _rendition(locator, upload)), RetryLater)
    assert blue(contents[0]) == 80


def test_a_hidden_version_ends_as_hidden(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "1.png", seed=81), "Hidden.png")
    sandbox_wiki.upload(gradient(tmp_path / "2.png", seed=82), "Hidden.png")
    upload = follower.upload("File:Hidden.png")
    follower.upload("File:Hidden.png", UploadAction.OVERWRITE)
    stamp = _archive_name(sandbox_wiki, "File:Hidden.png").partition("!")[0]
    sandbox_wiki.hide("oldimage", "File:Hidden.png", stamp, "content|user")
    ended = _located(locator, _claimed(upload))
    assert isinstance(ended, SkipUpload)
    assert ended.code == "hidden"


def test_a_hidden_log_entry_is_still_an_upload_that_happened(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, api: Api, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=83), "Offensive name.png")
    upload = follower.upload("File:Offensive name.png")
    sandbox_wiki.hide("logging", "", str(upload.log_id), "content|user")
    gap = Gap(None, "commonswiki", upload.logged_at, upload.logged_at, "start")
    pages = backfill.read_gap(api, gap, source=Source.BACKFILL)
    hidden = next(one for page in pages for one in page.uploads if one.log_id == upload.log_id)
    assert (hidden.title, hidden.user, hidden.sha1) == ("", None, None)
    ended = _located(locator, _claimed(hidden))
    assert isinstance(ended, SkipUpload)
    assert ended.code == "hidden"


def test_a_revert_is_an_upload_of_the_old_bytes(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, downloader: Downloader, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "1.png", seed=30), "Reverted.png")
    sandbox_wiki.upload(gradient(tmp_path / "2.png", seed=200), "Reverted.png")
    middle = follower.upload("File:Reverted.png", UploadAction.OVERWRITE)
    at_last(
        lambda: sandbox_wiki.revert("File:Reverted.png", _archive_name(sandbox_wiki, "File:Reverted.png")),
        ApiRefused,
    )
    revert = follower.wait(lambda: next((u for u in follower.uploads() if u.log_id > middle.log_id), None))
    assert revert.title == "File:Reverted.png"
    assert revert.action in (UploadAction.OVERWRITE, UploadAction.REVERT)
    assert blue(_fetched(downloader, _rendition(locator, revert))[0]) == 30
    assert blue(_fetched(downloader, _rendition(locator, middle))[0]) == 200


def test_deleting_one_old_version_is_told_like_a_deletion_but_the_file_stays(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "1.png", seed=84), "Pruned.png")
    sandbox_wiki.upload(gradient(tmp_path / "2.png", seed=85), "Pruned.png")
    first = follower.upload("File:Pruned.png")
    second = follower.upload("File:Pruned.png", UploadAction.OVERWRITE)
    archived = _archive_name(sandbox_wiki, "File:Pruned.png")
    sandbox_wiki.client("Admin").act(action="delete", title="File:Pruned.png", oldimage=archived)
    follower.change("File:Pruned.png", ChangeKind.DELETE)
    _rendition(locator, second)
    ended = _located(locator, _claimed(first, attempts=3))
    assert isinstance(ended, SkipUpload)
    assert ended.code == "superseded"


def test_a_file_moved_without_redirect_is_found_under_its_present_title(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=86), "No redirect.png")
    upload = follower.upload("File:No redirect.png")
    sandbox_wiki.move("File:No redirect.png", "File:Elsewhere.png", redirect=False)
    target = follower.change("File:No redirect.png", ChangeKind.MOVE).target_title
    assert target is not None
    lost = _located(locator, _claimed(upload, attempts=3))
    assert isinstance(lost, SkipUpload)
    assert isinstance(_located(locator, dataclasses.replace(_claimed(upload), title=target)), Rendition)


def test_originals_are_verified_and_sound_is_told_apart(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, downloader: Downloader, tmp_path: Path
) -> None:
    narrow, clip, sound = (
        gradient(tmp_path / "x.jpg", 200, 100, seed=87),
        tmp_path / "x.webm",
        tmp_path / "x.flac",
    )
    media.save_video(clip, media.grey_frames(10))
    media.save_audio(sound, "flac")
    uploads: list[ClaimedUpload] = []
    for path in (narrow, clip, sound):
        sandbox_wiki.upload(path, f"Original{path.suffix}")
        uploads.append(_claimed(follower.upload(f"File:Original{path.suffix}"), number=len(uploads)))
    found = locator.locate(uploads)
    for number, path in enumerate((narrow, clip)):
        rendition = found[number]
        assert isinstance(rendition, Rendition)
        assert (rendition.kind, rendition.parts[0].size_bytes) == ("original", path.stat().st_size)
        assert rendition.parts[0].sha1_hex is not None
        assert _fetched(downloader, rendition) == [path.read_bytes()]
    ended = found[2]
    assert isinstance(ended, SkipUpload)
    assert ended.code == "audio"


def test_a_busy_thumbnail_service_means_later(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, downloader: Downloader, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=90), "Later.png")
    rendition = _rendition(locator, follower.upload("File:Later.png"))
    with sandbox_wiki.switched(thumbnail_status=429):
        with pytest.raises(RetryLater) as later:
            downloader.download(rendition)
        assert later.value.after_s == 1
    assert blue(_fetched(downloader, rendition)[0]) == 90


def test_the_upload_log_brings_the_same_uploads_as_the_stream_page_by_page(
    sandbox_wiki: SandboxWiki,
    follower: Follower,
    api: Api,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = datetime.now(UTC) - timedelta(seconds=1)
    for number in range(5):
        sandbox_wiki.upload(gradient(tmp_path / "x.png", 50, 50, seed=100 + number), f"Log {number % 4}.png")
    streamed = [follower.upload(f"File:Log {number}.png") for number in range(4)]
    streamed.append(follower.upload("File:Log 0.png", UploadAction.OVERWRITE))
    monkeypatch.setattr(backfill, "PAGE_ENTRIES", 2)
    gap = Gap(None, "commonswiki", start, datetime.now(UTC) + timedelta(seconds=1), "start")
    pages = list(backfill.read_gap(api, gap, source=Source.BACKFILL))
    assert len(pages) >= 3
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    assert pages[-1].done_until == gap.end
    logged = {upload.log_id: upload for page in pages for upload in page.uploads}
    for upload in streamed:
        assert logged[upload.log_id] == dataclasses.replace(upload, source=Source.BACKFILL)


def test_an_empty_stretch_of_the_log_is_one_empty_page(sandbox_wiki: SandboxWiki, api: Api) -> None:
    end = datetime.now(UTC) - timedelta(days=300)
    gap = Gap(None, "commonswiki", end - timedelta(days=1), end, "start")
    (page,) = backfill.read_gap(api, gap, source=Source.BACKFILL)
    assert (page.uploads, page.more) == ((), False)


def test_the_stream_resumes_after_a_cut_without_losing_an_upload(
    sandbox_wiki: SandboxWiki, follower: Follower, tmp_path: Path
) -> None:
    for number in range(4):
        sandbox_wiki.upload(gradient(tmp_path / "x.png", 50, 50, seed=110 + number), f"Cut {number}.png")
        sandbox_wiki.relay.drop_connections()
    for number in range(4):
        follower.upload(f"File:Cut {number}.png")
    assert follower.stream.connections > 1


def test_a_lagging_wiki_is_left_alone_and_then_asked_again(
    sandbox_wiki: SandboxWiki, settings: Settings
) -> None:
    hurried = settings.api.model_copy(update={"max_attempts": 1})
    api = Api(hurried, settings.wiki.api_url, settings.user_agent, min_interval_s=0, backoff_initial_s=0.01)
    with sandbox_wiki.switched(maxlag_s=30), pytest.raises(ServiceDown, match="maxlag") as down:
        api.siteinfo()
    assert down.value.after_s == 5
    api.close()


def test_a_read_only_wiki_still_answers_every_question(
    sandbox_wiki: SandboxWiki, follower: Follower, locator: Locator, api: Api, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=120), "Readonly.png")
    upload = follower.upload("File:Readonly.png")
    with sandbox_wiki.switched(readonly="maintenance"):
        assert api.siteinfo().wiki_id == "commonswiki"
        _rendition(locator, upload)
