"""`export`: what moderators decided, with what the model said, as datasets for other programs."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bot.commands.edges import ConfigOption, as_utc, configured, err, explained, out

if TYPE_CHECKING:
    from bot.export.run import Exported

FORMATS = ("parquet", "csv", "imagefolder", "torchvision", "webdataset", "label-studio", "all")
LABELS = ("nsfw", "safe", "disputed", "unsure", "open")
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        help="The secret behind the pseudonyms; made where it is missing.", show_default="var/export-key"
    ),
]


def export(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The export appears in it as 0001, the next one as 0002.")
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help=f"Beside feedback.jsonl, which always is: {', '.join(FORMATS)}. Repeatable.",
            show_default="parquet",
        ),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Put up for review at this time (UTC) or later.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="Put up for review before this time (UTC).")] = None,
    reason: Annotated[
        Literal["flagged", "audit", "uncertain", "near_duplicate"] | None,
        typer.Option(help="Why it was chosen for review."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label", help=f"What people decided: {', '.join(LABELS)}. Repeatable.", show_default="all"
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model whose score counts, by its name.")] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="So many of them, representative of all uploads, with weights.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which are in the sample.")] = 0,
    only_new: Annotated[
        bool, typer.Option("--new", help="Only what is new or changed since the last export in DIR.")
    ] = False,
    fetch: Annotated[
        bool,
        typer.Option("--fetch", help="Ask the wiki for licences, and again for pictures that were not kept."),
    ] = False,
    names: Annotated[bool, typer.Option("--names", help="Name the moderators, with their comments.")] = False,
    key_file: KeyFileOption = None,
    config: ConfigOption = None,
) -> None:
    """Export reviewed uploads with true and predicted labels, weights and pictures; killed, it is run again.

    What the wiki suppressed is never exported; what has no picture is listed in missing.csv.
    """
    from bot.export import assembly
    from bot.export.formats import Format
    from bot.export.run import Request
    from bot.preparing import shown
    from storage.export import ExportFilter
    from storage.values import ReviewReason

    if only_new and sample is not None:
        raise typer.BadParameter("what is new is no representative part", param_hint="--new and --sample")
    names_given = _known(formats or ["parquet"], FORMATS, "--format")
    told = {
        "--since": since,
        "--until": until,
        "--reason": reason,
        "--label": ",".join(labels or ()),
        "--model": model,
        "--sample": sample,
        "--seed": seed if sample is not None else None,
        "--new": "" if only_new else None,
    }
    request = Request(
        wanted=ExportFilter(as_utc(since), as_utc(until), ReviewReason(reason) if reason else None, model),
        labels=frozenset(_known(labels or [], LABELS, "--label")),
        formats=tuple(Format) if "all" in names_given else tuple(Format(name) for name in names_given),
        sample=sample,
        seed=seed,
        only_new=only_new,
        described=tuple(
            (name, str(value))
            for name, value in told.items()
            if value is not None and (value or name == "--new")
        ),
    )
    with explained():
        settings = configured(config)
        with shown(err, "export") as on_step:
            exported = assembly.run(
                settings, directory, request, fetch=fetch, names=names, key_file=key_file, on_step=on_step
            )
    _print(exported)


def _known(given: list[str], known: Sequence[str], option: str) -> list[str]:
    """Typer cannot say this of a list."""
    for value in given:
        if value not in known:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(known)}", param_hint=option)
    return given


def _print(exported: "Exported") -> None:
    if exported.folder is None:
        out.print("nothing is new")
        return
    counts = ", ".join(f"{count:,} {label}" for label, count in sorted(exported.tally.by["label"].items()))
    out.print(f"{exported.tally.rows:,} items: {counts or 'none'}", highlight=False)
    out.print(f"effective sample size {exported.tally.effective():,.1f}", highlight=False)
    if exported.missing:
        why = ", ".join(f"{count:,} {code}" for code, count in exported.missing.most_common())
        out.print(f"without a picture: {why}; see missing.csv", highlight=False)
    if exported.unchanged:
        out.print(f"{exported.unchanged:,} unchanged", highlight=False)
    if exported.withdrawn:
        err.print(
            f"{len(exported.withdrawn):,} items of earlier exports were suppressed since: withdrawn.csv "
            "names them; delete them wherever they are",
            style="yellow",
            highlight=False,
        )
    out.print(f"export: {exported.folder}", soft_wrap=True, highlight=False, markup=False)


__all__ = ["KeyFileOption", "export"]
