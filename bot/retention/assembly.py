"""What the daemon and the commands do with kept pictures, put together from the settings."""

from bot.api import Api
from bot.retention.folder import CopyFolder
from bot.retention.hints import Hints
from bot.retention.keeping import CopyKeeper
from bot.retention.purging import Purger
from bot.retention.scored import ScoredPictures
from bot.settings import Settings
from classifier.streams import Decoder
from storage.engine import Database


def open_purger(settings: Settings, database: Database) -> Purger:
    """What removes pictures.

    Args:
        settings: Section `[retention]`.
        database: Where pictures are recorded.

    Returns:
        The purger.
    """
    wanted = settings.retention
    return Purger(database, CopyFolder(wanted.directory, database.name), wanted.days)


def open_scored(settings: Settings, database: Database, decoder: Decoder, api: Api) -> ScoredPictures:
    """What is done with pictures once they are scored.

    Args:
        settings: Section `[retention]`.
        database: The store.
        decoder: The limited workers that decode.
        api: Asked for deleted files.

    Returns:
        To be called by the pipeline.

    Raises:
        StoreError: Where the store is away.
    """
    wanted = settings.retention
    folder = CopyFolder(wanted.directory, database.name)
    hints = Hints(
        database, decoder, api if wanted.reuploads else None, near_duplicates=wanted.near_duplicates
    )
    hints.load()
    return ScoredPictures(CopyKeeper(database, folder, decoder, wanted), hints)


__all__ = ["open_purger", "open_scored"]
