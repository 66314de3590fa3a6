"""`action=query` of the miniature wiki: pure answers to parameters, in formatversion 2.

Only what the bot asks: siteinfo, imageinfo and videoinfo, and the log. Errors come as the real API sends
them: status 200 and an `error` object.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.minicommons.imageinfo import Addresses, infos_of
from bot.minicommons.titles import normalized
from bot.minicommons.wiki import LogEntry, MiniWiki, Page

MAX_TITLES = 50
MAX_LOG_ENTRIES = 500
Parameters = Mapping[str, str]
Answer = dict[str, Any]


class ApiError(Exception):
    """An answer with an `error` object.

    Args:
        code: The API's code.
        info: Text for people.
        extra: Further fields of the object.
    """

    def __init__(self, code: str, info: str, **extra: Any) -> None:
        super().__init__(info)
        self.answer: Answer = {"error": {"code": code, "info": info, **extra}, "servedby": "mini1001"}


def values_of(text: str) -> list[str]:
    """Split a multi-value parameter, by `|`, or by U+001F where it starts with that."""
    if text.startswith("\x1f"):
        return text[1:].split("\x1f")
    return text.split("|") if text else []


def timestamp(when: datetime) -> str:
    """A time as the API writes it."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def answer(parameters: Parameters, wiki: MiniWiki, addresses: Addresses, now: datetime) -> Answer:
    """Answer a query.

    Args:
        parameters: The request's parameters.
        wiki: The wiki's state.
        addresses: How addresses of files start.
        now: Present time.

    Returns:
        The answer as plain JSON values.

    Raises:
        ApiError: Where the real API would answer with an error.
    """
    action = parameters.get("action", "help")
    if action != "query":
        raise ApiError("badvalue", f'Unrecognized value for parameter "action": {action}.')
    if parameters.get("format") != "json" or parameters.get("formatversion") != "2":
        raise ApiError("minicommons-format", "This wiki answers format=json&formatversion=2 only.")
    query: Answer = {}
    result: Answer = {"batchcomplete": True}
    if "siteinfo" in values_of(parameters.get("meta", "")):
        query["general"] = _general(now)
    if "logevents" in values_of(parameters.get("list", "")):
        _add_log_events(parameters, wiki, query, result)
    if parameters.get("titles"):
        _add_pages(parameters, wiki, addresses, query, result)
    if "curtimestamp" in parameters:
        result["curtimestamp"] = timestamp(now)
    result["query"] = query
    return result


def _general(now: datetime) -> Answer:
    return {
        "mainpage": "Main Page",
        "base": "https://commons.wikimedia.org/wiki/Main_Page",
        "sitename": "Wikimedia Commons",
        "generator": "MediaWiki 1.46.0-wmf.1 (miniature)",
        "case": "first-letter",
        "lang": "en",
        "readonly": False,
        "server": "https://commons.wikimedia.org",
        "servername": "commons.wikimedia.org",
        "wikiid": "commonswiki",
        "articlepath": "/wiki/$1",
        "scriptpath": "/w",
        "script": "/w/index.php",
        "time": timestamp(now),
        "timezone": "UTC",
        "timeoffset": 0,
        "maxarticlesize": 2097152,
        "maxuploadsize": 5368709120,
    }


def _add_pages(
    parameters: Parameters, wiki: MiniWiki, addresses: Addresses, query: Answer, result: Answer
) -> None:
    asked = list(dict.fromkeys(values_of(parameters["titles"])))
    if len(asked) > MAX_TITLES:
        raise ApiError(
            "toomanyvalues",
            f'Too many values supplied for parameter "titles". The limit is {MAX_TITLES}.',
            limit=MAX_TITLES,
            lowlimit=MAX_TITLES,
            highlimit=500,
        )
    renamed = [(title, normalized(title)) for title in asked if normalized(title) != title]
    if renamed:
        query["normalized"] = [{"fromencoded": False, "from": old, "to": new} for old, new in renamed]
    titles = list(dict.fromkeys(normalized(title) for title in asked))
    if "redirects" in parameters:
        leads = {title: target for title in titles if (target := wiki.redirect_of(title))}
        if leads:
            query["redirects"] = [{"from": old, "to": new} for old, new in leads.items()]
        titles = list(dict.fromkeys(leads.get(title, title) for title in titles))
    pages = [(title, wiki.look_up(title)) for title in titles]
    # The real API orders by page id, and missing pages have negative ones.
    pages.sort(key=lambda pair: pair[1].page_id if pair[1] else -1)
    query["pages"] = [_page(title, page, parameters, addresses, result, len(pages)) for title, page in pages]


