"""One upload's whole story; what a reviewer must not know yet does not even reach the template."""

from dataclasses import dataclass, replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bot.console.frames import frames_chart
from bot.console.item_ids import parse_id
from bot.console.visits import Visit
from storage.console_story import picture_of, story
from storage.console_story_values import Story
from storage.review_values import NO_HINT, ReviewState, VerdictCode, VerdictSource


@dataclass(frozen=True, slots=True)
class Shown:
    """A story as one visitor may see it.

    Attributes:
        story: Without what is hidden.
        hidden: Whether anything is.
        state: Where its review stands; None where nobody is asked about it.
        own: The visitor's latest verdict here; None without one.
    """

    story: Story
    hidden: bool
    state: ReviewState | None
    own: VerdictCode | None


def show(request: Request, visit: Visit) -> Response:
    """Make the page."""
    console = visit.console
    wiki, log_id = parse_id(request.path_params["item_id"])
    with console.database.read() as tx:
        found = story(tx, wiki, log_id)
        picture = picture_of(tx, wiki, log_id, console.clock(), console.settings.retention.days)
    if found is None:
        raise HTTPException(404, "There is no such upload.")
    shown = as_shown(found, visit.holder.account, blind=visit.blind)
    decided = next((score for score in shown.story.scores if score.decided), None)
    values = {
        "item_id": f"{wiki}-{log_id}",
        "story": shown.story,
        "shown": shown,
        "decided": decided,
        "chart": None if decided is None else frames_chart(decided),
        "has_picture": picture is not None,
        "clear": visit.holder.may_review and request.query_params.get("clear") == "1",
        "timings": [] if decided is None else [(name, f"{s:.2f}") for name, s in decided.timings_s.items()],
    }
    return visit.page("item", found.upload.title, values)


def as_shown(found: Story, account: str, *, blind: bool) -> Shown:
    """Leave out what a visitor must not know yet.

    Args:
        found: The story.
        account: The visitor.
        blind: Whether scores and reasons are hidden from the visitor until the own verdict stands.

    Returns:
        What may be shown.
    """
    review = found.review
    if review is None:
        return Shown(found, hidden=False, state=None, own=None)
    own = [
        verdict.code
        for verdict in review.verdicts
        if verdict.author == account and verdict.source is VerdictSource.CONSOLE
    ]
    if not blind or own:
        return Shown(found, hidden=False, state=review.state, own=own[-1] if own else None)
    less = replace(found, scores=(), draw=None, hint=NO_HINT, review=None)
    return Shown(less, hidden=True, state=review.state, own=None)


__all__ = ["Shown", "as_shown", "show"]
