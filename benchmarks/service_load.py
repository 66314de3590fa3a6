"""Clients of a scoring service, in a process of their own, as cheap as Python allows: bare sockets.

    python -m benchmarks.service_load URL FOLDER --clients 32 --seconds 4 [--rate 100] [--form FIELD]

Each request carries other bytes: a JPEG of the folder with a comment in it that is never the same, so that no
cache can help and decoding costs what it costs. Prints one JSON line; `cpu_s` is what the clients themselves
used.
"""

import argparse
import itertools
import json
import os
import random
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_BOUNDARY = "a6cf2b6c0b1c4b0d"


@dataclass
class Tally:
    """What one client saw: seconds by request that was answered with a score, and other statuses."""

    seconds: list[float] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)


class Pictures:
    """JPEGs that are all different, and as cheap to make as to send.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._contents = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
        self._numbers = itertools.count()
        self._salt = os.urandom(8)

    def next(self) -> bytes:
        """One that was never sent before: a comment behind the start of image."""
        number = next(self._numbers)
        content = self._contents[number % len(self._contents)]
        comment = self._salt + number.to_bytes(8, "big")
        return content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]


def request_bytes(path: str, content: bytes, form: str | None) -> bytes:
    """One HTTP request."""
    kind = "image/jpeg"
    if form is not None:
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{form}"; filename="a.jpg"\r\n'
        content = f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + content
        content += f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def answered(connection: socket.socket) -> tuple[int, float]:
    """Read one answer; its status, and after how many seconds to come again."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _piece(connection)
    head = received[:end].lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    while len(received) < end + 4 + length:
        received += _piece(connection)
    again_s = float(head.split(b"retry-after:")[1].split(b"\r\n")[0]) if b"retry-after:" in head else 0.0
    return int(head[9:12]), again_s


def _piece(connection: socket.socket) -> bytes:
    if piece := connection.recv(65536):
        return piece
    raise ConnectionError("the service closed the connection")


def client(
    target: tuple[str, int, str], pictures: Pictures, until_s: float, pace_s: float, form: str | None
) -> Tally:
    """Send one request after the other; where a pace is given, not more than one in so many seconds."""
    tally = Tally()
    host, port, path = target
    due_s = time.monotonic() + random.uniform(0, pace_s)
    connection = socket.create_connection((host, port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        while time.monotonic() < until_s:
            request = request_bytes(path, pictures.next(), form)
            if pace_s:
                time.sleep(max(due_s - time.monotonic(), 0))
                # From when it was due: a service that is late must not make its clients ask less.
                began_s, due_s = due_s, due_s + pace_s
            else:
                began_s = time.monotonic()
            connection.sendall(request)
            status, again_s = answered(connection)
            if status == 200:
                tally.seconds.append(time.monotonic() - began_s)
            else:
                tally.refused[status] = tally.refused.get(status, 0) + 1
                time.sleep(min(again_s, max(until_s - time.monotonic(), 0)))
    return tally


def main() -> None:
    """Run the clients and print what they saw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument(
        "--rate", type=float, default=0, help="Requests a second of all clients; 0: as they can."
    )
    parser.add_argument("--form", help="Send a form with the file in this field.")
    arguments = parser.parse_args()
    parts = urlsplit(arguments.url)
    assert parts.hostname is not None and parts.port is not None
    target, pictures, tallies = (parts.hostname, parts.port, parts.path), Pictures(arguments.folder), []
    pace_s = arguments.clients / arguments.rate if arguments.rate else 0.0
    began_s, used_s = time.monotonic(), time.process_time()
    until_s = began_s + arguments.seconds

    def run() -> None:
        tallies.append(client(target, pictures, until_s, pace_s, arguments.form))

    threads = [threading.Thread(target=run) for _ in range(arguments.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused: dict[int, int] = {}
    for tally in tallies:
        for status, times in tally.refused.items():
            refused[status] = refused.get(status, 0) + times
    seen = {
        "seconds": [round(one, 6) for tally in tallies for one in tally.seconds],
        "refused": refused,
        "wall_s": time.monotonic() - began_s,
        "cpu_s": time.process_time() - used_s,
        "clients_that_ended": len(tallies),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
