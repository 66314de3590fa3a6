"""`draws`: what uploads drew for the review, replayed from the key."""

from typing import Annotated

import typer

from bot.commands.edges import EXIT_FAILED, ConfigOption, configured, explained, fail, out


def draws(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="TITLE_OR_ITEM_ID...",
            help="Titles (File:Name.jpg) or ids of review items.",
            show_default=False,
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Show why uploads were or were not put up for review, and whether that follows from the secret key.

    The exit code is 1 if a name is unknown, was never drawn for, or its draw does not follow from the key.
    """
    from bot.draw_replay import replay, table
    from bot.sampling import load_key
    from bot.settings import ROOT
    from storage import draw_audit, kept_copies
    from storage.engine import Database

    with explained():
        settings = configured(config)
        key = load_key(settings.sampling.key_file)
        database = Database.open(settings.store.url, ROOT)
        try:
            database.migrate()
            with database.read() as tx:
                found = kept_copies.find_uploads(tx, settings.wiki.id, names)
                records = {
                    name: [record for one in sorted(ids) if (record := draw_audit.read(tx, one))]
                    for name, ids in found.items()
                }
        finally:
            database.close()
        missing = [name for name in names if not records.get(name)]
        replayed = [replay(record, key) for each in records.values() for record in each]
        for one in replayed:
            out.print(table(one), "", highlight=False)
        if missing:
            fail(EXIT_FAILED, f"never drawn for: {', '.join(missing)}")
        if not all(one.holds for one in replayed):
            fail(EXIT_FAILED, "a draw does not follow from the key in sampling.key_file (see above)")


__all__ = ["draws"]
