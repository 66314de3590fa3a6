"""What the wiki says of a file, as a frozen value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Description:
    """What the wiki says of a file; every text of it was written by strangers, and is plain and short here.

    Attributes:
        title: Title after redirects.
        sha1_hex: Of the present version; None where the wiki hides it.
        file_timestamp: When that version was uploaded, ISO 8601; empty where unknown.
        media_type: MediaWiki's, `BITMAP`.
        mime: `image/jpeg`.
        uploader: Who uploaded it; empty where hidden.
        author: From the description page; empty where it says none.
        credit: Where the file comes from, as the page says.
        licence: Short name, such as `CC BY-SA 4.0`.
        licence_url: Empty where there is none or it is no http(s) address.
        revision_id: Of the description page that said so; 0 where unknown.
        revision_timestamp: Of that revision, ISO 8601; empty where unknown.
    """

    title: str
    sha1_hex: str | None
    file_timestamp: str = ""
    media_type: str = ""
    mime: str = ""
    uploader: str = ""
    author: str = ""
    credit: str = ""
    licence: str = ""
    licence_url: str = ""
    revision_id: int = 0
    revision_timestamp: str = ""


__all__ = ["Description"]
