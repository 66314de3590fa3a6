"""Pure: public ids of uploads in addresses, such as `commonswiki-330498118`; anything else is no page."""

import re
from typing import Final

from starlette.exceptions import HTTPException

_ID: Final = re.compile(r"([A-Za-z0-9_-]{1,64})-([0-9]{1,18})")


def parse_id(text: str) -> tuple[str, int]:
    """Take a public id apart.

    Args:
        text: As it stands in an address or a form.

    Returns:
        Database name of the wiki, and log id of the upload.

    Raises:
        HTTPException: 404 where it is none.
    """
    found = _ID.fullmatch(text)
    if found is None:
        raise HTTPException(404, "There is no such upload.")
    return found[1], int(found[2])


__all__ = ["parse_id"]
