"""Pure: which addresses may be fetched at all.

The comparison is of text, on purpose: no parser's idea of an address takes part in it, so user names, ports,
upper case, trailing dots, odd spellings of IP addresses and suffix tricks all fail to be equal.
"""

import re
from collections.abc import Collection

_ADDRESS = re.compile(r"(https?)://([^/?#]*)((?:[/?][\x21-\x7e]*)?)")
_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")


def allowed_host(url: str, allowed_hosts: Collection[str]) -> str | None:
    """Decide whether an address may be fetched.

    Args:
        url: Absolute address.
        allowed_hosts: `host` or `host:port`, compared exactly.

    Returns:
        The host (with its port, if it is written) where it stands in the list and the address is `https`, or
        `http` on loopback; else None.
    """
    match = _ADDRESS.fullmatch(url)
    if match is None or "\\" in url or "#" in url:
        return None
    scheme, host, _ = match.groups()
    if host not in allowed_hosts:
        return None
    return host if scheme == "https" or _LOOPBACK.fullmatch(host) else None


__all__ = ["allowed_host"]
