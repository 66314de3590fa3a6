"""`dataset`: build a manifest from pictures, check it, divide it, report on it, or collect a new one."""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bot.commands.collect import collect
from bot.commands.edges import EXIT_FAILED, err, explained, out, read_classes

if TYPE_CHECKING:
    from classifier.datasets.building import Building
    from classifier.datasets.card import Statements
    from classifier.datasets.values import Dataset

app = typer.Typer(
    help="Build sets of labelled pictures, check them, divide them, report on them.", no_args_is_help=True
)

app.command("collect")(collect)

ManifestArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST", help="A manifest, .parquet or .csv; its sealed test set beside it is read too."
    ),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes", help="The negative and the positive label, divided by a comma.", show_default="safe,nsfw"
    ),
]
WorkersOption = Annotated[int, typer.Option(min=1, max=64, help="How many processes decode.")]


@app.command("build")
def build_dataset(
    source: Annotated[Path, typer.Argument(help="A folder of pictures, a table, or a feedback export.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The manifest, .parquet or .csv.")],
    kind: Annotated[
        Literal["auto", "folder", "table", "manifest", "feedback", "npdi"],
        typer.Option(
            help="folder: LABEL/… or SPLIT/LABEL/…; table: CSV; manifest: one of ours; feedback: moderators' "
            "verdicts; npdi: Pornography-800 or -2k."
        ),
    ] = "auto",
    level: Annotated[
        Literal["frame", "video"], typer.Option(help="Of npdi: every picture, or every video.")
    ] = "frame",
    classes: ClassesOption = None,
    media: Annotated[
        Path | None, typer.Option(help="Of a feedback export: the folder with its pictures.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="OURS=THEIRS", help="Of a table: path=file. Repeatable."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="THEIRS=OURS", help="Of a table: porn=nsfw. Repeatable."),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option("--group", help="A column that results are broken down by. Repeatable."),
    ] = None,
    duplicates: Annotated[
        Literal["near", "exact", "keep"], typer.Option(help="Which copies are left out.")
    ] = "near",
    workers: WorkersOption = 2,
    max_file_mb: Annotated[int, typer.Option(min=1, help="Larger files are left out unread.")] = 256,
) -> None:
    """Verify every picture, leave copies out, and write a manifest and a list of what was left out.

    The exit code is 1 where files were left out because they cannot be read.
    """
    from bot.preparing import shown
    from classifier.datasets import building, manifest

    options = building.SourceOptions(
        read_classes(classes),
        level,
        media,
        _pairs(columns, "--column"),
        groups or (),
        _pairs(labels, "--label"),
    )
    with explained():
        manifest.require_writable(output)
        dataset = building.read_source(source, kind, options)
        with shown(err, "building") as on_step:
            built = building.build(
                dataset,
                duplicates=duplicates,
                workers=workers,
                max_file_bytes=max_file_mb << 20,
                on_step=on_step,
            )
        building.write_removed(built.removed, building.removed_path(output))
        building.require_left(built, output)
        manifest.write(built.dataset, output)
    _print_built(built, output)
    if any(finding.severity == "error" for finding in built.findings):
        raise SystemExit(EXIT_FAILED)


@app.command("check")
def check_dataset(
    path: ManifestArgument,
    classes: ClassesOption = None,
    files: Annotated[
        Literal["unverified", "all", "none"],
        typer.Option(help="Which files to look into: all tells also whether they are still what they were."),
    ] = "unverified",
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding and line.")] = False,
    workers: WorkersOption = 2,
) -> None:
    """Look for leaks, copies, contradictions, missing files; the exit code is 1 if there are errors."""
    from bot.dataset_tables import counts_line, findings_table
    from bot.preparing import shown
    from classifier.datasets import building
    from classifier.datasets.check import exit_code

    with explained():
        dataset = _whole(path, classes)
        with shown(err, "checking") as on_step:
            _, findings = building.examine(dataset, files=files, workers=workers, on_step=on_step)
    if as_json:
        for finding in findings:
            typer.echo(json.dumps(asdict(finding), ensure_ascii=False))
    else:
        if findings:
            out.print(findings_table(findings))
        out.print(f"{len(dataset):,} pictures: {counts_line(findings)}", highlight=False)
    raise SystemExit(exit_code(findings, strict=strict))


@app.command("split")
def split_dataset(
    path: ManifestArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The manifest for training; OUT.test.… beside it gets the test set.", show_default="MANIFEST"
        ),
    ] = None,
    classes: ClassesOption = None,
    train: Annotated[float, typer.Option(min=0, max=1, help="Share for training.")] = 0.7,
    validation: Annotated[float, typer.Option(min=0, max=1, help="Share for validation.")] = 0.15,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the sealed test set.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Decides where there is a choice.")] = 0,
    stratify_by: Annotated[
        list[str] | None,
        typer.Option(help="A group whose values are spread over the splits as labels are. Repeatable."),
    ] = None,
    keep_existing: Annotated[
        bool, typer.Option("--keep-existing", help="What has a split keeps it; only the rest is divided.")
    ] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="Divide everything again although a test set was sealed.")
    ] = False,
) -> None:
    """Divide a dataset: copies and sources are never torn; the test set is sealed in a file of its own."""
    from bot.dataset_tables import splits_table
    from classifier.datasets import splitting

    target = output or path
    with explained():
        dataset = _whole(path, classes)
        splitting.require_unsealed(target, keep_existing=keep_existing, anew=anew)
        with err.status("dividing…"):
            divided = splitting.split(
                dataset,
                {"train": train, "validation": validation, "test": test},
                seed,
                stratify_by=stratify_by or (),
                keep_existing=keep_existing,
            )
        training_path, test_path = splitting.write_split(divided, target)
    out.print(splits_table(divided))
    out.print(f"for training: {training_path}", soft_wrap=True, highlight=False, markup=False)
    if test_path is not None:
        out.print(f"sealed test set: {test_path}", soft_wrap=True, highlight=False, markup=False)


