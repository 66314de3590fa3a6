"""`iiprop=extmetadata`: licence and author as CommonsMetadata reads them from a file's page. Pure.

The author is HTML, a link to the first version's uploader, as templates write it.
"""

from html import escape
from typing import Any

from bot.minicommons.wiki import Page

LICENCE = "CC BY-SA 4.0"
DEED = "https://creativecommons.org/licenses/by-sa/4.0"


def extmetadata(page: Page, wanted: str | None) -> dict[str, Any]:
    """What is told of a file.

    Args:
        page: The file.
        wanted: `iiextmetadatafilter`, names separated by `|`; None or empty for all.

    Returns:
        Entries by name, each with `value` and `source`.
    """
    author = page.versions[-1].entry.user
    link = f"//commons.wikimedia.org/wiki/User:{escape(author.replace(' ', '_'))}"
    told = {
        "Artist": f'<a href="{link}" title="User:{escape(author)}">{escape(author)}</a>',
        "LicenseShortName": LICENCE,
        "LicenseUrl": DEED,
    }
    names = set(wanted.split("|")) if wanted else told.keys()
    return {
        name: {"value": value, "source": "commons-desc-page"} for name, value in told.items() if name in names
    }
