"""Pure: from what the store and the wiki know about an item to the row that reviewers see."""

from bot.review.context import Context
from bot.review.rows import FileState, ReviewRow
from storage.review_values import ReviewEntry, ReviewState

IMPLICIT_GROUPS = frozenset({"*", "user", "autoconfirmed", "named"})
"""Groups that everybody is in sooner or later: no help to a reviewer."""


def review_row(entry: ReviewEntry, context: Context, *, blind: bool) -> ReviewRow:
    """Put a row together.

    Args:
        entry: What the store knows.
        context: What the wiki says now.
        blind: Whether score and reason stay out until a verdict stands.

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
    )
