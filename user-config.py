# Read by pywikibot when it is imported; see bot/wiki.py, which sets everything else.
#
# No secret stands here, so this file can be public. The bot signs in with either
#  - a bot password (Special:BotPasswords), in a file of one line that only its owner can read:
#        ('CommonsNsfwBot', BotPassword('name of the bot password', 'the bot password'))
#    It is user-password.py beside this file, which git ignores, or what PWB_PASSWORD_FILE names; or
#  - owner-only OAuth 1.0a, by these four variables (on Toolforge: `toolforge envvars create`).
#
# pywikibot skips this file with a mere warning where others can write to it; the bot checks that first.
import os
from pathlib import Path

family = "commons"
mylang = "commons"
password_file = os.environ.get("PWB_PASSWORD_FILE") or str(Path(base_dir) / "user-password.py")

_oauth = tuple(
    os.environ.get(name, "")
    for name in ("PWB_CONSUMER_TOKEN", "PWB_CONSUMER_SECRET", "PWB_ACCESS_TOKEN", "PWB_ACCESS_SECRET")
)
if all(_oauth):
    authenticate["*"] = _oauth
