"""Kept pictures: blurred and grey as long as nobody asks, clear for a reviewer who does.

The blurring is done here, not in the browser: what is not asked for does not leave the server.
"""

import hashlib
import io
import logging
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bot.console.item_ids import parse_id
from bot.console.visits import Visit
from bot.retention.folder import MEDIA_TYPE
from bot.timeline_strip import blurred
from storage.console_story import picture_of

log = logging.getLogger(__name__)

MAX_SIDE_PX: Final = 4096
QUALITY: Final = 60
GONE: Final = "No picture of this upload is kept."


def show_blurred(request: Request, visit: Visit) -> Response:
    """A tiny grey picture on which nothing can be made out."""
    _item_id, content = _kept(request, visit)
    return Response(blurred_jpeg(content), media_type=MEDIA_TYPE)


def show_clear(request: Request, visit: Visit) -> Response:
    """The picture as it is kept, for reviewers, and only from a page of ours."""
    if not visit.holder.may_review:
        raise HTTPException(403, "Clear pictures are for reviewers: the token needs the scope “review”.")
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "Clear pictures are shown on the console's own pages only.")
    item_id, content = _kept(request, visit)
    log.info("console_picture_shown", extra={"account": visit.holder.account, "item_id": item_id})
    return Response(content, media_type=MEDIA_TYPE)


def blurred_jpeg(content: bytes) -> bytes:
    """Blur a kept picture beyond recognition and take its colours away.

    Args:
        content: A JPEG of our own making.

    Returns:
        A JPEG of some hundred bytes.

    Raises:
        HTTPException: 404 where it is damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as picture:
            if max(picture.size) > MAX_SIDE_PX:
                raise HTTPException(404, GONE)
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise HTTPException(404, GONE) from error
    with io.BytesIO() as buffer:
        blurred(pixels, "rgb").convert("L").save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()


def _kept(request: Request, visit: Visit) -> tuple[str, bytes]:
    """The picture of the item that an address names; the bytes must still be those that were kept."""
    console = visit.console
    item_id = request.path_params["item_id"]
    wiki, log_id = parse_id(item_id)
    with console.database.read() as tx:
        sha256 = picture_of(tx, wiki, log_id, console.clock(), console.settings.retention.days)
    if sha256 is None:
        raise HTTPException(404, GONE)
    try:
        content = console.copies.path_of(sha256).read_bytes()
    except OSError as error:
        raise HTTPException(404, GONE) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        log.error("console_picture_changed", extra={"sha256": sha256, "item_id": item_id})
        raise HTTPException(404, GONE)
    return item_id, content


__all__ = ["blurred_jpeg", "show_blurred", "show_clear"]
