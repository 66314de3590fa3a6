"""A whole sandbox wiki: MediaWiki, its event stream, accounts and switches, from start to stop.

Everything listens on loopback alone and lies in one folder that goes with it.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from tests.sandbox_wiki.accounts import ADMIN, DEFAULT_SPEC, UPLOADER, SiteSpec
from tests.sandbox_wiki.client import WikiClient
from tests.sandbox_wiki.errors import ApiRefused
from tests.sandbox_wiki.packages import cache_folder, provide_base
from tests.sandbox_wiki.relay import EventRelay
from tests.sandbox_wiki.server import PhpServer, free_port
from tests.sandbox_wiki.site import Site, copy_snapshot, provide_snapshot
from tests.sandbox_wiki.switches import Switches


class SandboxWiki:
    """A real MediaWiki that exists between `start` and `stop`, or inside a `with` block.

    Args:
        spec: What is on the fresh site.
        workers: PHP processes; more than one only to provoke races.
        canonical_server: What events carry as `server_url`; empty means the loopback address.
        port: Port of the web server; 0 takes a free one.
    """

    def __init__(
        self,
        spec: SiteSpec = DEFAULT_SPEC,
        *,
        workers: int = 1,
        canonical_server: str = "https://commons.wikimedia.org",
        port: int = 0,
    ) -> None:
        self.spec = spec
        self.relay = EventRelay()
        self._workers = workers
        self._canonical_server = canonical_server
        self._wanted_port = port
        self._running = ExitStack()
        self._clients: dict[str, WikiClient] = {}
        self._switches = Switches()
        self._site: Site | None = None

    def start(self) -> None:
        """Provide the packages and a fresh site, and wait until it answers.

        Raises:
            SandboxUnavailable: This machine cannot provide it.
            SandboxError: It broke.
        """
        with ExitStack() as undo:
            cache = cache_folder()
            base = provide_base(cache)
            snapshot = provide_snapshot(base, self.spec, cache)
            parent = Path(tempfile.mkdtemp(prefix="sandbox-wiki-"))
            undo.callback(shutil.rmtree, parent, ignore_errors=True)
            copy_snapshot(snapshot, parent / "site")
            port = self._wanted_port or free_port()
            self._site = Site(parent / "site", base, port, self.relay.changes_port, self._canonical_server)
            self.relay.start()
            undo.callback(self.relay.stop)
            server = PhpServer(self._site, self._workers)
            server.start()
            undo.callback(server.stop)
            undo.callback(self._log_out)
            self._running = undo.pop_all()

    def stop(self) -> None:
        """End it and remove its folder. May be called twice."""
        self._running.close()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def site(self) -> Site:
        """The running site."""
        if self._site is None:
            raise RuntimeError("the sandbox wiki has not been started")
        return self._site

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"http://127.0.0.1:{self.site.port}"

    @property
    def api_url(self) -> str:
        """Address of `api.php`."""
        return f"{self.base_url}/w/api.php"

    @property
    def stream_url(self) -> str:
        """Address of the event stream."""
        return self.relay.url

    @property
    def media_host(self) -> str:
        """`host:port` that serves originals and thumbnails."""
        return urlsplit(self.base_url).netloc

    def page_url(self, title: str) -> str:
        """Address of a page.

        Args:
            title: Full title.
        """
        return f"{self.base_url}/wiki/{quote(title.replace(' ', '_'), safe='/:')}"

    def client(self, user: str | None) -> WikiClient:
        """A session of that account, logged in once and kept.

        Args:
            user: Account name; `Name@app_id` uses its bot password; None is somebody logged out.
        """
        if user is None:
            return WikiClient(self.api_url)
        if user not in self._clients:
            name, _, app_id = user.partition("@")
            account = self.spec.account(name)
            bots = {bot.app_id: bot.password for bot in account.bot_passwords}
            password = bots[app_id] if app_id else account.password
            self._clients[user] = WikiClient(self.api_url, user, password)
        return self._clients[user]

    def _log_out(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def upload(
        self, path: Path, title: str, user: str = UPLOADER.name, text: str = "", comment: str = "uploaded"
    ) -> dict[str, Any]:
        """Upload a file or a new version of it; see `WikiClient.upload`."""
        return self.client(user).upload(path, title, text, comment)

    def edit(self, user: str | None, title: str, text: str, summary: str = "") -> dict[str, Any]:
        """Replace a page's text; see `WikiClient.edit`."""
        return self.client(user).edit(title, text, summary)

    def delete(self, title: str, user: str = ADMIN.name) -> None:
        """Delete a page, a file with all its versions."""
        self.client(user).act(action="delete", title=title, reason="sandbox")

    def restore(self, title: str, user: str = ADMIN.name) -> None:
        """Restore everything deleted under a title."""
        self.client(user).act(action="undelete", title=title, reason="sandbox")

    def move(self, title: str, target: str, user: str = ADMIN.name, *, redirect: bool = True) -> None:
        """Move a page or a file, by default with a redirect left behind."""
        kept: dict[str, int] = {} if redirect else {"noredirect": 1}
        self.client(user).act(action="move", reason="sandbox", **{"from": title}, to=target, **kept)

    def revert(self, title: str, archive_name: str, user: str = ADMIN.name) -> None:
        """Make an old version of a file its newest one again.

        Args:
            title: Full title.
            archive_name: The old version's `archivename`.
            user: Who does it.

        Raises:
            ApiRefused: The wiki did not do it: names of old versions count seconds, so a second version
                within one second collides.
        """
        answer = self.client(user).act(
            action="filerevert", filename=title.removeprefix("File:"), archivename=archive_name
        )["filerevert"]
        if answer["result"] != "Success":
            raise ApiRefused(str(answer["result"]), str(answer))

    def hide(self, kind: str, target: str, ids: str, hide: str, user: str = ADMIN.name) -> None:
        """Hide a part of a revision, of an old version of a file, or of a log entry.

        Args:
            kind: `revision`, `oldimage` or `logging`.
            target: Full title; empty for log entries.
            ids: Revision id, the old version's timestamp, or log id.
            hide: `content`, `user` or `comment`, several divided by `|`.
            user: Who does it.
        """
        self.client(user).act(
            action="revisiondelete", type=kind, target=target, ids=ids, hide=hide, reason="sandbox"
        )

    def block(self, user: str) -> None:
        """Block an account, for ever."""
        self.client(ADMIN.name).act(action="block", user=user, expiry="never", reason="sandbox", reblock=1)

    def unblock(self, user: str) -> None:
        """Lift a block."""
        self.client(ADMIN.name).act(action="unblock", user=user, reason="sandbox")

    def set_groups(self, user: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Change an account's groups.

        Args:
            user: Account name.
            add: Groups it gets.
            remove: Groups it loses.
        """
        admin = self.client(ADMIN.name)
        token = admin.query(meta="tokens", type="userrights")["tokens"]["userrightstoken"]
        admin.call(
            action="userrights", user=user, add="|".join(add), remove="|".join(remove), token=str(token)
        )

    @contextmanager
    def switched(self, **changes: Any) -> Iterator[None]:
        """Inside the block the wiki misbehaves as told, afterwards it is as before.

        Args:
            changes: Attributes of `Switches`.
        """
        before = self._switches
        self.switch(dataclasses.replace(before, **changes))
        try:
            yield
        finally:
            self.switch(before)

    def switch(self, switches: Switches) -> None:
        """Set all switches, from the next request on.

        Args:
            switches: Their new state.
        """
        self._switches = switches
        switches.save(self.site.folder)

    def run_jobs(self) -> str:
        """Run what MediaWiki put off, such as category changes, to the end.

        Returns:
            A line for each start and end of a job; some jobs fail rightly, because their page is gone.
        """
        # MediaWiki goes on writing and queueing after its answer; the one worker answers again after that.
        self.client(None).query(meta="siteinfo")
        return self.maintenance("runJobs.php")

    def maintenance(self, script: str, *arguments: str) -> str:
        """Run a maintenance script of MediaWiki.

        Args:
            script: File name in MediaWiki's `maintenance` folder.
            arguments: Its arguments.

        Returns:
            What it printed.

        Raises:
            SandboxError: It failed.
        """
        return self.site.run(self.site.base.code / "maintenance" / script, *arguments)
