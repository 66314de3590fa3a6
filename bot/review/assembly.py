"""The review put together from the settings, with pywikibot behind it."""

import threading
from collections.abc import Callable

from bot.api import Api
from bot.monitoring import Metrics
from bot.review.context import FindsDeleted
from bot.review.desk import ReviewDesk
from bot.review.messages import load_messages
from bot.review.report import Publisher
from bot.review.verdicts import VerdictReader
from bot.settings import Settings
from bot.wiki import Wiki
from bot.wiki_pages import Patience
from classifier.values import Level
from storage.engine import Database

HINTS_WITHIN_S = 5.0
"""Hashing a picture takes milliseconds, asking the wiki for deleted files a second or two."""


def connect(settings: Settings, *, log_in: bool, stop: threading.Event | None = None) -> Wiki:
    """Open the session that the review works with.

    Args:
        settings: Which wiki and account.
        log_in: False reads as somebody without an account.
        stop: Ends the waiting for a wiki that is away.

    Returns:
        The wiki, its identity checked.

    Raises:
        ConfigError: Wiki, account, password or rights are not those of the settings.
        ServiceDown: The wiki does not answer.
    """
    return Wiki.connect(
        settings.review,
        user_agent=settings.user_agent,
        api_url=settings.wiki.api_url,
        wiki_id=settings.wiki.id,
        log_in=log_in,
        timeout_s=settings.api.timeout_s,
        patience=Patience(stop=stop or threading.Event()),
    )


def open_desk(
    settings: Settings,
    wiki: Wiki,
    api: Api,
    database: Database,
    metrics: Metrics,
    stop: threading.Event,
    set_level: Callable[[Level], None],
    deleted: FindsDeleted | None = None,
) -> ReviewDesk:
    """Put the parts of the review together.

    Args:
        settings: Everything.
        wiki: Connected.
        api: Asked about files.
        database: The store.
        metrics: Where edits and verdicts are counted.
        stop: Ends the desk's run.
        set_level: Told the threshold level that the community chose.
        deleted: Asked about deleted files; None: nobody asks.

    Returns:
        The desk; run it in a thread.
    """
    review = settings.review
    reader = VerdictReader(wiki, database, settings.wiki.id, review.trusted_groups, metrics)
    messages = load_messages(review.language)
    hinted = settings.retention.near_duplicates or settings.retention.reuploads
    publisher = Publisher(
        wiki,
        api,
        database,
        settings.wiki.id,
        review,
        messages,
        metrics,
        deleted=deleted,
        hints_within_s=HINTS_WITHIN_S if hinted else 0.0,
    )
    return ReviewDesk(
        wiki, reader, publisher, review, metrics, stop, set_level=set_level, level=settings.classifier.level
    )
