"""One evaluation as a page that needs nothing but itself: no scripts, no requests, no pictures of items."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from classifier.evaluation import plots, wording
from classifier.evaluation.compare import Pairing
from classifier.evaluation.groups import ENOUGH
from classifier.evaluation.prevalence import WHY
from classifier.evaluation.values import Evaluation

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Section:
    """What somebody else measured and wants on the page too, such as speed or robustness.

    Attributes:
        heading: Of the section.
        paragraphs: Plain text.
        header: Of the table's columns.
        rows: Plain text, one cell a column; the first one names the row.
        figures: Pictures to stand below, made by `plot` or `picture`.
    """

    heading: str
    paragraphs: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    figures: tuple[Markup, ...] = ()


def plot(svg: str, heading: str = "", caption: str = "") -> Markup:
    """A drawing for `Section.figures`.

    Args:
        svg: An `<svg>` element of our own, as `plots.as_element` makes it: it says itself what it shows.
        heading: Plain text above, like the next one.
        caption: Below.
    """
    return _figure(Markup(svg), heading, caption)  # noqa: S704 - our own, escaped by matplotlib


def picture(content: bytes, alt: str, heading: str = "", caption: str = "", kind: str = "jpeg") -> Markup:
    """A picture for `Section.figures`, inside the page; whoever shows what people made blurs it before.

    Args:
        content: An encoded file.
        alt: Plain text, like the next ones: what it shows, for who cannot see it.
        heading: Above.
        caption: Below.
        kind: `jpeg` or `png`.
    """
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return _figure(Markup('<img src="{}" alt="{}">').format(source, alt), heading, caption)


def _figure(inner: Markup, heading: str, caption: str) -> Markup:
    above = Markup("<h3>{}</h3>").format(heading) if heading else Markup()
    below = Markup("<figcaption>{}</figcaption>").format(caption) if caption else Markup()
    return Markup("<figure>{}{}{}</figure>").format(above, inner, below)


def render(
    evaluation: Evaluation,
    *,
    pairings: Sequence[tuple[str, Pairing]] = (),
    sections: Sequence[Section] = (),
    notices: Sequence[str] = (),
) -> str:
    """Render the page; all that is somebody's words is escaped.

    Args:
        evaluation: What was measured.
        pairings: Other models by name, with the comparison in which this one is the first.
        sections: What else to show, at the end.
        notices: What has to be known before any figure is read, a sentence each.

    Returns:
        HTML.
    """
    drawn = {name: Markup(svg) for name, svg in plots.plots(evaluation).items()}  # noqa: S704 - our own, escaped by matplotlib
    return template("report.html").render(
        e=evaluation,
        c=evaluation.calibration,
        css=stylesheet(),
        plots=drawn,
        pairings=pairings,
        sections=sections,
        notices=notices,
        why=WHY,
        enough=ENOUGH,
        titles=wording.TITLES,
        meanings=wording.MEANINGS,
        percent=wording.percent,
        span=wording.span,
        share_of_uploads=wording.prevalence,
        remark=wording.stands_out,
        count=wording.count,
        value=wording.measure_value,
        span_of=wording.measure_span,
        purpose=wording.purpose,
        signed=wording.signed,
        plain=lambda value: wording.MISSING if value is None else f"{value:.3f}",
    )


def render_sections(title: str, sections: Sequence[Section]) -> str:
    """Render sections as a page of their own; all that is somebody's words is escaped.

    Args:
        title: Plain text.
        sections: What to show.

    Returns:
        HTML.
    """
    return template("page.html").render(title=title, sections=sections, css=stylesheet())


@cache
def template(name: str) -> Template:
    """A template of this package, escaping everything."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


@cache
def stylesheet() -> Markup:
    """The stylesheet of this package's pages, to be put into them."""
    return Markup((_FOLDER / "page.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of ours


__all__ = ["Section", "picture", "plot", "render", "render_sections", "stylesheet", "template"]
