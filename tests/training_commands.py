"""The commands of the laboratory that train, and nothing else of the bot; a program where started as one."""

import typer

from bot.commands.search import search
from bot.commands.training import train

PX = 32

app = typer.Typer(pretty_exceptions_enable=False)
app.command("train")(train)
app.command("search")(search)


def config_text(manifest: str, epochs: int = 2) -> str:
    """The smallest named network on small pictures."""
    return f"""
name = "tiny"
[model]
name = "squeezenet1_1"
[data]
manifest = "{manifest}"
classes = ["absent", "present"]
preprocessing = "imagenet-v1@{PX}"
[training]
epochs = {epochs}
batch = 12
accelerator = "cpu"
threads = 1
"""


if __name__ == "__main__":
    app()
