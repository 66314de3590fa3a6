"""An export put together from the settings: what `export` and `retrain` both begin with."""

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bot.export import keys
from bot.export.pictures import KeptPictures
from bot.export.record import Teller
from bot.export.run import Exported, Exporter, OnStep, Request
from bot.settings import ROOT, Settings
from storage.engine import Database

if TYPE_CHECKING:
    from bot.export.fetching import FetchedPictures
    from bot.export.licences import AskedLicences

KEY_FILE = Path("var") / "export-key"


def run(
    settings: Settings,
    directory: Path,
    request: Request,
    *,
    fetch: bool = False,
    names: bool = False,
    key_file: Path | None = None,
    on_step: OnStep = lambda _what, _done, _total: None,
) -> Exported:
    """Export from the configured store.

    Args:
        settings: Where store, kept copies and wiki are.
        directory: The folder to export to.
        request: What.
        fetch: Whether the wiki is asked, for licences and for pictures that were not kept.
        names: Whether moderators are named.
        key_file: The secret behind the pseudonyms; None: `KEY_FILE` below the root.
        on_step: Told how far it is.

    Returns:
        What it came to.

    Raises:
        ConfigError: As `Exporter.run`, and where the key cannot be used.
        ServiceDown: The wiki is out of reach; run it again, and it goes on.
        StoreError: The store cannot be read.
    """
    teller = Teller(keys.read_or_make(key_file or ROOT / KEY_FILE), settings.wiki.page_url, names)
    with ExitStack() as stack:
        database = Database.open(settings.store.url, ROOT)
        stack.callback(database.close)
        database.migrate()
        remote, licences = _asking(settings, directory, stack) if fetch else (None, None)
        kept = KeptPictures(settings.retention.directory)
        exporter = Exporter(database, teller, kept, remote, licences, settings.wiki.domain, on_step)
        return exporter.run(directory, request)


def _asking(settings: Settings, directory: Path, stack: ExitStack) -> "tuple[FetchedPictures, AskedLicences]":
    """Who asks the wiki, both at the pace of one client."""
    from bot.api import Api
    from bot.export import private
    from bot.export.fetching import FetchedPictures
    from bot.export.licences import AskedLicences
    from bot.media.download import Downloader
    from bot.media.locate import Locator

    stop = threading.Event()
    user_agent = settings.user_agent
    api = Api(settings.api, settings.wiki.api_url, user_agent, stop)
    # Beside the exports, so that the daemon does not take what is under way for leftovers of its own.
    media = settings.media.model_copy(update={"directory": private.folder(directory) / ".downloads"})
    downloader = Downloader(media, user_agent, stop)
    stack.callback(downloader.close)
    fetched = FetchedPictures(Locator(api, media, settings.api.batch_titles), downloader)
    return fetched, AskedLicences(api)


__all__ = ["KEY_FILE", "run"]
