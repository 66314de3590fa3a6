"""`python -m bot.minicommons`: the miniature Commons as a process of its own."""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from bot.minicommons.corpus import CorpusError, prepare_corpus
from bot.minicommons.server import MiniCommons


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bot.minicommons",
        description="A miniature Wikimedia Commons on loopback. Prints its address as one JSON line.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument(
        "--directory", type=Path, required=True, help="corpus folder; generated where missing"
    )
    parser.add_argument("--names", help="specimens, divided by commas; all where not given")
    parser.add_argument("--keep-events", type=int, default=20_000, help="events the stream can replay")
    parser.add_argument("--quiet", action="store_true", help="say nothing while generating")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input closes")
    return parser.parse_args()


def _wait_for_end_of_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main() -> int:
    """Generate what is missing, then serve until told to end.

    Returns:
        The exit status.
    """
    arguments = _arguments()
    names = arguments.names.split(",") if arguments.names else None

    def show(done: int, total: int, name: str) -> None:
        sys.stderr.write(f"corpus {done}/{total} {name}\n")

    try:
        corpus = prepare_corpus(arguments.directory, names, progress=None if arguments.quiet else show)
    except CorpusError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if arguments.until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_input, args=(ended,), daemon=True).start()
    with MiniCommons(corpus, arguments.port, arguments.keep_events) as commons:
        sys.stdout.write(json.dumps({"base_url": commons.base_url}) + "\n")
        sys.stdout.flush()
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
