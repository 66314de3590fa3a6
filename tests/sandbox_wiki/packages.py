"""MediaWiki, PHP and ImageMagick from Debian's packages, unpacked without root into a cached folder.

`apt-get download` and `dpkg -x` need neither root nor a daemon. The folder's name is a digest of every
package's version, so a security update makes a new one; it is built aside and renamed when complete, under a
lock, so several test runs can start at once and a killed one leaves nothing half done.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from tests.sandbox_wiki.errors import SandboxError, SandboxUnavailable

CACHE_VARIABLE = "SANDBOX_WIKI_CACHE"
LAYOUT = 1  # raise it when the unpacked tree changes for the same packages
PHP_VERSION = "8.2"
PHP_MODULES = ("cli", "common", "opcache", "intl", "mbstring", "xml", "sqlite3", "gd", "curl", "apcu")
WANTED = (
    "mediawiki",
    "mediawiki-classes",
    *(f"php{PHP_VERSION}-{module}" for module in PHP_MODULES),
    "imagemagick-6.q16",
    "imagemagick-6-common",
    "libmagickcore-6.q16-6",
    "libmagickwand-6.q16-6",
    "librsvg2-bin",
    "ghostscript",
    "poppler-utils",
)
# what apt would install beside them for a web server, which `php -S` replaces
_UNWANTED_LIBRARY = re.compile(r"^(libapache2|libapr|liblua)")
_INSTALL_LINE = re.compile(r"^Inst (\S+) (?:\[[^]]*\] )?\((\S+)", re.MULTILINE)
_APT_TIMEOUT_S = 600
_KEEP_UNUSED_S = 60 * 86400
_OFFLINE_OPTIONS = ("-oAcquire::http::Timeout=20", "-oAcquire::Retries=1", "-oAPT::Sandbox::User=root")

# fmt: off
_EXTENSIONS = (
    "ctype", "iconv", "fileinfo", "tokenizer", "posix", "sockets", "exif", "phar", "pdo", "pdo_sqlite",
    "sqlite3", "dom", "xml", "simplexml", "xmlreader", "xmlwriter", "mbstring", "intl", "gd", "curl", "apcu",
)
# fmt: on
_PROGRAMS = {
    "convert": "convert-im6.q16",
    "rsvg-convert": "rsvg-convert",
    "gs": "gs",
    "pdfinfo": "pdfinfo",
    "pdftotext": "pdftotext",
}
_INI = {
    "memory_limit": "512M",
    "upload_max_filesize": "64M",
    "post_max_size": "80M",
    "max_execution_time": "120",
    "date.timezone": "UTC",
    "display_errors": "0",
    "log_errors": "1",
    "error_reporting": "E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED",
    "opcache.enable": "1",
    "opcache.memory_consumption": "160",
    "opcache.max_accelerated_files": "20000",
    "realpath_cache_size": "4M",
    "realpath_cache_ttl": "600",
    "apc.enabled": "1",
    "apc.shm_size": "64M",
}


@dataclass(frozen=True, slots=True)
class Base:
    """The unpacked packages, read-only and shared by every site.

    Attributes:
        folder: Holds `w` (MediaWiki), `root` (PHP, ImageMagick, libraries), `bin` (programs that MediaWiki
            starts) and `php.ini`.
    """

    folder: Path

    @property
    def code(self) -> Path:
        """MediaWiki's own tree."""
        return self.folder / "w"

    @property
    def php(self) -> tuple[str, ...]:
        """The command line that starts PHP with our php.ini alone."""
        modules = _only(self.folder / "root/usr/lib/php", "2*")
        binary = self.folder / "root/usr/bin" / f"php{PHP_VERSION}"
        return (str(binary), "-n", "-c", str(self.folder / "php.ini"), "-d", f"extension_dir={modules}")

    @property
    def environment(self) -> Mapping[str, str]:
        """What PHP itself needs to find its libraries."""
        return {"LD_LIBRARY_PATH": str(_only(self.folder / "root/usr/lib", "*-linux-gnu*"))}


