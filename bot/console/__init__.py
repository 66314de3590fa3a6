"""The operator's console: pages about what the bot does, and reviewing in shadow mode.

Server-rendered, read-only but for verdicts, and only for who has a token; `assembly.console_app` is the door.
"""
