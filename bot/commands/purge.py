"""`purge`: remove kept pictures by hand."""

import getpass
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.edges import EXIT_FAILED, ConfigOption, configured, explained, fail, out

if TYPE_CHECKING:
    from storage.kept_copies import Purge


def purge(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TITLE_OR_ITEM_ID]...",
            help="Titles (File:Name.jpg) or ids of review items; equal pictures of other uploads go too.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    expired: Annotated[bool, typer.Option("--expired", help="What is older than retention.days.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every kept picture.")] = False,
    log: Annotated[int, typer.Option(min=0, help="Show so many of the latest removals instead.")] = 0,
    by: Annotated[
        str | None, typer.Option(help="Who asks for it, for the audit log; default: your login.")
    ] = None,
) -> None:
    """Remove kept pictures from the disk at once, and write down who asked for it.

    The daemon may go on running. The exit code is 1 if a title or id is unknown.
    """
    if bool(names) + expired + everything + bool(log) != 1:
        raise typer.BadParameter("give titles or ids, or one of --expired, --all and --log")
    from bot.retention.assembly import open_purger
    from bot.settings import ROOT
    from storage import kept_copies
    from storage.engine import Database

    with explained():
        settings = configured(config)
        database = Database.open(settings.store.url, ROOT)
        try:
            database.migrate()
            if log:
                with database.read() as tx:
                    _print_log(kept_copies.purges(tx, log))
                return
            unknown: list[str] = []
            purger, asked_by = open_purger(settings, database), by or _login()
            try:
                if names:
                    with database.read() as tx:
                        found = kept_copies.find_uploads(tx, settings.wiki.id, names)
                    unknown = [name for name, ids in found.items() if not ids]
                    count = purger.requested({one for ids in found.values() for one in ids}, asked_by)
                else:
                    count = purger.everything(asked_by) if everything else purger.expired(asked_by)
                left = purger.sweep()
            except OSError as error:
                fail(EXIT_FAILED, f"retention.directory: {error}")
        finally:
            database.close()
        out.print(f"{count} kept pictures removed" + (f", and {left} files without a row" if left else ""))
        if unknown:
            fail(EXIT_FAILED, f"no upload is known by {', '.join(unknown)}")


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def _print_log(removals: "Sequence[Purge]") -> None:
    for one in removals:
        what = f"{one.reason.value} by {one.purged_by}: {one.title} {one.sha256}"
        out.print(f"{one.purged_at:%Y-%m-%d %H:%M:%S} {what}", soft_wrap=True, markup=False, highlight=False)


__all__ = ["purge"]
