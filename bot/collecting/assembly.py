"""Put a collector together from the settings: the bot's own API client, locator and downloader."""

import threading
from pathlib import Path

from bot.api import Api
from bot.collecting.collection import PARTIAL, Collection
from bot.collecting.collector import RETRY_WAIT_S, Collector, OnStep
from bot.collecting.fetching import MediaFetcher
from bot.collecting.plan import CollectingPlan
from bot.collecting.questions import CollectingQuestions
from bot.collecting.result import Result, summarise
from bot.media.download import Downloader
from bot.media.locate import Locator
from bot.settings import Settings


def collect(
    settings: Settings,
    plan: CollectingPlan,
    folder: Path,
    *,
    relist: bool = False,
    stop: threading.Event | None = None,
    retry_wait_s: float = RETRY_WAIT_S,
    on_step: OnStep | None = None,
) -> Result:
    """Carry a plan out, or on; the manifest, the sources and what was left out are written at the end.

    Args:
        settings: Wiki, contact, limits.
        plan: What to collect.
        folder: Where to; a former run's folder is gone on with.
        relist: Whether categories that were listed before are listed again.
        stop: Ends all waiting when it is set.
        retry_wait_s: How long to wait before what failed is tried again, in seconds.
        on_step: Told how far it is.

    Returns:
        What the collection amounts to now.

    Raises:
        ServiceDown: The wiki or its media cannot be reached; run again to go on.
        ConfigError: No contact is set, a category cannot be listed, or the folder not be used.
        DatasetError: The manifest cannot be written.
    """
    user_agent, ending = settings.user_agent, stop or threading.Event()
    with Collection(folder).opened() as collection:
        if relist:
            collection.forget_listings()
        # Beside the pictures: what is downloaded moves to its place in one step.
        media = settings.media.model_copy(update={"directory": collection.folder / PARTIAL})
        api = Api(settings.api, settings.wiki.api_url, user_agent, ending)
        downloader = Downloader(media, user_agent, ending)
        try:
            downloader.sweep()
            collector = Collector(
                collection,
                CollectingQuestions(api),
                MediaFetcher(
                    Locator(api, media, settings.api.batch_titles), downloader, media, settings.wiki.id
                ),
                plan,
                ending,
                concurrent=media.max_concurrent,
                retry_wait_s=retry_wait_s,
                on_step=on_step,
            )
            collected = collector.run()
        finally:
            downloader.close()
            api.close()
        result = summarise(plan, collected, collection.outcomes, collection.folder, settings.wiki.page_url)
        collection.write(result.dataset, result.sources, result.left_out)
    return result


__all__ = ["collect"]
