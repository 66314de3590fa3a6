"""The two spellings of a file's SHA-1: base 36 in events, hexadecimal in API answers.

MediaWiki stores 31 base-36 digits, padded with zeros (`wfBaseConvert( $hash, 16, 36, 31 )`).
"""

import re

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE36 = re.compile(r"[0-9a-z]{31}")
_HEX = re.compile(r"[0-9a-f]{40}")


def hex_from_base36(base36: str) -> str:
    """Convert an event's `img_sha1`.

    Args:
        base36: 31 digits of base 36, lower case, padded with zeros.

    Returns:
        40 hexadecimal digits, lower case.

    Raises:
        ValueError: It is not the base-36 spelling of a 160-bit number.
    """
    if not _BASE36.fullmatch(base36):
        raise ValueError(f"{base36!r} is not a SHA-1 in 31 digits of base 36")
    number = int(base36, 36)
    if number >= 1 << 160:
        raise ValueError(f"{base36!r} is more than 160 bits")
    return f"{number:040x}"


def base36_from_hex(hexadecimal: str) -> str:
    """Convert an API answer's `sha1`.

    Args:
        hexadecimal: 40 hexadecimal digits, lower case.

    Returns:
        31 digits of base 36, lower case, padded with zeros.

    Raises:
        ValueError: It is not 40 hexadecimal digits.
    """
    if not _HEX.fullmatch(hexadecimal):
        raise ValueError(f"{hexadecimal!r} is not a SHA-1 in 40 hexadecimal digits")
    number, digits = int(hexadecimal, 16), ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits.zfill(31)


__all__ = ["base36_from_hex", "hex_from_base36"]
