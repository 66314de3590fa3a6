"""One decode job: from the parts of a file to pictures ready for a model.

Runs inside a worker process. Chooses the decoder by the bytes, and turns what is not to be decoded here into
its code. Several parts are the rendered pages of one document: a damaged page does not cost the others.
"""

from collections.abc import Iterator, Sequence

from PIL import Image

from classifier.decode.animation import decode_animation
from classifier.decode.image import decode_image
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Picture, Report
from classifier.decode.segments import Segment
from classifier.decode.sniff import HEAD_BYTES, Sniffed, sniff_file
from classifier.errors import DecodeError
from classifier.preprocess import Preprocess
from classifier.values import Frame, MediaPart


def decode(
    parts: Sequence[MediaPart],
    preprocess: Preprocess,
    limits: DecodeLimits,
    report: Report,
    segment: Segment | None = None,
) -> Iterator[Frame]:
    """Decode a file.

    Args:
        parts: Its parts, at least one; paths are absolute.
        preprocess: Prepares every picture.
        limits: What is allowed.
        report: Filled in on the way.
        segment: Which part of a film to decode, see `decode_video`; None for the whole.

    Yields:
        Frames in the order of pages or time.

    Raises:
        DecodeError: Where there is not a single frame, unless that is a later segment.
    """
    limits = limits.for_preprocessing(preprocess.shorter_px)
    frames, capped = 0, False
    first_error: DecodeError | None = None
    for part in parts:
        if frames >= limits.max_frames:
            report.truncated = True
            break
        try:
            for picture in pictures(part, limits, report, segment):
                capped = frames >= limits.max_frames
                if capped:
                    break
                frames += 1
                if len(parts) > 1:
                    report.kind = "document"
                yield _frame(picture, part, preprocess)
        except DecodeError as error:
            first_error = first_error or error
    report.truncated = report.truncated or capped
    if first_error is not None:
        if not frames:
            raise _without_paths(first_error, parts)
        report.truncated = True
    if not frames and not (segment is not None and segment.index > 0):
        raise DecodeError("undecodable", "the file holds no picture")


def _without_paths(error: DecodeError, parts: Sequence[MediaPart]) -> DecodeError:
    """Libraries like to name the file; ours are temporary, and the message is kept for years."""
    message = error.message
    for part in parts:
        message = message.replace(f" {str(part.path)!r}", "").replace(str(part.path), "the file")
    return DecodeError(error.code, message)


def pictures(
    part: MediaPart, limits: DecodeLimits, report: Report, segment: Segment | None = None
) -> Iterator[Picture]:
    """Decode one part by the decoder that its bytes call for.

    Args:
        part: The part; its path is absolute.
        limits: What is allowed.
        report: Filled in on the way.
        segment: As for `decode`.

    Yields:
        Its pictures.

    Raises:
        DecodeError: Any of the codes.
    """
    source = part.source
    try:
        if source is not None:
            source.ensure(0, min(HEAD_BYTES, source.size_bytes))
        sniffed = sniff_file(part.path)
        if source is not None and sniffed.family in ("image", "animation"):
            source.ensure(0, source.size_bytes)  # their decoders read the file itself
        if sniffed.family == "image":
            yield from decode_image(part.path, sniffed.name, limits, report)
        elif sniffed.family == "animation":
            yield from decode_animation(part.path, sniffed.name, limits, report)
        elif sniffed.family == "video":
            # Loaded with the first video only: most workers never see one, and it costs 20 MB.
            from classifier.decode.video import decode_video

            yield from decode_video(part.path, sniffed.name, limits, report, source=source, segment=segment)
        else:
            raise _refusal(sniffed)
    except OSError as error:
        raise DecodeError("undecodable", f"the file cannot be read: {error}") from error


def _refusal(sniffed: Sniffed) -> DecodeError:
    if sniffed.family == "empty":
        return DecodeError("empty", "the file has no bytes")
    if sniffed.family == "audio":
        return DecodeError("audio", f"{sniffed.name} holds sound, nothing to see")
    if sniffed.family == "unsupported":
        return DecodeError(
            "unsupported_type", f"{sniffed.name} is not decoded here; use a picture rendered from it"
        )
    if sniffed.name == "HTML":
        return DecodeError("undecodable", "the file is an HTML page, probably a server's error message")
    return DecodeError("undecodable", "the bytes are of no known media format")


def _frame(picture: Picture, part: MediaPart, preprocess: Preprocess) -> Frame:
    content = picture.content
    if isinstance(content, Image.Image):
        pixels = preprocess.prepare(content)
    else:
        pixels = preprocess.prepare_array(content, "bgr")
    return Frame(pixels, at_s=picture.at_s, page=part.page if part.page is not None else picture.page)


__all__ = ["decode", "pictures"]
