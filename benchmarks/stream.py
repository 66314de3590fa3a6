"""Events per CPU second from the socket to "not ours", for our stream and for what others use.

A server process sends the same firehose to every client over loopback: events of 1.6 KB, one in 500 an
upload, one HTTP chunk per line as EventStreams' kafka-sse does. Each client runs in a process of its own, and
its CPU time alone counts, so a busy machine changes little; rounds are interleaved, medians are shown.

`python -m benchmarks.stream [--events 40000] [--rounds 3]`; the last line is JSON.
"""

import argparse
import json
import multiprocessing
import os
import platform
import socket
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

EVENT_BYTES = 1600
UPLOAD_EVERY = 500
TARGET_PER_CPU_S = 25_000
BASE_MS = 1_746_030_241_000
WIKIS = ("wikidatawiki", "enwiki", "commonswiki", "dewiki", "frwiki")


def _event(number: int) -> bytes:
    """One event on the wire; edits of several wikis, and the uploads in between."""
    is_upload = number % UPLOAD_EVERY == UPLOAD_EVERY - 1
    fields: dict[str, object] = {
        "$schema": "/mediawiki/recentchange/1.0.0",
        "meta": {
            "uri": f"https://commons.wikimedia.org/wiki/File:B%C3%BCcher_{number}.jpg",
            "request_id": "ed385c0d-116e-4a58-b31e-e60ea995db48",
            "id": "c118d26b-d9a7-45bf-a25a-32a6821adf66",
            "domain": "commons.wikimedia.org",
            "stream": "mediawiki.recentchange",
            "dt": "2025-04-30T16:24:01.123Z",
            "topic": "eqiad.mediawiki.recentchange",
            "partition": 0,
            "offset": 4654334057 + number,
        },
        "id": number,
        "type": "log" if is_upload else "edit",
        "namespace": 6 if is_upload else 0,
        "title": f"File:Bücher {number}.jpg",
        "timestamp": BASE_MS // 1000,
        "user": "ExampleUploader",
        "bot": False,
        "server_url": "https://commons.wikimedia.org",
        "server_name": "commons.wikimedia.org",
        "server_script_path": "/w",
        "parsedcomment": '<a href="/wiki/Linz" title="Linz">Linz</a> ' * 6,
        "wiki": "commonswiki" if is_upload else WIKIS[number % len(WIKIS)],
    }
    if is_upload:
        parameters = {"img_sha1": "n7p91uyt4hcqqq8s0snqrsfdfc75xfx", "img_timestamp": "20250430162401"}
        fields |= {"log_id": number, "log_type": "upload", "log_action": "upload", "log_params": parameters}
    else:
        fields |= {"minor": False, "length": {"old": 1, "new": 2}, "revision": {"old": 1, "new": 2}}
    ids = [
        {"topic": "eqiad.mediawiki.recentchange", "partition": 0, "timestamp": BASE_MS + number},
        {"topic": "codfw.mediawiki.recentchange", "partition": 0, "offset": -1},
    ]
    head = [b"event: message\n", f"id: {json.dumps(ids, separators=(',', ':'))}\n".encode()]
    bare = len(json.dumps({**fields, "comment": ""}, ensure_ascii=False, separators=(",", ":")).encode())
    fields["comment"] = ("words and [[links]] " * 100)[: EVENT_BYTES - bare - sum(map(len, head)) - 8]
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    lines = [*head, f"data: {text}\n\n".encode()]
    return b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines)


