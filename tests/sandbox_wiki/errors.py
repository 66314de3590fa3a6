"""What can go wrong with the sandbox wiki: it cannot exist here, it broke, or it refused a request.

SandboxError
├── SandboxUnavailable     this machine cannot provide it (no apt-get, no network); tests skip
└── ApiRefused(code)       MediaWiki answered a request with an error code
"""


class SandboxError(Exception):
    """Root of every error of this package; on its own it means that the wiki broke."""


class SandboxUnavailable(SandboxError):
    """This machine cannot provide the wiki; the message says what is missing."""


class ApiRefused(SandboxError):
    """MediaWiki refused an action.

    Args:
        code: The API's error code, such as `readonly` or `abusefilter-disallowed`.
        info: The API's own sentence.
    """

    def __init__(self, code: str, info: str) -> None:
        super().__init__(f"{code}: {info}")
        self.code = code
        self.info = info
