"""The errors of the bot, in two families: permanent and transient.

BotError
├── SkipUpload(code)      permanent: this upload ends in that code
├── RetryLater(after_s)   transient: this upload is tried again
├── ServiceDown           transient: a whole service is unreachable; no upload is to blame
└── ConfigError           a setting or the environment is wrong; the message says what to do
"""


class BotError(Exception):
    """Root of every error the bot raises on purpose."""


class SkipUpload(BotError):
    """The upload can never be scored.

    Args:
        code: Stable code that ends up in the store, such as `deleted`.
        message: One sentence that names the reason.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RetryLater(BotError):
    """The upload cannot be scored now.

    Args:
        code: The code it ends in when no try is left, such as `rendition_unavailable`.
        message: One sentence that names the reason.
        after_s: What the server asked for (Retry-After) in seconds; None leaves it to our schedule.
    """

    def __init__(self, code: str, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.after_s = after_s


class ServiceDown(BotError):
    """A service as a whole does not answer; uploads keep their number of attempts.

    Args:
        service: Its name or host.
        message: One sentence that names the reason.
        after_s: What the server asked for (Retry-After) in seconds, if it did.
    """

    def __init__(self, service: str, message: str, after_s: float | None = None) -> None:
        super().__init__(f"{service}: {message}")
        self.service = service
        self.after_s = after_s


class ConfigError(BotError):
    """A setting, a file or the environment is wrong; the message names it and says what to do."""
