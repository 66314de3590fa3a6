"""`python -m tests.sandbox_wiki`: a sandbox wiki for a person, until Ctrl-C; `--with-bot` adds the bot."""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from bot.errors import BotError
from classifier.errors import ClassifierError
from storage.errors import StoreError
from tests.sandbox_wiki.accounts import REVIEW_BOT, REVIEWER
from tests.sandbox_wiki.errors import SandboxError
from tests.sandbox_wiki.wiki import SandboxWiki

if TYPE_CHECKING:
    from tests.sandbox_wiki.showcase import Progress, Showcase

_INTERRUPTED = 130
_ALIVE_CHECK_S = 1.0


def _addresses(wiki: SandboxWiki) -> Table:
    table = _plain_table("Sandbox wiki")
    table.add_row("Recent changes", wiki.page_url("Special:RecentChanges"))
    table.add_row("New files", wiki.page_url("Special:NewFiles"))
    table.add_row("API", wiki.api_url)
    table.add_row("Event stream", wiki.stream_url)
    table.add_row("Folder", str(wiki.site.folder))
    return table


def _logins(wiki: SandboxWiki) -> Table:
    table = Table(title="Logins", title_justify="left", box=None, header_style="bold")
    for heading, may_wrap in (("User name", False), ("Password", False), ("Groups", True)):
        table.add_column(heading, no_wrap=not may_wrap)
    for account in wiki.spec.accounts:
        table.add_row(account.name, account.password, ", ".join(account.groups) or "–")
        for bot in account.bot_passwords:
            table.add_row(f"{account.name}@{bot.app_id}", bot.password, "bot password (API only)")
    return table


def _plain_table(title: str) -> Table:
    table = Table(title=title, show_header=False, title_justify="left", box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def _what_to_look_at(wiki: SandboxWiki, showcase: "Showcase") -> Table:
    root = f"User:{REVIEW_BOT.name}/Review"
    table = _plain_table("The bot's report")
    table.add_row("Overview", wiki.page_url(root))
    for title in showcase.report_pages():
        table.add_row("Report page", wiki.page_url(title))
    table.add_row("Guide", wiki.page_url(f"{root}/Guide"))
    table.add_row("Stop page", wiki.page_url(f"{root}/Run"))
    table.add_row("Settings", wiki.page_url(f"{root}/Config.json"))
    table.add_row("Log in", wiki.page_url("Special:UserLogin"))
    table.add_row("", f"as {REVIEWER.name}, whose verdicts count and who has the user script")
    table.add_row("Log", str(showcase.log))
    table.add_row("Metrics", f"{showcase.monitoring_url}/metrics")
    table.add_row("Status", f"python -m bot status --config {showcase.config}")
    return table


@contextmanager
def _bars(console: Console) -> Iterator[Bars]:
    columns = (SpinnerColumn(), TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn())
    remark = TextColumn("[dim]{task.fields[remark]}")
    with Bars(*columns, TimeElapsedColumn(), remark, console=console) as bars:
        yield bars


def _start_bot(console: Console, wiki: SandboxWiki, until_end: ExitStack) -> "Showcase":
    """Set the bot up, upload the samples, and wait until they are listed."""
    # Imported here: a wiki without the bot needs no model and no database.
    from tests.sandbox_wiki.showcase import prepare, showcase_on

    with _bars(console) as bars:
        files = bars.add_task("making the sample files", total=None, remark="fetching the model")
        samples = prepare(
            lambda done, total, name: bars.update(files, completed=done, total=total, remark=name)
        )
        bars.update(files, remark="")
        bot = bars.add_task("starting the bot", total=2, remark="python -m bot setup-wiki --yes")
        showcase = until_end.enter_context(showcase_on(wiki))
        showcase.set_up()
        bars.update(bot, completed=1, remark="python -m bot run")
        showcase.start()
        bars.update(bot, completed=2, remark="")
        uploads = bars.add_task("uploading", total=len(samples), remark="")
        for specimen, sample in samples:
            bars.update(uploads, remark=sample.title)
            showcase.upload(specimen, sample)
            bars.advance(uploads)
        bars.update(uploads, remark="")
        scored = bars.add_task("scored by the bot", total=len(samples), remark="")
        listed = bars.add_task("on the report page", total=None, remark="at most one edit in 10 s")

        def show(now: "Progress") -> None:
            bars.update(scored, completed=now.scored, total=now.uploads)
            bars.update(listed, completed=now.listed, total=now.to_list)

        showcase.wait(show)
        bars.update(listed, remark="")
    return showcase


def _stay(console: Console, wiki: SandboxWiki, *, with_bot: bool, until_end: ExitStack) -> None:
    """Start what is wanted, say what there is, and wait for Ctrl-C."""
    showcase = _start_bot(console, wiki, until_end) if with_bot else None
    console.print("", _addresses(wiki), "", _logins(wiki), "", highlight=False, soft_wrap=True)
    if showcase is not None:
        console.print(_what_to_look_at(wiki, showcase), "", highlight=False, soft_wrap=True)
    console.print("Ctrl-C ends it and removes everything.")
    while True:
        time.sleep(_ALIVE_CHECK_S)
        if showcase is not None:
            showcase.require_running()


def main() -> int:
    """Run until a signal.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox_wiki", description=__doc__)
    parser.add_argument("--with-bot", action="store_true", help="set the bot up and run it, with uploads")
    parser.add_argument("--port", type=int, default=0, help="port of the wiki (default: a free one)")
    parser.add_argument("--workers", type=int, default=1, help="PHP processes (default: 1)")
    arguments = parser.parse_args()
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wiki = SandboxWiki(port=arguments.port, workers=arguments.workers)
    started = False
    try:
        with ExitStack() as until_end:
            with console.status("Starting MediaWiki; the first time takes half a minute …"):
                until_end.enter_context(wiki)
            started = True
            try:
                _stay(console, wiki, with_bot=arguments.with_bot, until_end=until_end)
            finally:
                _end_undisturbed(console)
    except KeyboardInterrupt:
        return 0 if started else _INTERRUPTED
    except (SandboxError, BotError, ClassifierError, StoreError) as error:
        what = "The sandbox wiki has ended" if started else "The sandbox wiki cannot start"
        console.print(f"[red]{what}:[/red]", end=" ")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def _end_undisturbed(console: Console) -> None:
    """A second Ctrl-C must not leave half of it behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    console.print("ending …")


if __name__ == "__main__":
    sys.exit(main())