@app.command("report")
def report_dataset(
    path: ManifestArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The HTML page; the data card is written beside it.", show_default="MANIFEST.report.html"
        ),
    ] = None,
    classes: ClassesOption = None,
    statements: Annotated[
        Path | None,
        typer.Option(help="A TOML file with what only people know: purpose, origin, labelling, licence …"),
    ] = None,
    count: Annotated[int, typer.Option(min=0, max=200, help="Pictures on a contact sheet.")] = 24,
    spread_over: Annotated[
        str, typer.Option(help="A group whose values get equally many pictures on the sheets.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Decides which pictures are shown.")] = 0,
    unblurred: Annotated[
        bool, typer.Option("--unblurred", help="Show pictures as they are. They may be explicit.")
    ] = False,
    files: Annotated[
        Literal["unverified", "all", "none"], typer.Option(help="Which files to look into; see check.")
    ] = "unverified",
    workers: WorkersOption = 2,
) -> None:
    """Write an HTML report with balance, findings and blurred contact sheets, and a data card in Markdown."""
    from bot.preparing import shown
    from classifier.datasets import building, card, report, sheets

    page = output or path.with_name(f"{path.stem}.report.html")
    with explained():
        said = _statements(statements)
        whole = _whole(path, classes)
        with shown(err, "report") as on_step:
            dataset, findings = building.examine(whole, files=files, workers=workers, on_step=on_step)
            shown_pictures = sheets.contact_sheets(
                dataset,
                count=count,
                seed=seed,
                spread_over=spread_over,
                blurred=not unblurred,
                workers=workers,
                progress=lambda done, total: on_step("contact sheets", done, total),
            )
        report.write(page, dataset, findings, shown_pictures)
        card_path = card.write(page.with_name(f"{path.stem}.card.md"), dataset, findings, said)
    for what, where in (("report", page), ("data card", card_path)):
        out.print(f"{what}: {where}", soft_wrap=True, highlight=False, markup=False)


def _whole(path: Path, classes: str | None) -> "Dataset":
    from classifier.datasets.splitting import read_whole
    from classifier.datasets.values import DEFAULT_CLASSES

    return read_whole(path, read_classes(classes) or DEFAULT_CLASSES)


def _pairs(given: Sequence[str] | None, option: str) -> Mapping[str, str]:
    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise typer.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs


def _statements(path: Path | None) -> "Statements | None":
    from classifier.datasets.card import Statements
    from classifier.datasets.values import DatasetError

    if path is None:
        return None
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DatasetError(f"cannot be read: {error}", path) from error
    known = [field.name for field in fields(Statements)]
    for name, value in values.items():
        if name not in known or not isinstance(value, str):
            what = "is not text" if name in known else f"is unknown; known are {', '.join(known)}"
            raise DatasetError(what, path, None, name)
    return Statements(**values)


def _print_built(built: "Building", output: Path) -> None:
    from bot.dataset_tables import findings_table, splits_table
    from classifier.datasets.building import removed_path

    worth_telling = [finding for finding in built.findings if finding.severity != "info"]
    if worth_telling:
        out.print(findings_table(worth_telling, max_rows=20))
    out.print(splits_table(built.dataset))
    counts = Counter(one.code for one in built.removed)
    why = ", ".join(f"{count:,} {code}" for code, count in counts.most_common())
    out.print(
        f"{len(built.dataset):,} of {built.given:,} pictures; left out: {why or 'none'}", highlight=False
    )
    out.print(f"manifest: {output}", soft_wrap=True, highlight=False, markup=False)
    out.print(f"left out: {removed_path(output)}", soft_wrap=True, highlight=False, markup=False)


__all__ = ["app"]
