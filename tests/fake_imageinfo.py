"""The API's side of the locator's Protocol, following `ApiQueryImageInfo`, and questions to the locator."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bot.api import ApiError
from bot.errors import BotError, RetryLater, SkipUpload
from bot.media.locate import Locator
from bot.media.sha1 import base36_from_hex
from bot.settings import MediaSettings, load_settings
from bot.upload import Part, Rendition
from storage.values import ClaimedUpload, Upload, UploadAction

SETTINGS = load_settings().media
FALLBACK_TRY = len(SETTINGS.retry_after_s) + 1
T0 = datetime(2025, 5, 1, tzinfo=UTC)
UTM = "?utm_source=commons&utm_campaign=imageinfo"


def sha1_of(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


@dataclass
class FakeFile:
    """Versions newest first; each is the entry that imageinfo gives without the thumbnail's fields."""

    versions: list[dict[str, Any]]
    page: dict[str, Any] = field(default_factory=dict)
    derivatives: list[dict[str, Any]] = field(default_factory=list)
    thumbnail: str = "page{page}-{width}px"
    page_pattern: str = r"page(\d+)-\d+px"
    refuses_rendering: bool = False


def version(name: str, **fields: Any) -> dict[str, Any]:
    info = {
        "timestamp": T0.isoformat().replace("+00:00", "Z"),
        "size": 100_000,
        "width": 4000,
        "height": 3000,
        "url": f"https://upload.example/{name}{UTM}",
        "sha1": sha1_of(name),
        "mime": "image/jpeg",
        "mediatype": "BITMAP",
        "thumbs": True,
    }
    return {**info, **fields}


class FakeWiki:
    def __init__(self) -> None:
        self.files: dict[str, FakeFile] = {}
        self.normalized: dict[str, str] = {}
        self.asked: list[Mapping[str, str | int]] = []

    def continued(self, params: Mapping[str, str | int], max_rounds: int = 20) -> Iterable[Mapping[str, Any]]:
        self.asked.append(params)
        titles = str(params["titles"]).split("|")
        assert 0 < len(titles) <= 50
        assert len(set(titles)) == len(titles)
        moves = [{"from": t, "to": self.normalized[t]} for t in titles if t in self.normalized]
        pages = [self._page(self.normalized.get(title, title), params) for title in titles]
        return [{"query": {"normalized": moves, "pages": pages}}]

    def _page(self, title: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        file = self.files.get(title)
        if file is None:
            return {"title": title, "missing": True, "imagerepository": ""}
        if file.refuses_rendering and "iiurlwidth" in params:
            raise ApiError("urlparamnormal", f"Could not normalize image parameters for {title}.")
        if params["prop"] == "videoinfo":
            infos = [{**file.versions[0], "derivatives": file.derivatives}]
            return {"title": title, "videoinfo": infos, **file.page}
        shown = [self._info(file, one, params) for one in file.versions[: int(params.get("iilimit", 1))]]
        return {"title": title, "imageinfo": shown, **file.page}

    def _info(self, file: FakeFile, one: dict[str, Any], params: Mapping[str, str | int]) -> dict[str, Any]:
        info = {key: value for key, value in one.items() if key != "thumbs"}
        if one.get("thumbs") and "iiurlwidth" in params:
            width = int(params["iiurlwidth"])
            read = re.fullmatch(file.page_pattern, str(params.get("iiurlparam", "")))
            step = file.thumbnail.format(page=read[1] if read else 1, width=width)
            if one["width"] <= width:
                info |= {"thumburl": f"{one['url']}&unscaled", "thumbwidth": one["width"]}
            else:
                info |= {"thumburl": one["url"].replace("?", f"/thumb={step}?"), "thumbwidth": width}
        return info


def claim(
    title: str, *, number: int = 1, attempts: int = 0, sha1: str | None = None, at: datetime | None = T0
) -> ClaimedUpload:
    base36 = None if sha1 is None else base36_from_hex(sha1)
    upload = Upload("commonswiki", number, UploadAction.UPLOAD, title, "U", base36, at, T0)
    return ClaimedUpload(number, upload, title, attempts, "claim", T0)


def locate_one(
    wiki: FakeWiki, one: ClaimedUpload, settings: MediaSettings = SETTINGS
) -> Rendition | BotError:
    return Locator(wiki, settings).locate([one])[one.id]


def locate_file(wiki: FakeWiki, *, attempts: int = 0, **fields: Any) -> Rendition | BotError:
    wiki.files["File:A"] = FakeFile([version("A", **fields)])
    return locate_one(wiki, claim("File:A", attempts=attempts, sha1=sha1_of("A")))


def code_of(result: Rendition | BotError, family: type[SkipUpload] | type[RetryLater]) -> str:
    assert isinstance(result, family), result
    return result.code


ORIGINAL = Part(f"https://upload.example/A{UTM}", sha1_hex=sha1_of("A"), size_bytes=100_000)
THUMBNAIL = Part(f"https://upload.example/A/thumb=page1-330px{UTM}")


def pages_of(result: Rendition | BotError) -> list[tuple[int | None, str]]:
    assert isinstance(result, Rendition), result
    return [(part.page, part.url.partition("thumb=")[2].removesuffix(UTM)) for part in result.parts]


def transcode(height: int, bandwidth: int, kind: str = "video/webm") -> dict[str, Any]:
    key = f"{height}p.{bandwidth}"
    fields = {
        "type": kind,
        "transcodekey": key,
        "width": height * 2,
        "height": height,
        "bandwidth": bandwidth,
    }
    return {"src": f"https://upload.example/t/{key}{UTM}", **fields}


VIDEO = {"mediatype": "VIDEO", "mime": "video/webm", "duration": 60.0}