def _only(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def cache_folder() -> Path:
    """The folder that keeps unpacked packages and site snapshots: $SANDBOX_WIKI_CACHE or the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("commons-nsfw-bot")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the only lock on a folder; waits for whoever holds it.

    Args:
        folder: Created where missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".sandbox-wiki.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class Apt:
    """Unprivileged `apt-get`, with the machine's package lists or with private ones.

    Args:
        private: Folder for lists and cache of our own; None uses the machine's.
    """

    def __init__(self, private: Path | None = None) -> None:
        self._options = list(_OFFLINE_OPTIONS)
        if private is not None:
            (private / "lists/partial").mkdir(parents=True, exist_ok=True)
            (private / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
            self._options += [f"-oDir::State::Lists={private / 'lists'}", f"-oDir::Cache={private / 'cache'}"]

    def run(self, *arguments: str, folder: Path | None = None) -> str:
        """Run one apt-get command.

        Returns:
            What it printed.

        Raises:
            SandboxUnavailable: It failed; the message holds apt's own reason.
        """
        command = ["apt-get", *self._options, *arguments]
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, text=True, capture_output=True, timeout=_APT_TIMEOUT_S
            )
        except FileNotFoundError as error:
            raise SandboxUnavailable(
                f"{error.filename} is missing; Debian or a relative is needed"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise SandboxUnavailable(f"apt-get {arguments[0]} took over {_APT_TIMEOUT_S} s") from error
        if done.returncode:
            reasons = [line for line in done.stderr.splitlines() if line.startswith(("E:", "Err"))]
            raise SandboxUnavailable(f"apt-get {arguments[0]} failed: {' '.join(reasons[:3]) or done.stderr}")
        return done.stdout

    def versions(self) -> dict[str, str]:
        """The packages to unpack and their versions: those wanted and the libraries this machine lacks.

        Raises:
            SandboxUnavailable: The lists do not offer all of them.
        """
        plan = self.run("install", "--simulate", "--reinstall", "--no-install-recommends", *WANTED)
        found = {name.split(":")[0]: version for name, version in _INSTALL_LINE.findall(plan)}
        if missing := [name for name in WANTED if name not in found]:
            raise SandboxUnavailable(f"apt-get offers no {', '.join(missing)} (Debian 12 is needed)")
        return {
            name: version
            for name, version in sorted(found.items())
            if name in WANTED or (name.startswith("lib") and not _UNWANTED_LIBRARY.match(name))
        }


def provide_base(cache: Path) -> Base:
    """The unpacked packages, downloaded first where the cache does not hold them.

    Args:
        cache: See `cache_folder`.

    Returns:
        The base, complete.

    Raises:
        SandboxUnavailable: No apt-get or dpkg, no network, or packages that are not offered.
    """
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise SandboxUnavailable(f"{program} is missing; Debian or a relative is needed")
    with locked(cache):
        try:
            return _base_from(Apt(), cache)
        except SandboxUnavailable:
            # The machine's lists are absent, or so old that what they name has left the archive.
            apt = Apt(cache / "apt")
            with suppress(SandboxUnavailable):
                return _base_from(apt, cache)
            apt.run("update", "-oAPT::Update::Error-Mode=any")
            return _base_from(apt, cache)


def _base_from(apt: Apt, cache: Path) -> Base:
    versions = apt.versions()
    digest = hashlib.sha256(json.dumps([LAYOUT, _EXTENSIONS, _PROGRAMS, _INI, versions]).encode()).hexdigest()
    folder = cache / f"mediawiki-{digest[:16]}"
    if not folder.exists():
        _forget_unused(cache)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".building-") as name:
            building = Path(name) / "base"
            _download_and_unpack(apt, versions, Path(name) / "archives", building / "root")
            _arrange(building)
            (building / "versions.json").write_text(json.dumps(versions, indent=1), encoding="utf-8")
            building.rename(folder)
    folder.touch()
    return Base(folder)


def _forget_unused(cache: Path) -> None:
    """Remove bases and snapshots that no session has used for a long time; security updates leave them."""
    for folder in cache.glob("mediawiki-*"):
        if folder.stat().st_mtime < time.time() - _KEEP_UNUSED_S:
            shutil.rmtree(folder)


def _download_and_unpack(apt: Apt, versions: Mapping[str, str], archives: Path, root: Path) -> None:
    archives.mkdir()
    root.mkdir(parents=True)
    apt.run("download", *(f"{name}={version}" for name, version in versions.items()), folder=archives)
    for archive in sorted(archives.glob("*.deb")):
        _run_dpkg("dpkg", "--extract", str(archive), str(root))


def _run_dpkg(*command: str) -> None:
    try:
        subprocess.run(command, check=True, text=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise SandboxError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error


def _arrange(folder: Path) -> None:
    """Undo Debian's links into /etc and /var, drop what nothing here reads, and write php.ini."""
    root, code = folder / "root", folder / "w"
    (root / "usr/share/mediawiki").rename(code)
    for link in ("extensions", "config", "images", "LocalSettings.php"):
        (code / link).unlink()
    (code / "extensions-core").rename(code / "extensions")
    shared = (path for path in (root / "usr/share").iterdir() if path.name not in {"ghostscript", "color"})
    for unread in (*shared, root / "var", root / "etc/apache2", root / "etc/php", root / "lib/systemd"):
        if unread.is_dir():
            shutil.rmtree(unread)
    _write_wrappers(folder)
    lines: Sequence[str] = [
        *(f"extension={name}" for name in _EXTENSIONS),
        "zend_extension=opcache",
        *(f"{key}={value}" for key, value in _INI.items()),
    ]
    (folder / "php.ini").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_wrappers(folder: Path) -> None:
    """Programs that MediaWiki starts: it clears their environment, so each needs a script that sets it."""
    magick = next(folder.glob("root/usr/lib/*/ImageMagick-6*")).relative_to(folder)
    ghostscript = next(folder.glob("root/usr/share/ghostscript/[0-9]*/Resource")).relative_to(folder)
    preamble = f"""#!/bin/sh
base=$(dirname "$(dirname "$(realpath "$0")")")
export LD_LIBRARY_PATH="$base/{magick.parent}"
export MAGICK_CODER_MODULE_PATH="$base/{magick}/modules-Q16/coders"
export MAGICK_CONFIGURE_PATH="$base/root/etc/ImageMagick-6:$base/{magick}/config-Q16"
export GS_LIB="$base/{ghostscript}/Init"
export GS_OPTIONS="-sICCProfilesDir=$base/root/usr/share/color/icc/ghostscript/"
"""
    (folder / "bin").mkdir()
    for name, program in _PROGRAMS.items():
        wrapper = folder / "bin" / name
        wrapper.write_text(f'{preamble}exec "$base/root/usr/bin/{program}" "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)