def _page(
    title: str, page: Page | None, parameters: Parameters, addresses: Addresses, result: Answer, pages: int
) -> Answer:
    namespace = 6 if title.startswith("File:") else 0
    if page is None:
        return {"ns": namespace, "title": title, "missing": True, "imagerepository": ""}
    shown: Answer = {"pageid": page.page_id, "ns": namespace, "title": title, "imagerepository": "local"}
    for prop in values_of(parameters.get("prop", "")):
        prefix = {"imageinfo": "ii", "videoinfo": "vi"}.get(prop)
        if prefix is None:
            raise ApiError("badvalue", f'Unrecognized value for parameter "prop": {prop}.')
        own = {key.removeprefix(prefix): value for key, value in parameters.items() if key.startswith(prefix)}
        try:
            shown[prop], following = infos_of(page, own, addresses)
        except ValueError as error:
            raise ApiError(f"{prefix}urlparam", str(error)) from error
        if following and pages == 1:
            result["continue"] = {f"{prefix}start": timestamp(following), "continue": "||"}
    return shown


def _moment(text: str | None, name: str) -> datetime | None:
    if not text:
        return None
    try:
        if text.isdigit() and len(text) == 14:
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        if text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ApiError(f"badtimestamp_{name}", f'Invalid value "{text}" for timestamp "{name}".') from error
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _add_log_events(parameters: Parameters, wiki: MiniWiki, query: Answer, result: Answer) -> None:
    newest_first = parameters.get("ledir", "older") != "newer"
    start, end = _moment(parameters.get("lestart"), "lestart"), _moment(parameters.get("leend"), "leend")
    if newest_first:
        start, end = end, start
    limit_text = parameters.get("lelimit", "10")
    limit = MAX_LOG_ENTRIES if limit_text == "max" else int(limit_text) if limit_text.isdigit() else 0
    if not 0 < limit <= MAX_LOG_ENTRIES:
        raise ApiError("badinteger", f'Invalid value "{limit_text}" for integer parameter "lelimit".')
    matching = [
        entry
        for entry in wiki.log(parameters.get("letype"), newest_first=newest_first)
        if (start is None or entry.timestamp >= start) and (end is None or entry.timestamp <= end)
    ]
    following = parameters.get("lecontinue")
    if following:
        log_id = following.partition("|")[2]
        ids = [entry.log_id for entry in matching]
        if not log_id.isdigit() or int(log_id) not in ids:
            raise ApiError("badcontinue", "Invalid continue param. You should pass the original value.")
        matching = matching[ids.index(int(log_id)) :]
    if len(matching) > limit:
        first = matching[limit]
        stamp = first.timestamp.strftime("%Y%m%d%H%M%S")
        result["continue"] = {"lecontinue": f"{stamp}|{first.log_id}", "continue": "-||"}
    props = set(values_of(parameters.get("leprop", "ids|title|type|user|timestamp|comment|details")))
    query["logevents"] = [_log_event(entry, props, wiki) for entry in matching[:limit]]


def _log_event(entry: LogEntry, props: set[str], wiki: MiniWiki) -> Answer:
    shown: Answer = {}
    if "ids" in props:
        page = wiki.page_id_of(entry.title)
        shown |= {"logid": entry.log_id, "pageid": page, "logpage": page}
    if "title" in props:
        shown |= {"ns": 6, "title": entry.title}
    if "details" in props:
        params: Answer = dict(entry.params)
        if "img_timestamp" in params:
            params["img_timestamp"] = timestamp(entry.timestamp)
        if entry.type == "move":
            params = {"target_ns": 6, "target_title": params["target"], "suppressredirect": False}
        shown["params"] = params
    if "type" in props:
        shown |= {"type": entry.type, "action": entry.action}
    if "user" in props:
        shown["user"] = entry.user
    if "userid" in props:
        shown["userid"] = 1 + sum(entry.user.encode())
    if "timestamp" in props:
        shown["timestamp"] = timestamp(entry.timestamp)
    if "comment" in props:
        shown["comment"] = entry.comment
    return shown
