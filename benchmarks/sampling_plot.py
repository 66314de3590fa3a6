"""The plot of the simulated reviews: coverage with its own doubt, and widths over labels by design."""

from pathlib import Path
from typing import Any

_PRECISION, _RECALL, _FAINT = "#0072b2", "#d55e00", "#6b7785"
# Okabe and Ito's colours, which differ for every kind of eyes.
_DESIGNS = ("#000000", "#999999", "#cc79a7", "#56b4e9", "#009e73", "#e69f00")


def draw_plot(figures: dict[str, Any], path: Path) -> None:
    """Draw coverage by world and scenario, and the interval's width over labels.

    Args:
        figures: As printed by `benchmarks.sampling`.
        path: The SVG file.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "sampling"
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 8), width_ratios=(3, 2), layout="constrained")
    _coverage(left, figures)
    _widths(right, figures)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _coverage(axes: Any, figures: dict[str, Any]) -> None:
    rows = {**figures["fresh"], **figures["scenarios"]}
    # What comes with a reservation each time is no promise, and off the scale.
    rows = {name: told["measures"] for name, told in rows.items() if told["says_it_cannot"] < 1}
    axes.axvspan(93, 97, color="#eef7f0")
    axes.axvline(95, color="#3d8b5a", linewidth=1)
    for measure, mark, colour, shift in (
        ("precision", "o", _PRECISION, -0.15),
        ("recall", "D", _RECALL, 0.15),
    ):
        found = [told[measure] for told in rows.values()]
        middle = [100 * row["coverage"] for row in found]
        ends = [
            [100 * (row["coverage"] - row["coverage_low"]) for row in found],
            [100 * (row["coverage_high"] - row["coverage"]) for row in found],
        ]
        places = [index + shift for index in range(len(rows))]
        axes.errorbar(middle, places, xerr=ends, fmt=mark, color=colour, label=measure, markersize=5, lw=1)
    names = [f"fresh world: {name}" if name in figures["fresh"] else name for name in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xlim(86, 100)
    axes.set_xlabel("95 % intervals that hold the truth, in %; bars: what chance makes of that share")
    axes.set_title(f"{figures['repetitions']} times {figures['days']} days", loc="left")
    axes.legend(loc="lower left", frameon=False)


def _widths(axes: Any, figures: dict[str, Any]) -> None:
    first = next(iter(figures["designs"].values()))
    for (name, found), colour in zip(first["designs"].items(), _DESIGNS, strict=True):
        axes.loglog(found["labels"], found["widths"], color=colour, label=name)
    axes.loglog(first["labels"], first["width"], "D", color=_RECALL, label="the bot's own", markersize=8)
    ticks = [1000, 3000, 10_000, 30_000, 100_000]
    axes.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axes.set_yticks([0.05, 0.1, 0.2, 0.3, 0.5], ["0.05", "0.1", "0.2", "0.3", "0.5"])
    axes.minorticks_off()
    axes.set_xlabel("labels")
    axes.set_ylabel("width of the recall's interval")
    axes.set_title(f"labels for the same interval: {next(iter(figures['designs']))}", loc="left")
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.45, -0.09))


__all__ = ["draw_plot"]
