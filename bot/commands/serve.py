"""`serve`: the prediction API over HTTP."""

import signal
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.edges import ConfigOption, configured, explained
from bot.commands.extras import needing

if TYPE_CHECKING:
    from bot.settings import Settings


def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Where to listen; default: serve.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default: serve.port.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: serve.workers.")] = None,
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Answer other programs that want scores, over HTTP (docs/api.md). SIGTERM ends it gently."""
    with explained(), needing("serve"):
        from bot.serving.access import check_doors
        from bot.serving.server import listen
        from bot.serving.server import serve as serve_alone
        from bot.serving.workers import Workers

        settings = _overridden(configured(config), host, port, workers)
        if worker is not None:
            number, _, which = worker.partition(":")
            serve_alone(settings, socket.socket(fileno=int(number)), int(which))
            return
        check_doors(settings.access, settings.serve.host)
        with listen(settings) as taken:
            if settings.serve.workers == 1:
                serve_alone(settings, taken)
                return
            several = Workers(settings, config, taken)
            for one in (signal.SIGTERM, signal.SIGINT):
                signal.signal(one, lambda *_: several.stop())
            several.run()


def _overridden(settings: "Settings", host: str | None, port: int | None, workers: int | None) -> "Settings":
    """What the command line says wins over files and environment."""
    given = {"host": host, "port": port, "workers": workers}
    wanted = {name: value for name, value in given.items() if value is not None}
    return settings.model_copy(update={"serve": settings.serve.model_copy(update=wanted)})


__all__ = ["serve"]
