"""The report on the operator's own disk: flagged uploads by score, as HTML and as the wikitext of the same.

It links to the files and never embeds a picture.  The report is private to the user and is replaced whole, so
that a reader never sees half of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined, Template

from bot.errors import ServiceDown
from bot.review.messages import texts_of
from bot.review.wikitext import escape, file_link, printable
from classifier import atomic_file
from storage.review_values import NO_HINT, Hint, VerdictCode
from storage.values import FlaggedItem, FrameScore

TITLE = "Uploads for scope review"
NOTE = (
    "A program gave these uploads a high score. The score is advice: it can be wrong, it says nothing about "
    "whether a file is in scope, and nothing has been changed on the wiki."
)
_JUDGED = {code: texts_of("en")[f"verdict.{code.value}"] for code in VerdictCode}
_TEMPLATE = Path(__file__).with_name("local_report.html")


def write_report(
    items: Sequence[FlaggedItem],
    directory: Path,
    *,
    page_url: str,
    generated_at: datetime,
    summary: Mapping[str, str | int] | None = None,
    hints: Mapping[str, Hint] | None = None,
) -> None:
    """Write `index.html` and `index.wiki`.

    Args:
        items: What is flagged, in any order.
        directory: Where to write; made if it is missing, mode 0700. The files get 0600.
        page_url: Address of a page of the wiki, with `{title}` for the percent-encoded title.
        generated_at: The report's time, timezone-aware.
        summary: Figures to show above the table, by their label.
        hints: What is known of files like them, by their ids.

    Raises:
        ServiceDown: The directory cannot be written.
    """
    ordered = sorted(items, key=lambda item: (-item.score, item.logged_at, item.item_id))
    known = hints or {}
    html = render_html(
        ordered, page_url=page_url, generated_at=generated_at, summary=summary or {}, hints=known
    )
    wikitext = render_wikitext(ordered, generated_at=generated_at, summary=summary or {}, hints=known)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        atomic_file.write(directory / "index.html", html.encode("utf-8", errors="replace"))
        atomic_file.write(directory / "index.wiki", wikitext.encode("utf-8", errors="replace"))
    except OSError as error:
        raise ServiceDown("report.directory", str(error)) from error


def render_html(
    items: Sequence[FlaggedItem],
    *,
    page_url: str,
    generated_at: datetime,
    summary: Mapping[str, str | int],
    hints: Mapping[str, Hint],
) -> str:
    """Render the page; everything is escaped by the template engine.

    Args:
        items: The rows in their order.
        page_url: As for `write_report`.
        generated_at: As for `write_report`.
        summary: As for `write_report`.
        hints: As for `write_report`.

    Returns:
        A page that needs nothing but itself.
    """
    rows = [
        {
            "title": printable(item.title) or "(no title)",
            "url": page_address(page_url, item.title),
            "user": printable(item.user or "") or None,
            "score": f"{item.score:.3f}",
            "percent": f"{min(max(item.score, 0.0), 1.0) * 100:.1f}",
            "position": position(item.worst),
            "scored": f"{item.frame_count} {'pages' if item.worst.page is not None else 'frames'} scored",
            "is_sequence": item.frame_count > 1,
            "model": item.model,
            "logged_at": item.logged_at.astimezone(UTC),
            "hints": [
                {
                    "before": before,
                    "title": printable(title),
                    "url": page_address(page_url, title),
                    "after": after,
                }
                for before, title, after in _told(hints.get(item.item_id, NO_HINT))
            ],
        }
        for item in items
    ]
    when = generated_at.astimezone(UTC)
    return _template().render(title=TITLE, note=NOTE, rows=rows, generated_at=when, summary=summary)


def render_wikitext(
    items: Sequence[FlaggedItem],
    *,
    generated_at: datetime,
    summary: Mapping[str, str | int],
    hints: Mapping[str, Hint],
) -> str:
    """Render the same as wikitext; users are named, not linked, so that nobody is notified.

    Args:
        items: The rows in their order.
        generated_at: As for `write_report`.
        summary: As for `write_report`.
        hints: As for `write_report`.

    Returns:
        A section with a table.
    """
    figures = "".join(f"* {escape(name)}: {escape(str(figure))}\n" for name, figure in summary.items())
    head = f"== {TITLE} ==\n{NOTE}\n\nAs of {_moment(generated_at)}.\n{figures}"
    if not items:
        return f"{head}\nNothing is waiting for review.\n"
    lines = [
        '{| class="wikitable sortable"',
        "! Score !! File !! Position !! Model !! Uploader !! Uploaded",
    ]
    for item in items:
        told = [
            f"<br />{before} {file_link(title)}{after}".rstrip()
            for before, title, after in _told(hints.get(item.item_id, NO_HINT))
        ]
        cells = (
            f"{item.score:.3f}",
            "".join([file_link(item.title) or "(no title)", *told]),
            escape(position(item.worst)),
            escape(item.model),
            escape(item.user or "") or "(hidden)",
            _moment(item.logged_at),
        )
        lines += ["|-", "| " + " || ".join(cells)]
    return f"{head}\n" + "\n".join([*lines, "|}"]) + "\n"


def page_address(page_url: str, title: str) -> str:
    """The address of a page.

    Args:
        page_url: With `{title}` for the title.
        title: Full title.

    Returns:
        The address with the title percent-encoded.
    """
    name = quote(title.replace(" ", "_"), safe="/:", errors="replace")
    return page_url.replace("{title}", name)


def position(frame: FrameScore) -> str:
    """Where in a file a frame is.

    Args:
        frame: The frame.

    Returns:
        `page 2`, `0:12`, `1:02:03`, or `picture` for a single one.
    """
    if frame.page is not None:
        return f"page {frame.page}"
    if frame.at_s is None:
        return "picture"
    minutes, seconds = divmod(int(frame.at_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _told(hint: Hint) -> Iterator[tuple[str, str, str]]:
    """What stands before a title, the title, and what stands behind it."""
    if hint.look_alike is not None:
        gone = ", and was deleted since" if hint.look_alike.deleted else ""
        judged = _JUDGED[hint.look_alike.verdict]
        yield "looks like", hint.look_alike.title, f", which was judged “{judged}”{gone}"
    if hint.deleted_as:
        # Nobody asks here whether that name may still be told.
        yield "has the bytes of a file that was deleted before", "", ""


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


__all__ = ["page_address", "position", "render_html", "render_wikitext", "write_report"]
