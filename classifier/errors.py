"""What can go wrong between bytes and a score.

ClassifierError
├── DecodeError    one file cannot be turned into pictures; permanent, carries a stable code
└── ModelError     weights or model are missing, damaged or do not fit; nothing can be scored
    └── ModelUnreachable   the weights cannot be downloaded; trying again later may help
"""

from typing import Literal, get_args

DecodeCode = Literal["undecodable", "timeout", "too_large", "audio", "unsupported_type", "empty"]
DECODE_CODES: frozenset[str] = frozenset(get_args(DecodeCode))


class ClassifierError(Exception):
    """Root of every error this package raises on purpose."""


class DecodeError(ClassifierError):
    """One file cannot be turned into pictures.

    Args:
        code: Stable code that ends up in the store.
        message: One sentence that names the reason.
    """

    def __init__(self, code: DecodeCode, message: str) -> None:
        super().__init__(message)
        self.code: DecodeCode = code
        self.message = message

    def __reduce__(self) -> tuple[type["DecodeError"], tuple[DecodeCode, str]]:
        return (type(self), (self.code, self.message))


class ModelError(ClassifierError):
    """A model cannot be fetched, verified or loaded; the message says what to do."""


class ModelUnreachable(ModelError):
    """The package index does not give the weights now; the message says how to bring them by hand."""
