"""Debian's Chromium for the browser tests: found where it is installed, else provided by `make test`.

`python -m tests.browser.chromium` provides it: with apt-get where it may (root, as in CI's containers), else
unpacked without root into the sandbox wiki's cache. The tests themselves only look for it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.sandbox_wiki.errors import SandboxUnavailable
from tests.sandbox_wiki.packages import Apt, cache_folder, locked

PROGRAM_VARIABLE = "CHROMIUM"
# Without these a browser that is only driven looks up hosts of its maker at every start.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_INSTALLED = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_WANTED = ("chromium", "chromium-common", "fonts-dejavu-core")
_INSTALL_LINE = re.compile(r"^Inst (\S+) (?:\[[^]]*\] )?\((\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Chromium:
    """A browser that can be started.

    Attributes:
        program: Its executable.
        environment: What it needs beside the inherited environment to find its libraries.
    """

    program: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def find_chromium() -> Chromium | None:
    """Look for a browser: $CHROMIUM, then installed ones, then the cache.

    Returns:
        The first one found; None without any.
    """
    chosen = os.environ.get(PROGRAM_VARIABLE)
    for name in (chosen,) if chosen else _INSTALLED:
        if program := shutil.which(name):
            return Chromium(Path(program))
    unpacked = sorted(cache_folder().glob("chromium-*/usr/lib/chromium/chromium"), key=_modified_at)
    return _unpacked(unpacked[-1].parents[3]) if unpacked else None


def provide_chromium() -> Chromium:
    """Find a browser, or install or unpack Debian's.

    Returns:
        One that can be started.

    Raises:
        SandboxUnavailable: There is none and no way to one; the message says why.
    """
    if found := find_chromium():
        return found
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise SandboxUnavailable(f"no Chromium, and {program} is missing; set ${PROGRAM_VARIABLE}")
    cache = cache_folder()
    with locked(cache):
        if os.geteuid() == 0:
            with suppress(SandboxUnavailable):  # a container may be root without the right to install
                _install()
        found = find_chromium()
        return found or _unpack(cache)


def _install() -> None:
    apt = Apt()
    command = ("install", "--yes", "--no-install-recommends", *_WANTED)
    try:
        apt.run(*command)
    except SandboxUnavailable:
        apt.run("update")
        apt.run(*command)


def _unpack(cache: Path) -> Chromium:
    apt = Apt()
    try:
        versions = _versions(apt)
    except SandboxUnavailable:
        apt = Apt(cache / "apt")
        apt.run("update", "-oAPT::Update::Error-Mode=any")
        versions = _versions(apt)
    digest = hashlib.sha256(json.dumps(versions).encode()).hexdigest()
    folder = cache / f"chromium-{digest[:16]}"
    with tempfile.TemporaryDirectory(dir=cache, prefix=".building-") as name:
        archives, root = Path(name) / "archives", Path(name) / "root"
        archives.mkdir()
        root.mkdir()
        apt.run(
            "download", *(f"{package}={version}" for package, version in versions.items()), folder=archives
        )
        for archive in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg", "--extract", str(archive), str(root)], check=True)
        _write_fonts_configuration(root)
        root.rename(folder)
    return _unpacked(folder)


def _versions(apt: Apt) -> dict[str, str]:
    """Chromium and the libraries that this machine lacks."""
    plan = apt.run("install", "--simulate", "--reinstall", "--no-install-recommends", *_WANTED)
    found = {name.split(":")[0]: version for name, version in _INSTALL_LINE.findall(plan)}
    return {
        name: version
        for name, version in sorted(found.items())
        if name in _WANTED or name.startswith(("lib", "fontconfig"))
    }


def _write_fonts_configuration(root: Path) -> None:
    (root / "fonts.conf").write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        '<dir prefix="relative">usr/share/fonts</dir><dir>/usr/share/fonts</dir>'
        '<cachedir prefix="xdg">fontconfig</cachedir></fontconfig>',
        encoding="utf-8",
    )


def _unpacked(root: Path) -> Chromium:
    environment = {"FONTCONFIG_FILE": str(root / "fonts.conf")}
    if libraries := [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*")]:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
    return Chromium(root / "usr/lib/chromium/chromium", environment)


def _modified_at(path: Path) -> float:
    return path.stat().st_mtime


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{provide_chromium().program}\n")
    except SandboxUnavailable as error:
        sys.exit(f"no browser tests on this machine: {error}")
