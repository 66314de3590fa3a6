"""Pure: from what the store and the wiki know about an item to the row that reviewers see."""

from dataclasses import replace

from bot.review.context import Context
from bot.review.rows import FileState, ReviewRow
from storage.review_values import NO_HINT, Hint, ReviewEntry, ReviewState

IMPLICIT_GROUPS = frozenset({"*", "user", "autoconfirmed", "named"})
"""Groups that everybody is in sooner or later: no help to a reviewer."""


def review_row(entry: ReviewEntry, context: Context, *, blind: bool, hints: bool = False) -> ReviewRow:
    """Put a row together.

    Args:
        entry: What the store knows.
        context: What the wiki says now.
        blind: Whether score and reason stay out until a verdict stands.
        hints: Whether other files may be told of.

    Returns:
        The row.
    """
    file = context.files.get(entry.title)
    uploader = context.uploaders.get(entry.uploader) if entry.uploader else None
    verdict = entry.verdict
    states: set[FileState] = set()
    # The log alone cannot tell the deletion of one old version from that of the file; the wiki can.
    if entry.suppressed or (entry.deleted if file is None else file.missing or file.suppressed):
        states.add("deleted")
    if entry.overwritten:
        states.add("overwritten")
    if entry.moved:
        states.add("moved")
    # `unsure` decides nothing: whoever comes next must not be influenced.
    shown = not blind or entry.state is not ReviewState.OPEN
    return ReviewRow(
        item_id=entry.item_id,
        title=entry.title,
        worst=entry.worst,
        uploader=entry.uploader,
        uploader_edits=uploader.edit_count if uploader else None,
        uploader_since=uploader.registered_at.date() if uploader and uploader.registered_at else None,
        uploader_groups=tuple(sorted(uploader.groups - IMPLICIT_GROUPS)) if uploader else (),
        other_flagged=entry.other_flagged,
        in_use=file.in_use if file else None,
        states=frozenset(states),
        verdict=verdict.code if verdict else None,
        comment=verdict.comment if verdict else "",
        score=entry.score if shown else None,
        reason=entry.reason if shown else None,
        disputed=entry.state is ReviewState.DISPUTED,
        hint=current_hint(entry, context) if hints else NO_HINT,
    )


def wanted_hint(entry: ReviewEntry) -> Hint:
    """The hint that an item should have by what the store knows: none once it is decided.

    A decided row keeps no titles of other files: pages that are finished are not looked after any more.

    Args:
        entry: What the store knows.

    Returns:
        The hint, possibly empty.
    """
    return NO_HINT if entry.state is ReviewState.CLOSED else entry.hint


def current_hint(entry: ReviewEntry, context: Context) -> Hint:
    """The part of an item's hint that the wiki confirms, so that no hidden title is ever told.

    Args:
        entry: What the store knows.
        context: What the wiki says now of the file it looks like, and of deleted files with its bytes.

    Returns:
        The hint, empty where the wiki was not asked.
    """
    hint = wanted_hint(entry)
    like = hint.look_alike
    file = context.files.get(like.title) if like is not None else None
    # A file that is gone without a deletion that we know of may have been deleted out of sight.
    if file is None or file.suppressed or (file.missing and like is not None and not like.deleted):
        like = None
    elif like is not None:
        like = replace(like, deleted=file.missing)
    still = context.deleted.get(entry.sha1 or "", ())
    return Hint(like, tuple(title for title in hint.deleted_as if title in still))
