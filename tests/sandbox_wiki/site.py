"""A fresh site in seconds: MediaWiki's installer runs once into a snapshot, and every session copies it.

The snapshot lies beside the unpacked packages, under a digest of what went into it; a copy differs from it in
nothing but its place, because every path and port reaches MediaWiki through the environment.
"""

import dataclasses
import hashlib
import json
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.sandbox_wiki.accounts import SiteSpec
from tests.sandbox_wiki.errors import SandboxError
from tests.sandbox_wiki.packages import Base, locked

PHP_SOURCES = Path(__file__).parent / "php"
DATABASE_NAME = "commonswiki"
_SCRIPT_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Site:
    """One wiki's folder: databases, files, caches, logs.

    Attributes:
        folder: Everything that this wiki writes lies below it.
        base: MediaWiki and PHP, shared and never written to.
        port: Port of the web server.
        changes_port: UDP port that is told of every change.
        canonical_server: What events carry as `server_url`; empty means the loopback address.
    """

    folder: Path
    base: Base
    port: int = 0
    changes_port: int = 0
    canonical_server: str = ""

    @property
    def environment(self) -> Mapping[str, str]:
        """The whole environment of this site's PHP processes."""
        return {
            **self.base.environment,
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.folder / "tmp"),
            "MW_CONFIG_FILE": str(PHP_SOURCES / "LocalSettings.php"),
            "MW_INSTALL_PATH": str(self.base.code),
            "SANDBOX_PROGRAMS": str(self.base.folder / "bin"),
            "SANDBOX_SITE": str(self.folder),
            "SANDBOX_PORT": str(self.port),
            "SANDBOX_CHANGES_PORT": str(self.changes_port),
            "SANDBOX_CANONICAL_SERVER": self.canonical_server,
        }

    def run(self, script: Path, *arguments: str, configured: bool = True) -> str:
        """Run a PHP script to its end.

        Args:
            script: The script.
            arguments: Its arguments.
            configured: Whether MediaWiki reads our settings; its installer must not.

        Returns:
            What it printed.

        Raises:
            SandboxError: It failed; the message holds its last lines.
        """
        environment = {k: v for k, v in self.environment.items() if configured or k != "MW_CONFIG_FILE"}
        command = [*self.base.php, str(script), *arguments]
        try:
            done = subprocess.run(
                command, env=environment, text=True, capture_output=True, timeout=_SCRIPT_TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise SandboxError(f"{script.name} took over {_SCRIPT_TIMEOUT_S} s") from error
        if done.returncode:
            raise SandboxError(f"{script.name} failed: {(done.stdout + done.stderr)[-1000:]}")
        return done.stdout


def provide_snapshot(base: Base, spec: SiteSpec, cache: Path) -> Path:
    """The folder of an installed site to copy from, made first where the cache does not hold it.

    Args:
        base: MediaWiki and PHP.
        spec: What is on the site.
        cache: See `packages.cache_folder`.

    Raises:
        SandboxError: MediaWiki's installer or our set-up failed.
    """
    described = json.dumps(dataclasses.asdict(spec), sort_keys=True)
    digest = hashlib.sha256(f"{base.folder.name} {described}".encode())
    for source in (*sorted(PHP_SOURCES.glob("*.php")), Path(__file__)):
        digest.update(source.read_bytes())
    with locked(cache):
        snapshot = cache / f"{base.folder.name}-site-{digest.hexdigest()[:16]}"
        if not snapshot.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix=".building-") as name:
                building = Path(name) / "site"
                _install(Site(building, base), spec, described)
                building.rename(snapshot)
        snapshot.touch()
    return snapshot


def copy_snapshot(snapshot: Path, folder: Path) -> None:
    """Make a fresh site.

    Args:
        snapshot: Made by `provide_snapshot`.
        folder: Must not exist yet.
    """
    shutil.copytree(snapshot, folder, symlinks=True)


def _install(site: Site, spec: SiteSpec, described: str) -> None:
    for name in ("data", "images", "cache", "tmp", "www/wikipedia"):
        (site.folder / name).mkdir(parents=True)
    (site.folder / "www/w").symlink_to(site.base.code)
    (site.folder / "www/wikipedia/commons").symlink_to("../../images")
    founder = spec.accounts[0]
    site.run(
        site.base.code / "maintenance/install.php",
        *("--dbtype", "sqlite", "--dbpath", str(site.folder / "data"), "--dbname", DATABASE_NAME),
        *("--server", "http://127.0.0.1", "--scriptpath", "/w", "--lang", "en"),
        *("--confpath", str(site.folder / "tmp"), "--skins", "Vector", "--extensions", "AbuseFilter"),
        *("--pass", founder.password, "Wikimedia Commons", founder.name),
        configured=False,
    )
    (site.folder / "tmp/LocalSettings.php").unlink()
    for database in (site.folder / "data").glob("*.sqlite"):
        # MediaWiki 1.39's installer leaves the main one in the mode that lets a reader block a writer.
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("pragma journal_mode = wal")
    wanted = site.folder / "tmp/wanted.json"
    wanted.write_text(json.dumps({"author": founder.name, **json.loads(described)}), encoding="utf-8")
    site.run(PHP_SOURCES / "setup.php", str(wanted))
    wanted.unlink()
