# pywikibot reads this file. It holds no secret: passwords and OAuth keys live in `user-password.py`, which git
# ignores and which only its owner may read. The bot's account is named by PYWIKIBOT_USER.
import os

family = "commons"
mylang = "commons"
usernames["commons"]["commons"] = os.environ.get("PYWIKIBOT_USER", "CommonsNsfwBot")
password_file = "user-password.py"
