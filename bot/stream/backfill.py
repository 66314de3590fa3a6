"""Fill from the upload log what the stream did not bring: plan gaps (pure), and read them page by page.

A page is stored together with the gap's new start, in one transaction; then a crash repeats at most a page,
and repeats are dropped by `(wiki, log_id)`. `list=logevents` keeps superseded versions, which
`list=allimages` does not.

Entries whose title the wiki hides are still uploads that happened. They are handed over with an empty title
and no hash, to end in the code `hidden`: an upload that nobody can score is recorded as such, never left out.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from bot.errors import ServiceDown
from bot.settings import Settings
from bot.stream.events import parse_log_id, parse_sha1, parse_title, parse_user, parse_wiki_time
from storage.values import Gap, Source, StreamPosition, Upload, UploadAction

PAGE_ENTRIES = 500
_ACTIONS = {action.value: action for action in UploadAction}
log = logging.getLogger(__name__)


class LogClient(Protocol):
    """Asks the action API."""

    def query(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        """Ask `action=query` in format version 2.

        Args:
            params: The parameters besides action, format and the client's own.

        Returns:
            The answer.

        Raises:
            ServiceDown: No usable answer came.
        """
        ...


@dataclass(frozen=True, slots=True)
class GapPage:
    """One page of a gap, to be stored in one transaction.

    Attributes:
        uploads: Its uploads, oldest first.
        done_until: The gap's new start: everything before this instant is read.
        more: Whether a further page follows; without one the gap is closed.
    """

    uploads: tuple[Upload, ...]
    done_until: datetime
    more: bool


def read_gap(api: LogClient, gap: Gap, *, source: Source) -> Iterator[GapPage]:
    """Read the upload log of a gap, oldest entries first.

    Args:
        api: The API of the gap's wiki.
        gap: From where to where.
        source: What the uploads are marked with.

    Yields:
        At least one page; the last one has `more` false and `done_until` at the gap's end.

    Raises:
        ServiceDown: The API does not answer, or not with a log; pages given out before stay valid.
    """
    params: dict[str, str | int] = {
        "list": "logevents",
        "letype": "upload",
        "ledir": "newer",
        "lestart": _api_time(gap.start),
        "leend": _api_time(gap.end + timedelta(microseconds=999_999)),
        "leprop": "ids|title|type|user|userid|timestamp|details",
        "lelimit": PAGE_ENTRIES,
    }
    done_until = gap.start
    following: Mapping[str, Any] | None = {}
    while following is not None:
        answer = api.query({**params, **following})
        entries, following = _entries(answer), _continuation(answer, following)
        uploads = tuple(
            upload for entry in entries if (upload := _upload(entry, gap.wiki, source)) is not None
        )
        done_until = max([done_until, *(upload.logged_at for upload in uploads)])
        more = following is not None
        yield GapPage(uploads, min(done_until, gap.end) if more else gap.end, more)


def _api_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entries(answer: Mapping[str, Any]) -> list[Any]:
    """An answer without a log must not count as an empty log, or the gap would be closed unread."""
    query = answer.get("query")
    entries = query.get("logevents") if isinstance(query, Mapping) else None
    if not isinstance(entries, list):
        raise ServiceDown("api", "the answer to list=logevents holds no log")
    return entries


def _continuation(answer: Mapping[str, Any], previous: Mapping[str, Any]) -> Mapping[str, Any] | None:
    following = answer.get("continue")
    if following is None:
        return None
    if not isinstance(following, Mapping) or not following or dict(following) == dict(previous):
        raise ServiceDown("api", "the continuation of list=logevents leads nowhere")
    return following


def _upload(entry: Any, wiki: str, source: Source) -> Upload | None:
    """One log entry; None, with a line in the log, where it cannot even be recorded."""
    fields = entry if isinstance(entry, Mapping) else {}
    log_id = parse_log_id(fields.get("logid"))
    action = _ACTIONS.get(str(fields.get("action")))
    logged_at = parse_wiki_time(fields.get("timestamp"))
    hidden = bool(fields.get("actionhidden"))
    title = "" if hidden else parse_title(fields.get("title"))
    if hidden and action is None:
        action = UploadAction.UPLOAD
    if log_id is None or action is None or logged_at is None or title is None:
        log.warning("log_entry_unexpected", extra={"wiki": wiki, "entry": repr(entry)[:2000]})
        return None
    details = fields.get("params")
    parameters = details if isinstance(details, Mapping) and not hidden else {}
    return Upload(
        wiki=wiki,
        log_id=log_id,
        action=action,
        title=title,
        user=None if fields.get("userhidden") else parse_user(fields.get("user")),
        sha1=parse_sha1(parameters.get("img_sha1")),
        file_timestamp=parse_wiki_time(parameters.get("img_timestamp")),
        logged_at=logged_at,
        source=source,
    )


def start_gap(position: StreamPosition | None, now: datetime, settings: Settings) -> Gap | None:
    """What to read from the log when the daemon starts.

    Args:
        position: Where the stream was left; None on the very first start.
        now: The present, aware.
        settings: `stream.resume_overlap_s`, `backfill.first_start_s` and `backfill.max_s` apply.

    Returns:
        From the position, stepped back by the overlap, to now, at most `max_s` long; on the very first start
        the last `first_start_s`, None if that is zero.
    """
    backfill = settings.backfill
    if position is None:
        if not backfill.first_start_s:
            return None
        start = now - timedelta(seconds=backfill.first_start_s)
    else:
        start = position.event_time - timedelta(seconds=settings.stream.resume_overlap_s)
    return _gap(settings, start, now, "start", now)


def stale_gap(
    last_event: datetime, filled_until: datetime | None, now: datetime, settings: Settings
) -> Gap | None:
    """What to read from the log while the stream brings nothing, so that an outage of it delays no upload.

    Args:
        last_event: Time of the last event that the stream brought.
        filled_until: End of the last gap planned by this function during the outage, None at first.
        now: The present, aware.
        settings: `stream.jump_s` is the age from which a position is stale.

    Returns:
        From the last event or gap to `settle_s` ago, or None while that is shorter than `jump_s`.
    """
    since = max(last_event, filled_until) if filled_until else last_event
    end = now - timedelta(seconds=settings.backfill.settle_s)
    if (end - since).total_seconds() <= settings.stream.jump_s:
        return None
    start = since - timedelta(seconds=settings.stream.resume_overlap_s)
    return _gap(settings, start, end, "stale", now)


def reconcile_gap(now: datetime, settings: Settings) -> Gap:
    """The stretch that the regular reconciliation reads.

    Args:
        now: The present, aware.
        settings: `backfill.reconcile_window_s` and `backfill.settle_s` apply.

    Returns:
        The last `reconcile_window_s` before `settle_s` ago: what is newer, the stream may still bring.
    """
    end = now - timedelta(seconds=settings.backfill.settle_s)
    start = end - timedelta(seconds=settings.backfill.reconcile_window_s)
    return Gap(id=None, wiki=settings.wiki.id, start=start, end=end, reason="reconcile")


def _gap(settings: Settings, start: datetime, end: datetime, reason: str, now: datetime) -> Gap | None:
    earliest = now - timedelta(seconds=settings.backfill.max_s)
    if start < earliest:
        log.warning("gap_cut", extra={"wanted": start.isoformat(), "start": earliest.isoformat()})
        start = earliest
    if start >= end:
        return None
    return Gap(id=None, wiki=settings.wiki.id, start=start, end=end, reason=reason)


__all__ = ["GapPage", "LogClient", "read_gap", "reconcile_gap", "stale_gap", "start_gap"]
