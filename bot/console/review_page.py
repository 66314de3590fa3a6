"""Shadow mode: a reviewer's verdicts before the community has approved the report on-wiki.

They are verdicts like those of the wiki: the same codes, the same store, append only. The author is the
account of the token, never the uploader, and judges blind: neither score nor reason, nor what others said,
is on the page. A second verdict on an item supersedes the first and is not called blind, because the first
one opened the item's story.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bot.console.item_ids import parse_id
from bot.console.visits import Visit
from bot.console.words import VERDICTS
from bot.review.verdict_values import canonical_name
from storage import console_review, reviews
from storage.console_story import picture_of
from storage.review_lookup import entries
from storage.review_values import ReviewEntry, Verdict, VerdictCode, VerdictSource

log = logging.getLogger(__name__)

MAX_COMMENT_CHARS: Final = 500
LIVE: Final = "Verdicts are given on-wiki now: the report pages are switched on. None are taken here."
NO_SCOPE: Final = "Verdicts need a token with the scope “review”."
OWN_UPLOAD: Final = "Nobody judges an upload of their own."


def show(request: Request, visit: Visit) -> Response:
    """Make the page: the item that was asked for, or the next one."""
    console, account = visit.console, visit.holder.account
    query = request.query_params
    if console.live or not visit.holder.may_review:
        return visit.page("review_closed", "Review", {"reason": LIVE if console.live else NO_SCOPE})
    now = console.clock()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    after, said = query.get("after") or None, query.get("said", "")
    with console.database.read() as tx:
        item_id = query.get("item") or console_review.next_item(tx, account, after)
        item_id = item_id or console_review.next_item(tx, account)  # what was passed over comes again
        load = console_review.load(tx, account, midnight)
        entry = None if item_id is None else entries(tx, [item_id]).get(item_id)
        given = () if entry is None else _own(reviews.verdicts_of(tx, entry.item_id), account)
        picture = None
        if entry is not None:
            wiki, log_id = parse_id(entry.item_id)
            picture = picture_of(tx, wiki, log_id, now, console.settings.retention.days)
    if query.get("item") and entry is None:
        raise HTTPException(404, "Nobody is asked about such an upload.")
    values = {
        "entry": entry,
        "own": given[-1] if given else None,
        "own_upload": entry is not None and _is_uploader(entry, account),
        "load": load,
        "has_picture": picture is not None,
        "clear": query.get("clear") == "1",
        "last": after if said in list(VerdictCode) else None,
        "said": VERDICTS[VerdictCode(said)] if said in list(VerdictCode) else None,
        "verdicts": list(enumerate(VERDICTS.items(), 1)),
        "most": MAX_COMMENT_CHARS,
    }
    return visit.page("review", "Review", values)


def give(visit: Visit, form: Mapping[str, str]) -> Response:
    """Store a verdict and go on to the next item."""
    console, account = visit.console, visit.holder.account
    if console.live:
        raise HTTPException(409, LIVE)
    if not visit.holder.may_review:
        raise HTTPException(403, NO_SCOPE)
    item_id, code, comment = _read(form)
    now = console.clock()
    with console.database.transaction() as tx:
        entry = entries(tx, [item_id]).get(item_id)
        if entry is None:
            raise HTTPException(404, "Nobody is asked about such an upload.")
        if _is_uploader(entry, account):
            raise HTTPException(403, OWN_UPLOAD)
        given = _own(reviews.verdicts_of(tx, item_id), account)
        repeated = bool(given) and (given[-1].code, given[-1].comment) == (code, comment)
        if not repeated:  # a key pressed twice says nothing new
            reviews.add_verdict(
                tx,
                Verdict(
                    item_id=item_id,
                    code=code,
                    comment=comment,
                    author=account,
                    author_id=None,
                    author_groups=(),
                    trusted=True,
                    untrusted_reason=None,
                    blind=not given,
                    revision_id=None,
                    given_at=now,
                    source=VerdictSource.CONSOLE,
                ),
                now,
            )
    log.info("console_verdict", extra={"account": account, "item_id": item_id, "code": code.value})
    return RedirectResponse(visit.address("review", after=item_id, said=code.value), 303)


def _read(form: Mapping[str, str]) -> tuple[str, VerdictCode, str]:
    item_id = form.get("item", "")
    parse_id(item_id)
    comment = " ".join(form.get("comment", "").split())
    if len(comment) > MAX_COMMENT_CHARS:
        raise HTTPException(400, f"A comment may have {MAX_COMMENT_CHARS} characters.")
    try:
        return item_id, VerdictCode(form.get("code", "")), comment
    except ValueError as error:
        raise HTTPException(400, "That is none of the four verdicts.") from error


def _own(verdicts: Sequence[Verdict], account: str) -> list[Verdict]:
    return [one for one in verdicts if one.author == account and one.source is VerdictSource.CONSOLE]


def _is_uploader(entry: ReviewEntry, account: str) -> bool:
    return entry.uploader is not None and canonical_name(entry.uploader) == account


__all__ = ["LIVE", "MAX_COMMENT_CHARS", "NO_SCOPE", "OWN_UPLOAD", "give", "show"]