def serve(events: int, ports: Connection) -> None:
    """Answer every connection with the whole firehose and then silence."""
    firehose = b"".join(_event(number) for number in range(events))
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n:ok\n\n\r\n"
    )

    def answer(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(head + firehose)
                connection.recv(1)
            except ConnectionError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        ports.send(listener.getsockname()[1])
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def ours(url: str, expected: int) -> int:
    """Read with `UploadStream`."""
    from bot.settings import load_settings
    from bot.stream.eventstreams import UploadStream

    settings = load_settings(overrides={"stream": {"url": url}})
    stop = threading.Event()
    uploads = 0
    for batch in UploadStream(settings.stream, settings.wiki, "benchmark", stop):
        uploads += len(batch.uploads)
        if uploads >= expected:
            stop.set()
    return uploads


def plain_sseclient(url: str, expected: int) -> int:
    """Read with sseclient as it is, parse, compare."""
    import sseclient

    uploads = 0
    client = sseclient.SSEClient(url)
    with closing(client.resp):
        for message in client:
            if message.data and _is_ours(json.loads(message.data)):
                uploads += 1
                if uploads >= expected:
                    break
    return uploads


def requests_sse(url: str, expected: int) -> int:
    """Read with requests-sse, parse, compare: what pywikibot's class does, without pywikibot."""
    from requests_sse import EventSource

    uploads = 0
    with EventSource(url, timeout=30) as source:
        for message in source:
            if message.data and _is_ours(json.loads(message.data)):
                uploads += 1
                if uploads >= expected:
                    break
    return uploads


def pywikibot(url: str, expected: int) -> int:
    """Read with pywikibot's own `EventStreams` and its filters; without a site it asks no wiki anything."""
    from pywikibot.comms.eventstreams import EventStreams

    stream = EventStreams(url=url, site=None)
    stream.register_filter(wiki="commonswiki", type="log", log_type="upload")
    stream.set_maximum_items(expected)
    return sum(1 for _ in stream)


def _is_ours(event: dict[str, object]) -> bool:
    return event.get("wiki") == "commonswiki" and event.get("log_type") == "upload"


CLIENTS: dict[str, Callable[[str, int], int]] = {
    "ours": ours,
    "sseclient": plain_sseclient,
    "requests_sse": requests_sse,
    "pywikibot": pywikibot,
}


def _measure(name: str, url: str, events: int, results: Connection) -> None:
    """In a fresh process; one short read first, so that imports and caches do not count."""
    expected = events // UPLOAD_EVERY
    CLIENTS[name](url, 1)
    started = time.process_time()
    found = CLIENTS[name](url, expected)
    results.send((found, time.process_time() - started))


def _run_client(name: str, url: str, events: int) -> float:
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_measure, args=(name, url, events, sending))
    process.start()
    sending.close()
    try:
        found, cpu_s = receiving.recv()
    except EOFError:
        raise SystemExit(f"{name}: the client died") from None
    finally:
        process.join()
    if found != events // UPLOAD_EVERY:
        raise SystemExit(f"{name}: found {found} uploads of {events // UPLOAD_EVERY}")
    return float(events / cpu_s)


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.environ["PYWIKIBOT_NO_USER_CONFIG"] = "2"
    multiprocessing.set_start_method("spawn")
    events = arguments.events // UPLOAD_EVERY * UPLOAD_EVERY
    receiving, sending = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=serve, args=(events, sending), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{receiving.recv()}/v2/stream/recentchange"
    rates: dict[str, list[float]] = {name: [] for name in CLIENTS}
    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("stream", total=arguments.rounds * len(CLIENTS))
        for _ in range(arguments.rounds):
            for name, measured in rates.items():
                progress.update(task, description=name)
                measured.append(_run_client(name, url, events))
                progress.advance(task)
    server.terminate()
    _report(
        console,
        {name: statistics.median(measured) for name, measured in rates.items()},
        events,
        arguments.rounds,
    )


def _report(console: Console, medians: dict[str, float], events: int, rounds: int) -> None:
    table = Table(
        title=f"Firehose events per CPU second of the client ({events:,} events of {EVENT_BYTES} bytes, "
        f"1 in {UPLOAD_EVERY} an upload, median of {rounds})"
    )
    for heading in ("client", "events per CPU s", "ours is faster by"):
        table.add_column(heading, justify="left" if heading == "client" else "right")
    for name, rate in medians.items():
        table.add_row(name, f"{rate:,.0f}", f"{medians['ours'] / rate:.1f} x")
    console.print(table)
    verdict = "met" if medians["ours"] >= TARGET_PER_CPU_S else "MISSED"
    console.print(f"target of {TARGET_PER_CPU_S:,} events per CPU second: {verdict}")
    figures: dict[str, float | str | int] = {
        f"{name}_events_per_cpu_s": round(rate) for name, rate in medians.items()
    }
    figures |= {
        f"ratio_to_{name}": round(medians["ours"] / rate, 2)
        for name, rate in medians.items()
        if name != "ours"
    }
    figures |= {"target_events_per_cpu_s": TARGET_PER_CPU_S, "events": events, "rounds": rounds}
    figures |= {"cpus": os.cpu_count() or 0, "python": platform.python_version()}
    print(json.dumps({"benchmark": "stream", "figures": figures}))


if __name__ == "__main__":
    main()
