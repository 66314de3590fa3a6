"""The bot's account on the sandbox wiki, connected the way the daemon connects, only less patient."""

from pathlib import Path
from typing import Any

from bot.settings import ReviewSettings, load_settings
from bot.wiki import Wiki
from bot.wiki_pages import Patience
from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.accounts import REVIEW_BOT

IMPATIENT = Patience(budget_s=0.4, first_wait_s=0.02)
UNTIL_IT_WORKS = Patience(budget_s=60, first_wait_s=0.02)


def review_settings(**changes: Any) -> ReviewSettings:
    return load_settings().review.model_copy(update={"user": REVIEW_BOT.name, "dry_run": False, **changes})


def password_file(folder: Path, line: str | None = None) -> Path:
    bot = REVIEW_BOT.bot_passwords[0]
    path = folder / "user-password.py"
    path.write_text(line or f"('{REVIEW_BOT.name}', BotPassword('{bot.app_id}', '{bot.password}'))\n")
    path.chmod(0o600)
    return path


def connect(sandbox: SandboxWiki, folder: Path, **changes: Any) -> Wiki:
    """Sign in as the bot; `changes` are arguments of `Wiki.connect`, or fields of `[review]`."""
    review = {key: changes.pop(key) for key in list(changes) if key in ReviewSettings.model_fields}
    arguments: dict[str, Any] = {
        "user_agent": "CommonsNsfwBotTests/1.0 (sandbox wiki on loopback)",
        "api_url": sandbox.api_url,
        "wiki_id": "commonswiki",
        "state": folder / "state",
        "patience": IMPATIENT,
        **changes,
    }
    if "password_file" not in arguments:
        arguments["password_file"] = password_file(folder)
    return Wiki.connect(review_settings(**review), **arguments)
