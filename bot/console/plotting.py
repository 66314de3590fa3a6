"""The console's charts as SVG pictures: no scripts, no inline styles, colours for light and dark pages.

matplotlib draws with stand-in colours, which become CSS variables of one constant style sheet in the picture,
so that a policy can name that sheet by its hash and allow nothing else. Equal values give equal bytes. Of the
console only this module imports matplotlib, which takes a second: it is imported with the first chart.
"""

import base64
import hashlib
import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

FIRST, SECOND, INK, QUIET, GRID, CARD, MARK, THIRD = (f"#0a0b0{digit}" for digit in range(1, 9))
SHADES: Final = ("#0a0c01", "#0a0c02", "#0a0c03", "#0a0c04", "#0a0c05")
_COLOURS: Final = {
    FIRST: ("#3056b4", "#8fb0ff"),
    SECOND: ("#c4570a", "#f0995a"),
    INK: ("#202122", "#eaecf0"),
    QUIET: ("#54595d", "#a7adb8"),
    GRID: ("#e3e6ec", "#2f343d"),
    CARD: ("#ffffff", "#1d2026"),
    MARK: ("#6b4fa0", "#c3acf0"),
    THIRD: ("#1b7a5a", "#63c9a2"),
    SHADES[0]: ("#a9b8dc", "#4d5f8f"),
    SHADES[1]: ("#7c93cc", "#6a84c4"),
    SHADES[2]: ("#4f6fc0", "#8fb0ff"),
    SHADES[3]: ("#c4570a", "#f0995a"),
    SHADES[4]: ("#8f2d0e", "#ffc79e"),
}
_NAMES: Final = {stand_in: f"--c{index}" for index, stand_in in enumerate(_COLOURS)}


def _rules(scheme: int) -> str:
    return ";".join(f"{_NAMES[stand_in]}:{pair[scheme]}" for stand_in, pair in _COLOURS.items())


STYLE: Final = (
    f"svg{{{_rules(0)}}}@media(prefers-color-scheme:dark){{svg{{{_rules(1)}}}}}"
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}"
    "*{stroke-linejoin:round;stroke-linecap:butt}"
)
POLICY: Final = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
"""The policy of an answer with a chart."""

_LOCK: Final = threading.Lock()
"""matplotlib's settings are global."""
Drawer = Callable[[Axes], None]


def draw(title: str, description: str, drawer: Drawer, size_in: tuple[float, float] = (9.6, 3.0)) -> str:
    """Draw one chart.

    Args:
        title: Its name.
        description: What it shows, for who cannot see it.
        drawer: Draws into the axes it is given.
        size_in: Width and height in inches, of 72 units of the drawing each.

    Returns:
        An SVG document.
    """
    with _LOCK, _styled(size_in) as figure:
        drawer(figure.add_subplot())
        buffer = io.StringIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", metadata=nothing)
    return _cleaned(buffer.getvalue(), title, description)


def lines(
    axes: Axes,
    across: Sequence[datetime] | Sequence[float],
    series: Sequence[tuple[str, Sequence[float | None], str]],
) -> None:
    """Draw lines that break where nothing is known.

    Args:
        axes: Where.
        across: The places.
        series: Label, values and colour of each.
    """
    for label, values, colour in series:
        known = [float("nan") if value is None else value for value in values]
        axes.plot(across, known, color=colour, lw=1.8, marker="o", ms=3, label=label)  # type: ignore[arg-type]


def band(
    axes: Axes,
    across: Sequence[datetime] | Sequence[float],
    ends: Sequence[tuple[float, float]],
    colour: str,
) -> None:
    """Shade what lies between the ends of intervals."""
    low, high = [one[0] for one in ends], [one[1] for one in ends]
    axes.fill_between(across, low, high, color=colour, alpha=0.18, lw=0)  # type: ignore[arg-type]


def dates(axes: Axes) -> None:
    """Write the horizontal axis as dates, as short as they can be told apart."""
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)


def shares(axes: Axes) -> None:
    """Write the vertical axis as per cent from 0 to 100."""
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share * 100:g} %")


def log_shares(axes: Axes) -> None:
    """Write the vertical axis as per cent, equal ratios equally far apart."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    marks = [mark * 10.0**power for power in range(-6, 1) for mark in (1, 2, 5)]
    axes.set_yticks([mark for mark in marks if low <= mark <= high])
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share * 100:g} %")


def legend(axes: Axes, columns: int = 3) -> None:
    """Name the lines above the drawing, where no line can be."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.3, columnspacing=1.4
    )


@contextmanager
def _styled(size_in: tuple[float, float]) -> Iterator[Figure]:
    style = mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "console",
            "font.family": "sans-serif",
            "font.size": 9.5,
            "axes.edgecolor": QUIET,
            "axes.labelcolor": QUIET,
            "axes.facecolor": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.linewidth": 0.8,
            "text.color": INK,
            "xtick.color": QUIET,
            "ytick.color": QUIET,
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "legend.fontsize": 9.0,
            "text.parse_math": False,
            "timezone": "UTC",
        }
    )
    with style:
        yield Figure(figsize=size_in, layout="constrained", facecolor="none")


def _cleaned(svg: str, title: str, description: str) -> str:
    view = re.search(r'viewBox="([\d. ]+)"', svg)
    assert view is not None
    width, height = view[1].split()[2:]
    body = svg[svg.index("<svg") :]
    body = body[body.index(">") + 1 :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<defs>\s*</defs>", "", body, flags=re.DOTALL
    )
    body = re.sub(r'style="([^"]*)"', _as_attributes, body)
    for stand_in, name in _NAMES.items():
        body = body.replace(stand_in, f"var({name})")
    body = re.sub(r"\n\s*", "\n", body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{view[1]}" width="{width}" height="{height}" role="img">\n'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc><style>{STYLE}</style>{body}"
    )


def _as_attributes(match: re.Match[str]) -> str:
    """Inline styles would need a policy that allows all of them; attributes of the same names need none."""
    pairs = [rule.split(":", 1) for rule in match[1].split(";") if ":" in rule]
    attributes = []
    for name, value in ((name.strip(), value.strip()) for name, value in pairs):
        if name == "font":
            size = re.search(r"[\d.]+px", value)
            name, value = "font-size", size[0] if size else "10px"
        if name != "font-family":
            attributes.append(f'{name}="{value}"')
    return " ".join(attributes)


__all__ = [
    "CARD",
    "FIRST",
    "GRID",
    "INK",
    "MARK",
    "POLICY",
    "QUIET",
    "SECOND",
    "SHADES",
    "THIRD",
    "Axes",
    "band",
    "dates",
    "draw",
    "legend",
    "lines",
    "log_shares",
    "shares",
]
