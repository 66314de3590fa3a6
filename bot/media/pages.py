"""Find the thumbnails of a middle and the last page of documents: one call for each page number.

MediaWiki's PDF and DjVu renderers read `page3-330px`; its TIFF renderer, at least in some versions, wants
`lossy-page3-330px` (`PagedTiffHandler::parseParamString`) and answers the rest with page 1 and a warning.
So the plain form is tried first, and the answer is compared with page 1.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.media.choice import sampled_pages
from bot.media.imageinfo import FilePage, FileVersion
from bot.media.questions import Questions


@dataclass(frozen=True, slots=True)
class Document:
    """A document whose further pages are wanted.

    Attributes:
        title: Title as the wiki spells it.
        version: The version wanted; its own thumbnail is page 1.
        is_current: Whether it is the file's newest version.
    """

    title: str
    version: FileVersion
    is_current: bool


def further_pages(
    questions: Questions, documents: Mapping[int, Document], width_px: int
) -> dict[int, dict[int, str]]:
    """Ask for the addresses of further pages.

    Args:
        questions: The API.
        documents: The documents, by any key.
        width_px: Width of the thumbnails.

    Returns:
        For each key the addresses by page number; pages without a picture of their own are left out.

    Raises:
        ServiceDown: The API does not answer.
    """
    keys_by_page: dict[int, list[int]] = defaultdict(list)
    for key, document in documents.items():
        for number in sampled_pages(document.version.page_count)[1:]:
            keys_by_page[number].append(key)
    addresses: dict[int, dict[int, str]] = {key: {} for key in documents}
    for number, keys in keys_by_page.items():
        not_understood = list(keys)
        for prefix in ("", "lossy-"):
            batch = {key: documents[key] for key in not_understood}
            found = _one_page(questions, batch, f"{prefix}page{number}-{width_px}px")
            for key, address in found.items():
                addresses[key][number] = address
            not_understood = [
                key for key in batch if key not in found and batch[key].version.mime == "image/tiff"
            ]
            if not not_understood:
                break
    return addresses


def _one_page(questions: Questions, documents: Mapping[int, Document], param: str) -> dict[int, str]:
    current = questions.files([one.title for one in documents.values() if one.is_current], param)
    found = {}
    for key, document in documents.items():
        answer = current.get(document.title) if document.is_current else None
        if not document.is_current:
            answer = questions.history(document.title, param)
        address = _address(document.version, answer)
        if address is not None and address != document.version.thumb_url:
            found[key] = address
    return found


def _address(version: FileVersion, answer: FilePage | None) -> str | None:
    """The thumbnail of that very version: the file may have been overwritten between two calls."""
    versions: Iterable[FileVersion] = answer.versions if answer is not None else ()
    return next((one.thumb_url for one in versions if one.sha1_hex == version.sha1_hex), None)


__all__ = ["Document", "further_pages"]
