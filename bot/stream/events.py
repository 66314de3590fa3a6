"""From a recentchange event to an upload, a change of a file, or a reason why it is neither. Pure.

Nothing an event may hold makes this raise: fields are missing, null or of another type in real events, and
one bad event must not stop the stream. Text that a database cannot store counts as wrong.

A `delete` entry means that something of the page was deleted: deleting one old version of a file that still
exists is the same entry, only the comment differs. Whoever handles the change asks the API what is left.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.values import ChangeKind, FileChange, Upload, UploadAction

FILE_NAMESPACE = 6
MAX_TITLE_CHARACTERS = 300
"""MediaWiki allows 255 bytes and a namespace; the store's column holds this much."""
MAX_USER_CHARACTERS = 255
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_EPOCH_S = 253_402_300_799
_MAX_LOG_ID = 2**63 - 1
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
_SHA1_BASE36 = re.compile(r"[0-9a-z]{31}")
_UPLOAD_ACTIONS = {action.value: action for action in UploadAction}
_CHANGES = {
    ("move", "move"): ChangeKind.MOVE,
    ("move", "move_redir"): ChangeKind.MOVE,
    ("delete", "delete"): ChangeKind.DELETE,
    ("delete", "restore"): ChangeKind.RESTORE,
}


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that is nothing to us.

    Attributes:
        reason: Short and stable; it is counted under this name.
        unexpected: The event should have been one for us, or is malformed: worth a line in the log.
    """

    reason: str
    unexpected: bool = False


class _UnusableError(Exception):
    """Inside this module only: a field that must be there is not."""


def may_concern(block: bytes, wiki: bytes = b"") -> bool:
    r"""Tell from the bytes alone whether an event can concern us.

    False is only ever said where parsing could not say otherwise. An event for us is a log event, so it has a
    key `log_type`, and it names our wiki. JSON knows exactly two spellings of an ASCII letter: itself, and an
    escape `\u00XX` with XX from 20 to 7f; a block without such an escape that lacks the key in quotes has no
    such key. A `data:` line cannot end within a key, for JSON strings hold no raw line breaks, and the stream
    is always UTF-8. All else, canary events or the words turning up in a comment, is left to the parser.

    Args:
        block: A raw event block.
        wiki: Database name of the wiki in ASCII; empty to look for log events only.

    Returns:
        False if the event is certainly not for us.
    """
    if b'"log_type"' in block and wiki in block:
        return True
    return b"\\u00" in block and _ESCAPED_ASCII.search(block) is not None


def parse_event(text: str | bytes, wiki: str) -> Upload | FileChange | Ignored:
    """Read one recentchange event.

    Args:
        text: Its data: JSON.
        wiki: Database name of the wiki that is followed.

    Returns:
        What it says, or why it is ignored. Fields that may be hidden (user, sha1) become None instead.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return Ignored("bad_json", unexpected=True)
    if not isinstance(event, dict):
        return Ignored("not_an_object", unexpected=True)
    meta = _mapping(event.get("meta"))
    if meta.get("domain") == "canary":
        return Ignored("canary")
    if event.get("wiki") != wiki:
        return Ignored("foreign_wiki")
    if event.get("type") != "log":
        return Ignored("no_log_event")
    try:
        return _log_event(event, meta, wiki)
    except _UnusableError as problem:
        return Ignored(str(problem), unexpected=True)


def edited_page(text: str | bytes, wiki: str) -> str | None:
    """Which page an event says was edited or created.

    Args:
        text: The event's data: JSON.
        wiki: Database name of the wiki that is followed.

    Returns:
        The full title; None for any other event.
    """
    try:
        event = _mapping(json.loads(text))
    except (ValueError, RecursionError):
        return None
    if event.get("wiki") != wiki or event.get("type") not in ("edit", "new"):
        return None
    return parse_title(event.get("title"))


def _log_event(event: dict[str, Any], meta: dict[str, Any], wiki: str) -> Upload | FileChange | Ignored:
    log_type, action = event.get("log_type"), event.get("log_action")
    if not isinstance(log_type, str) or not isinstance(action, str):
        raise _UnusableError("no_log_type")
    if log_type not in ("upload", "move", "delete"):
        return Ignored("other_log")
    if type(event.get("namespace")) is not int:
        raise _UnusableError("no_namespace")
    if event["namespace"] != FILE_NAMESPACE:
        return Ignored("other_namespace")
    if log_type == "upload":
        if action not in _UPLOAD_ACTIONS:
            raise _UnusableError("unknown_upload_action")
        return _upload(event, meta, wiki, _UPLOAD_ACTIONS[action])
    kind = _CHANGES.get((log_type, action))
    if kind is None:  # delete_redir, revision, event: the file's newest version stays as it is
        return Ignored("other_action")
    return FileChange(
        wiki=wiki,
        log_id=_log_id(event),
        kind=kind,
        title=_required_title(event.get("title"), "no_title"),
        target_title=_move_target(event.get("log_params")) if kind is ChangeKind.MOVE else None,
        user=parse_user(event.get("user")),
        logged_at=_logged_at(event, meta, None),
    )


