"""A certificate for names of our own, made by the openssl command: nothing in Python's library makes one."""

import os
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate: `path` is also what clients have to trust."""

    path: Path
    key: Path

    def for_server(self, seen_names: list[str | None]) -> ssl.SSLContext:
        """What a server needs; it notes the names that clients ask for (SNI)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)

        def note(_socket: object, name: str | None, _context: object) -> None:
            seen_names.append(name)

        context.sni_callback = note
        return context


def certificate_for(name: str, folder: Path) -> Certificate:
    """Make a certificate; the test is skipped where there is no openssl, which in CI is a failure."""
    openssl = shutil.which("openssl")
    if openssl is None:
        reason = "needs the openssl command"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            *("-keyout", str(made.key), "-out", str(made.path)),
        ],
        check=True,
        capture_output=True,
    )
    return made
