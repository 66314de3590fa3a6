"""Does the feedback loop tell the truth? Ten million uploads whose labels are known, and 100 reviews a day.

    python -m benchmarks.sampling [--repetitions 500] [--plot FILE.svg]
    python -m benchmarks.sampling --worlds asked|development [--repetitions 2000]

The bot's own plans, draws, budget and estimates (`storage.allocation`, `storage.sampling`,
`storage.weighted_estimates`) run for 60 days, many times over, in worlds whose truth is known
(`sampling_worlds`). Then we look how often the 95 % intervals hold it, in every world; what reviewers and
models that are not as they should be do to that; and how many labels other designs need for the same
interval. With other worlds than the fresh ones only the coverage is looked at. One line of JSON ends the
output. It needs no network, no model, and some ten minutes.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.sampling_baselines import compare
from benchmarks.sampling_coverage import ASKED, Told, counted, scenarios, tell
from benchmarks.sampling_days import BUDGET
from benchmarks.sampling_plot import draw_plot
from benchmarks.sampling_worlds import DAYS, MEASURES, Story, asked, development, fresh

WORLDS = {"fresh": fresh, "asked": asked, "development": development}
PROPOSALS = 20
DESIGN_WORLDS, DESIGN_REPETITIONS = 3, 40


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print tables and a line of JSON, and draw the plot.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--worlds", choices=tuple(WORLDS), default="fresh")
    parser.add_argument("--plot", type=Path)
    wanted = parser.parse_args(arguments)
    stories = WORLDS[wanted.worlds]()
    worlds: dict[str, Told] = {}
    for story in stories:
        worlds[story.name] = tell(story, wanted.repetitions)
        print_rows({story.name: worlds[story.name]}, ("precision", "recall"))
    print(f"inside {ASKED[0]:.0%} to {ASKED[1]:.0%}: {counted(worlds)}")
    figures: dict[str, Any] = {
        "days": DAYS,
        "budget": BUDGET,
        "repetitions": wanted.repetitions,
        wanted.worlds: {name: asdict(one) for name, one in worlds.items()},
        "inside": counted(worlds),
    }
    if wanted.worlds == "fresh":
        told = scenarios(wanted.repetitions, PROPOSALS)
        print_rows(told, MEASURES)
        figures["scenarios"] = {name: asdict(one) for name, one in told.items()}
        figures["designs"] = _designs(stories[:DESIGN_WORLDS], worlds)
    print(json.dumps({"benchmark": "sampling", "figures": figures}))
    if wanted.plot is not None and wanted.worlds == "fresh":
        draw_plot(figures, wanted.plot)


def _designs(stories: Sequence[Story], worlds: Mapping[str, Told]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for story in stories:
        ours = worlds[story.name]
        width = ours.measures["recall"]["width"]
        found = compare(story.whole, ours.labels, width, DESIGN_REPETITIONS)
        table[story.name] = {"labels": ours.labels, "width": width, "designs": found}
        print(f"{story.name}: {ours.labels:.0f} labels for an interval of the recall {width:.4f} wide")
        for name, design in found.items():
            print(f"  {name:60}{design['needed']:10.0f}  saved {design['saved']:6.1%}")
    return table


def print_rows(told: Mapping[str, Told], measures: Sequence[str]) -> None:
    """Print how the intervals did.

    Args:
        told: By name.
        measures: Which to print.
    """
    for name, one in told.items():
        print(
            f"{name} ({one.about}; {one.labels:.0f} labels, at most {one.most_a_day} a day, says that it "
            f"cannot: {one.says_it_cannot:.0%})"
        )
        for measure in measures:
            row = one.measures[measure]
            print(
                f"  {measure:>10} truth {row['truth']:.4f}  coverage {row['coverage']:6.1%} "
                f"({row['coverage_low']:.1%} to {row['coverage_high']:.1%}; truth below {row['below']:.1%}, "
                f"above {row['above']:.1%})  bias {row['bias']:+.4f} ± {row['bias_sd']:.4f}  "
                f"width {row['width']:.4f}  unknown {row['unknown']:.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
