"""`tokens`: who may ask the prediction API and look at the console."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.edges import EXIT_FAILED, ConfigOption, configured, err, explained, fail, out

if TYPE_CHECKING:
    from rich.table import Table

    from storage.api_tokens import ApiToken
    from storage.engine import Database

MAX_ACCOUNT_BYTES = 255
"""MediaWiki's limit of a user name."""
_NOT_IN_ACCOUNTS = frozenset("#<>[]|{}/@:=")
_SCOPES = ("classify", "console", "review")

app = typer.Typer(
    help="Give out, list and revoke the tokens of the prediction API and the console.",
    no_args_is_help=True,
)


@app.command("add")
def add_token(
    account: Annotated[str, typer.Argument(help="Wiki user name; the author of verdicts in the console.")],
    scope: Annotated[
        list[str],
        typer.Option(
            metavar="|".join(_SCOPES),
            help="classify: ask for scores; console: look at the console; review: give verdicts in it. "
            "Once for each.",
        ),
    ],
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    per_minute: Annotated[
        int | None, typer.Option(min=1, help="Files a minute at most, for each worker process.")
    ] = None,
    per_day: Annotated[int | None, typer.Option(min=1, help="Files a day of UTC at most.")] = None,
    expires: Annotated[float | None, typer.Option(min=0.001, max=36500, help="Days it is good for.")] = None,
    config: ConfigOption = None,
) -> None:
    """Make a token and print its secret, which cannot be shown again.

    The secret alone goes to standard output.
    """
    from storage import api_tokens

    name = _account(account)
    unknown = sorted(set(scope) - set(_SCOPES))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(_SCOPES)}", param_hint="--scope")
    now = datetime.now(UTC)
    with _database(config) as database, database.transaction() as tx:
        issued = api_tokens.add(
            tx,
            account=name,
            scopes={api_tokens.Scope(one) for one in scope},
            note=note,
            now=now,
            expires_at=None if expires is None else now + timedelta(days=expires),
            per_minute=per_minute,
            per_day=per_day,
        )
    err.print(
        f"token {issued.token.id} of {name}; keep the secret below, it is not stored and not shown again",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    typer.echo(issued.secret)


@app.command("list")
def list_tokens(config: ConfigOption = None) -> None:
    """List the tokens, what they are good for, and what they used today."""
    from storage import api_tokens

    now = datetime.now(UTC)
    with _database(config) as database, database.read() as tx:
        tokens, used = api_tokens.listed(tx), api_tokens.usage(tx, now.date())
    if tokens:
        out.print(_table(tokens, used, now))
    else:
        out.print("there are no tokens; `python -m bot tokens add` makes one")


@app.command("revoke")
def revoke_token(
    token_id: Annotated[int, typer.Argument(metavar="ID", help="As `tokens list` shows it.")],
    config: ConfigOption = None,
) -> None:
    """End a token for good; a running service refuses it within seconds."""
    from storage import api_tokens

    with _database(config) as database, database.transaction() as tx:
        known = api_tokens.revoke(tx, token_id, datetime.now(UTC))
    if not known:
        fail(EXIT_FAILED, f"there is no token {token_id}; `python -m bot tokens list` shows them")
    out.print(f"token {token_id} is revoked", highlight=False)


@contextmanager
def _database(config: "ConfigOption") -> Iterator["Database"]:
    from bot.settings import ROOT
    from storage.engine import Database

    with explained():
        database = Database.open(configured(config).store.url, ROOT)
        try:
            database.migrate()
            yield database
        finally:
            database.close()


def _account(text: str) -> str:
    from bot.wiki_answers import canonical

    name = canonical(text)
    if (
        not name
        or not name.isprintable()
        or _NOT_IN_ACCOUNTS & set(name)
        or len(name.encode("utf-8", "surrogatepass")) > MAX_ACCOUNT_BYTES
    ):
        raise typer.BadParameter(f"{text!r} cannot be a wiki user name", param_hint="ACCOUNT")
    return name


def _table(tokens: "list[ApiToken]", used: Mapping[int, int], now: datetime) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    names = ("id", "account", "scopes", "state", "a minute", "used today", "last used (UTC)", "note")
    table = Table(*names, box=None)
    for one in tokens:
        quota = "" if one.per_day is None else f" of {one.per_day}"
        table.add_row(
            str(one.id),
            escape(one.account),
            " ".join(sorted(one.scopes)),
            _state(one, now),
            "" if one.per_minute is None else str(one.per_minute),
            f"{used.get(one.id, 0)}{quota}",
            "never" if one.last_used_at is None else f"{one.last_used_at:%Y-%m-%d %H:%M}",
            escape(one.note),
        )
    return table


def _state(token: "ApiToken", now: datetime) -> str:
    if token.revoked_at is not None:
        return f"revoked {token.revoked_at:%Y-%m-%d}"
    if token.expires_at is None:
        return "valid"
    return f"{'until' if token.is_valid(now) else 'expired'} {token.expires_at:%Y-%m-%d}"


__all__ = ["app"]
