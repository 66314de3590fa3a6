"""What the daemon and the commands do with kept pictures, put together from the settings."""

from bot.retention.folder import CopyFolder
from bot.retention.hints import Hints
from bot.retention.keeping import CopyKeeper
from bot.retention.purging import Purger
from bot.retention.reuploads import Asks, DeletedFiles
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


def open_deleted(settings: Settings, database: Database, *sessions: Asks | None) -> DeletedFiles | None:
    """What knows deleted files.

    Args:
        settings: Section `[retention]`.
        database: The store.
        sessions: Whom to ask, the first that the wiki answers; None ones are left out.

    Returns:
        It; None where nobody wants to know.
    """
    if not settings.retention.reuploads:
        return None
    return DeletedFiles([session for session in sessions if session is not None], database)


def open_scored(
    settings: Settings, database: Database, decoder: Decoder, deleted: DeletedFiles | None
) -> ScoredPictures:
    """What is done with pictures once they are scored.

    Args:
        settings: Section `[retention]`.
        database: The store.
        decoder: The limited workers that decode.
        deleted: Asked for deleted files; None: nobody asks.

    Returns:
        To be called by the pipeline.

    Raises:
        StoreError: Where the store is away.
    """
    wanted = settings.retention
    folder = CopyFolder(wanted.directory, database.name)
    hints = Hints(database, decoder, deleted, near_duplicates=wanted.near_duplicates)
    hints.load()
    return ScoredPictures(CopyKeeper(database, folder, decoder, wanted), hints)


__all__ = ["open_deleted", "open_purger", "open_scored"]
