"""Recentchange events in the shape of EventStreams: log entries of the miniature wiki, and background noise.

Pure apart from the random source that is passed in. The keys and their order follow a real upload event of
2023 with the two keys that newer ones carry besides (`title_url`, `notify_url`).
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import quote

from bot.minicommons.wiki import LogEntry

Event = dict[str, Any]

SCHEMA = "/mediawiki/recentchange/1.0.0"
COMMONS = ("commonswiki", "commons.wikimedia.org")
_FOREIGN = (
    ("enwiki", "en.wikipedia.org"),
    ("dewiki", "de.wikipedia.org"),
    ("wikidatawiki", "www.wikidata.org"),
    ("ruwiktionary", "ru.wiktionary.org"),
)
# Separators that str.splitlines() cuts at and SSE does not, non-ASCII letters, and what would break wikitext.
_COMMENTS = (
    "Typo: Straßé → Straße",
    "/* wbsetclaim-create:2||1 */ [[Property:P18]]: A\u2028B\u0085C.jpg",
    'reverted edits by [[Special:Contributions/198.51.100.7|198.51.100.7]] "quoted" \\ & <b>bold</b>',
    "Ελληνικά, 日本語, عربى, 🦊",
    "",
)
_OTHER_LOGS: tuple[tuple[str, str, object], ...] = (
    ("delete", "delete", []),
    ("patrol", "patrol", {"curid": "1", "previd": "0", "auto": 1}),
    ("abusefilter", "hit", {"action": "edit", "filter": "155", "actions": "", "log": 9}),
    ("thanks", "thank", ""),
    ("newusers", "create2", "unparsed\nparameters"),
    ("block", "block", None),
    ("massmessage", "send", []),
)


def _meta(domain: str, title_url: str, when: datetime, rng: Random) -> Event:
    return {
        "uri": title_url,
        "request_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "domain": domain,
        "stream": "mediawiki.recentchange",
        "dt": when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _envelope(
    site: tuple[str, str], title: str, when: datetime, rng: Random, head: Event, body: Event
) -> Event:
    wiki, domain = site
    server_url = f"https://{domain}"
    title_url = f"{server_url}/wiki/{quote(title.replace(' ', '_'), safe='/:@!$()*,;~')}"
    return {
        "$schema": SCHEMA,
        "meta": _meta(domain, title_url, when, rng),
        **head,
        "title_url": title_url,
        **body,
        "server_url": server_url,
        "server_name": domain,
        "server_script_path": "/w",
        "wiki": wiki,
        "parsedcomment": body.get("comment", ""),
    }


def log_event(entry: LogEntry, when: datetime, rng: Random, rc_id: int) -> Event:
    """The event of a log entry of the miniature wiki.

    Args:
        entry: The entry.
        when: Moment of the event, with milliseconds.
        rng: Source of the ids.
        rc_id: `id`, the recentchanges row.

    Returns:
        The event; the ring adds topic, partition and offset.
    """
    head = {"id": rc_id, "type": "log", "namespace": 6, "title": entry.title}
    # A log entry's empty parameters are an empty PHP array.
    params: Mapping[str, str] | list[str] = entry.params or []
    body = {
        "comment": entry.comment,
        "timestamp": int(entry.timestamp.timestamp()),
        "user": entry.user,
        "bot": False,
        "notify_url": f"https://{COMMONS[1]}/w/index.php?title=Special:Log&logid={entry.log_id}",
        "log_id": entry.log_id,
        "log_type": entry.type,
        "log_action": entry.action,
        "log_params": params,
        "log_action_comment": f"{entry.action} &quot;[[{entry.title}]]&quot;: {entry.comment}",
    }
    return _envelope(COMMONS, entry.title, when, rng, head, body)


def noise_event(number: int, when: datetime, rng: Random, size_bytes: int = 0) -> Event:
    """Something that is no upload to Commons.

    Args:
        number: Running number; it decides the kind, so that every kind comes up.
        when: Moment of the event.
        rng: Source of variety.
        size_bytes: Pads the comment so that the event has about this length; 0 leaves it.

    Returns:
        The event.
    """
    if number % 50 == 49:
        return _canary(when, rng)
    event = _other_log(number, when, rng) if number % 13 == 12 else _edit(number, when, rng)
    # 1,050 bytes is what an edit weighs before padding, framing included.
    padding = max(0, size_bytes - 1050)
    if padding:
        event["comment"] = (event.get("comment") or "") + "x" * padding
    return event


def _edit(number: int, when: datetime, rng: Random) -> Event:
    # Commons has about a tenth of the firehose; two thirds of the noise are edits elsewhere.
    site = COMMONS if number % 10 == 0 else _FOREIGN[number % len(_FOREIGN)]
    kind = ("edit", "new", "categorize", "edit")[rng.randrange(4)]
    namespace = {"categorize": 14}.get(kind, 6 if site == COMMONS else 0)
    title = f"File:Noise {number}.jpg" if site == COMMONS else f"Noise {number}"
    if kind == "categorize":
        title = f"Category:Noise {number}"
    revision = 900_000_000 + number
    head = {"id": 1_500_000_000 + number, "type": kind, "namespace": namespace, "title": title}
    body: Event = {
        "comment": _COMMENTS[rng.randrange(len(_COMMENTS))],
        "timestamp": int(when.timestamp()),
        "user": f"Editor{rng.randrange(1000)}",
        "bot": rng.random() < 0.4,
        "notify_url": f"https://{site[1]}/w/index.php?diff={revision}&oldid={revision - 1}",
    }
    if kind != "categorize":
        body |= {
            "minor": False,
            "patrolled": True,
            "length": {"old": None if kind == "new" else 1000, "new": 1010},
            "revision": {"old": None if kind == "new" else revision - 1, "new": revision},
        }
    return _envelope(site, title, when, rng, head, body)


def _other_log(number: int, when: datetime, rng: Random) -> Event:
    kind, action, params = _OTHER_LOGS[number // 13 % len(_OTHER_LOGS)]
    site = COMMONS if rng.random() < 0.5 else _FOREIGN[0]
    title = f"File:Noise {number}.jpg"
    # Some log events have neither a recentchanges id nor a log id.
    anonymous = number % 3 == 0
    head = {
        "id": None if anonymous else 1_600_000_000 + number,
        "type": "log",
        "namespace": 6,
        "title": title,
    }
    body: Event = {
        "comment": _COMMENTS[rng.randrange(len(_COMMENTS))],
        "timestamp": int(when.timestamp()),
        "user": f"Editor{rng.randrange(1000)}",
        "bot": False,
        "log_id": None if anonymous else 300_000_000 + number,
        "log_type": kind,
        "log_action": action,
        "log_params": params,
        "log_action_comment": "",
    }
    return _envelope(site, title, when, rng, head, body)


def _canary(when: datetime, rng: Random) -> Event:
    """The artificial event that Wikimedia's monitoring sends; it even looks like an upload here."""
    meta = _meta("canary", "https://example.org/canary", when, rng)
    return {
        "$schema": SCHEMA,
        "meta": meta,
        "type": "log",
        "title": "File:Canary.jpg",
        "namespace": 6,
        "log_id": 1,
        "log_type": "upload",
        "log_action": "upload",
        "wiki": "commonswiki",
    }