def _upload(event: dict[str, Any], meta: dict[str, Any], wiki: str, action: UploadAction) -> Upload:
    parameters = _mapping(event.get("log_params"))
    file_timestamp = parse_wiki_time(parameters.get("img_timestamp"))
    return Upload(
        wiki=wiki,
        log_id=_log_id(event),
        action=action,
        title=_required_title(event.get("title"), "no_title"),
        user=parse_user(event.get("user")),
        sha1=parse_sha1(parameters.get("img_sha1")),
        file_timestamp=file_timestamp,
        logged_at=_logged_at(event, meta, file_timestamp),
    )


def _log_id(event: dict[str, Any]) -> int:
    log_id = parse_log_id(event.get("log_id"))
    if log_id is None:
        raise _UnusableError("no_log_id")
    return log_id


def _required_title(value: Any, reason: str) -> str:
    title = parse_title(value)
    if title is None:
        raise _UnusableError(reason)
    return title


def _move_target(parameters: Any) -> str:
    """The new title: `{"target": …}` today, `["…", "1"]` and newline-separated text in older entries."""
    value: Any = None
    if isinstance(parameters, dict):
        value = parameters.get("target", parameters.get("4::target"))
    elif isinstance(parameters, list) and parameters:
        value = parameters[0]
    elif isinstance(parameters, str):
        value = parameters.partition("\n")[0]
    return _required_title(value, "no_move_target")


def _logged_at(event: dict[str, Any], meta: dict[str, Any], fallback: datetime | None) -> datetime:
    """An upload must not be lost for want of a time, so the event's and the file's own stand in."""
    timestamp_s = event.get("timestamp")
    if type(timestamp_s) is int and 0 <= timestamp_s <= _MAX_EPOCH_S:
        return _EPOCH + timedelta(seconds=timestamp_s)
    logged_at = parse_wiki_time(meta.get("dt")) or fallback
    if logged_at is None:
        raise _UnusableError("no_time")
    return logged_at


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _storable(value: Any, max_characters: int = MAX_TITLE_CHARACTERS) -> str | None:
    """Text that every database takes: no lone surrogates, which JSON can spell, and no control characters."""
    if not isinstance(value, str) or not value or len(value) > max_characters:
        return None
    if any(character < " " or "\ud800" <= character <= "\udfff" for character in value):
        return None
    return value


def event_meta_time(text: bytes) -> datetime | None:
    """The time that an event carries itself, for streams whose ids hold none.

    Args:
        text: Its data: JSON.

    Returns:
        `meta.dt`; None where there is none.
    """
    try:
        event = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return parse_wiki_time(_mapping(_mapping(event).get("meta")).get("dt"))


def parse_log_id(value: Any) -> int | None:
    """A log id that fits a database column.

    Args:
        value: Any JSON value.

    Returns:
        The positive 63-bit integer; None for anything else.
    """
    return value if type(value) is int and 0 < value <= _MAX_LOG_ID else None


def parse_title(value: Any) -> str | None:
    """A page title in its form with spaces.

    Args:
        value: Any JSON value.

    Returns:
        The title; None if it is no text that can be a title.
    """
    title = _storable(value)
    title = title.replace("_", " ").strip() if title else None
    return title or None


def parse_user(value: Any) -> str | None:
    """A user name.

    Args:
        value: Any JSON value.

    Returns:
        The name with spaces; None if it is hidden, or no text that can be a name.
    """
    name = _storable(value, MAX_USER_CHARACTERS)
    name = name.replace("_", " ").strip() if name else None
    return name or None


def parse_sha1(value: Any) -> str | None:
    """A SHA-1 as MediaWiki's logs carry it.

    Args:
        value: Any JSON value.

    Returns:
        31 characters of base 36; None for anything else.
    """
    return value if isinstance(value, str) and _SHA1_BASE36.fullmatch(value) else None


def parse_wiki_time(value: Any) -> datetime | None:
    """A time as MediaWiki writes it.

    Args:
        value: Any JSON value: 14 digits, or ISO 8601 (without a zone it is UTC).

    Returns:
        An aware UTC datetime; None for anything else.
    """
    if not isinstance(value, str) or not value.isascii():
        return None
    try:
        if len(value) == 14 and value.isdigit():
            return datetime.strptime(value, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        parsed = datetime.fromisoformat(value)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


__all__ = [
    "Ignored",
    "edited_page",
    "event_meta_time",
    "may_concern",
    "parse_event",
    "parse_log_id",
    "parse_sha1",
    "parse_title",
    "parse_user",
    "parse_wiki_time",
]
