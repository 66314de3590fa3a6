"""What fetching for somebody who waits needs beside the daemon's locator and downloader.

The daemon tries for days; whoever waits takes what can be had now. Their files lie in a folder of the process
alone, so that a daemon that starts meanwhile does not sweep them away; what a killed process left is removed
by the next one.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from bot.errors import BotError, RetryLater, ServiceDown
from bot.media.locate import Locator
from bot.upload import Rendition
from storage.values import ClaimedUpload, Upload, UploadAction

_LOCK: Final = ".lock"


def locate_now(
    locator: Locator, titles: Sequence[str], wiki: str, tries: int
) -> Mapping[str, Rendition | BotError]:
    """Choose what to fetch of the current versions of files.

    Of a large video that is what the daemon takes when waiting was in vain: it hopes for a smaller version
    for a day, and reads the original in ranges only then.

    Args:
        locator: Asks the wiki.
        titles: `File:…`, each once.
        wiki: Database name of the wiki.
        tries: The daemon's number of tries, `len(settings.media.retry_after_s)`.

    Returns:
        By title, for every title: what to fetch, or why there is nothing.

    Raises:
        ServiceDown: The wiki does not answer.
    """
    now = datetime.now(UTC)
    # What the locator wants to know of an upload; without a SHA-1, the current version is meant.
    claimed = [
        ClaimedUpload(
            number,
            Upload(wiki, number, UploadAction.UPLOAD, title, None, None, None, now),
            title,
            0,
            "",
            now,
        )
        for number, title in enumerate(titles)
    ]
    found = dict(locator.locate(claimed))
    too_large = [replace(one, attempts=tries + 1) for one in claimed if _is_too_large_yet(found[one.id])]
    if too_large:
        last = locator.locate(too_large)
        found |= {number: answer for number, answer in last.items() if isinstance(answer, Rendition)}
    return {title: found[number] for number, title in enumerate(titles)}


def _is_too_large_yet(answer: Rendition | BotError) -> bool:
    return isinstance(answer, RetryLater) and answer.code == "too_large"


@contextmanager
def private_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder for this process, and remove it with all that is in it.

    Args:
        parent: Where; made if it is not there.
        prefix: Begins the names of all folders of this kind.

    Yields:
        The folder.

    Raises:
        ServiceDown: It cannot be made.
    """
    with ExitStack() as stack:
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Whoever makes a folder holds this lock until that folder has its own: between the two, another
            # process would take it for one whose owner was killed.
            with FileLock(parent / f"{prefix}folders{_LOCK}"):
                _remove_abandoned(parent, prefix)
                folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                stack.enter_context(FileLock(folder / _LOCK))
        except OSError as error:
            raise ServiceDown("media.directory", str(error)) from error
        yield folder


def _remove_abandoned(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*/"):
        try:
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            continue


__all__ = ["locate_now", "private_folder"]
