"""`python -m tests.sandbox_wiki`: a sandbox wiki for a person, until Ctrl-C."""

import argparse
import signal
import sys
import threading

from rich.console import Console
from rich.table import Table

from tests.sandbox_wiki.errors import SandboxError
from tests.sandbox_wiki.wiki import SandboxWiki


def _addresses(wiki: SandboxWiki) -> Table:
    table = Table(title="Sandbox wiki", show_header=False, title_justify="left")
    table.add_row("Wiki", wiki.page_url("Special:RecentChanges"))
    table.add_row("New files", wiki.page_url("Special:NewFiles"))
    table.add_row("API", wiki.api_url)
    table.add_row("Event stream", wiki.stream_url)
    table.add_row("Folder", str(wiki.site.folder))
    return table


def _logins(wiki: SandboxWiki) -> Table:
    table = Table(title="Logins", title_justify="left")
    for heading in ("User name", "Password", "Groups"):
        table.add_column(heading, overflow="fold")
    for account in wiki.spec.accounts:
        table.add_row(account.name, account.password, ", ".join(account.groups) or "–")
        for bot in account.bot_passwords:
            table.add_row(f"{account.name}@{bot.app_id}", bot.password, "bot password, for the API only")
    return table


def main() -> int:
    """Run until a signal.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox_wiki", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of the wiki (default: a free one)")
    parser.add_argument("--workers", type=int, default=1, help="PHP processes (default: 1)")
    arguments = parser.parse_args()
    console = Console()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with console.status("Starting MediaWiki; the first time takes half a minute …"):
            wiki = SandboxWiki(port=arguments.port, workers=arguments.workers)
            wiki.start()
    except SandboxError as error:
        console.print(f"[red]The sandbox wiki cannot start:[/red] {error}", highlight=False)
        return 1
    try:
        console.print(_addresses(wiki), _logins(wiki), "Ctrl-C ends it and removes everything.")
        ended.wait()
    finally:
        wiki.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
