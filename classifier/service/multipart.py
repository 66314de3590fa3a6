"""Takes a multipart body apart while it comes: each file becomes an `Upload`, nothing else is kept.

Which field a file stands in does not matter, nor what it is called; the part's own content type is not
believed. A part without a file name is a field of the form; those are counted and thrown away.
"""

from collections.abc import AsyncIterator
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from classifier.service.problems import Problem
from classifier.service.upload import KEPT_BYTES, Spool, Upload

_MAX_FIELDS: Final = 100
_FIELD_BYTES: Final = 64 * 1024
_NAME_CHARACTERS: Final = 255


class _Form:
    """Told by the parser what it finds."""

    def __init__(self, spool: Spool, max_files: int, max_file_bytes: int) -> None:
        self.files: list[tuple[str, Upload]] = []
        self.ended = False
        self._spool, self._max_files, self._max_file_bytes = spool, max_files, max_file_bytes
        self._header, self._value, self._disposition = bytearray(), bytearray(), b""
        self._upload: Upload | None = None
        self._fields = self._field_bytes = 0

    def part_begins(self) -> None:
        self._disposition, self._upload = b"", None

    def header_name(self, content: bytes, start: int, end: int) -> None:
        self._header += content[start:end]

    def header_value(self, content: bytes, start: int, end: int) -> None:
        self._value += content[start:end]

    def header_ends(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options and b"filename*" not in options:
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise Problem("too_large", f"a form may have {_MAX_FIELDS} fields without a file")
            return
        if len(self.files) >= self._max_files:
            raise Problem("too_large", f"a request to this address may have {self._max_files} file(s)")
        name = options.get(b"filename", b"").decode("utf-8", "replace")[:_NAME_CHARACTERS]
        kept_bytes = KEPT_BYTES if self._max_files == 1 else 0
        self._upload = Upload(self._spool, self._max_file_bytes, kept_bytes)
        self.files.append((name, self._upload))

    def part_content(self, content: bytes, start: int, end: int) -> None:
        if self._upload is not None:
            self._upload.add(memoryview(content)[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > _FIELD_BYTES:
            raise Problem("too_large", f"the fields of a form may have {_FIELD_BYTES} bytes beside its files")

    def end(self) -> None:
        self.ended = True

    def parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self.part_begins,
                "on_header_field": self.header_name,
                "on_header_value": self.header_value,
                "on_header_end": self.header_ends,
                "on_headers_finished": self.headers_end,
                "on_part_data": self.part_content,
                "on_end": self.end,
            },
        )


async def files(
    pieces: AsyncIterator[bytes], content_type: str, spool: Spool, *, max_files: int, max_file_bytes: int
) -> list[tuple[str, Upload]]:
    """Read the files of a form.

    Args:
        pieces: The body as it comes.
        content_type: The request's, with the boundary.
        spool: Where files go.
        max_files: The most there may be.
        max_file_bytes: The most each may have.

    Returns:
        What the caller calls each file, to be repeated in answers and nowhere else, and the file. At least
        one; close them.

    Raises:
        Problem: The form is none, is cut off, or too large; nothing is left on the disk then.
    """
    form = _Form(spool, max_files, max_file_bytes)
    complete = False
    try:
        _, options = parse_options_header(content_type)
        parser = form.parser(options.get(b"boundary", b""))
        async for piece in pieces:
            parser.write(piece)
            for _, upload in form.files:
                await upload.spill()
        complete = form.ended
        if not complete:
            raise Problem("malformed_request", "the form ends before its last boundary")
        if not form.files:
            complete = False
            raise Problem("invalid_request", "the form holds no file: a part with a file name is needed")
    except FormParserError as error:
        raise Problem("malformed_request", f"the form cannot be read: {error}") from error
    finally:
        if not complete:
            for _, upload in form.files:
                upload.close()
    return form.files


__all__ = ["files"]
