"""HTTP/1.1 as uvicorn's fast parser reads it, with an end to what is no body, and without upgrades.

The parser is C (llhttp, by httptools): a request costs half a millisecond less than with uvicorn's other one.
But it takes heads, trailers and extensions of chunks of any length, so a connection ends here once it has
sent so much of them in one go; bodies have their own limits. And it leaves out the body of a request that
offers another protocol, as Java's client does with its first one; such an offer is not looked at here, which
RFC 9110, section 7.8, allows.
"""

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's head, or whatever else is no body; what comes at once may be one read of a socket more."""
_INVALID: Final = "Invalid HTTP request received."
_TOO_LONG: Final = "The head of the request is too long."
_OFFERS: Final = (b"upgrade", b"http2-settings")


class BoundedProtocol(HttpToolsProtocol):
    """One connection; uvicorn makes it."""

    _progress = False
    _bytes_without = 0

    def data_received(self, data: bytes) -> None:
        """Parse what came, and end the connection if it goes on and on about nothing.

        Args:
            data: From the socket.
        """
        self._unset_keepalive_if_required()
        self._progress = False
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.logger.warning(_INVALID)
            self.send_400_response(_INVALID)
            return
        self._bytes_without = 0 if self._progress else self._bytes_without + len(data)
        if self._bytes_without > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.logger.warning(_TOO_LONG)
            self.send_400_response(_TOO_LONG)

    def on_headers_complete(self) -> None:
        """The head is there; with an offer in it, it will be read again."""
        self._progress = True
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body is there."""
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there, unless it will be read again."""
        self._progress = True
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            method = self.parser.get_method()
            if method == b"CONNECT":  # asks for a tunnel, which there is none of
                raise httptools.HttpParserError(_INVALID) from None
            lines = [b"%s %s HTTP/1.1" % (method, self.url)]
            lines += [b"%s: %s" % line for line in self.headers if line[0] not in _OFFERS]
            self.parser = httptools.HttpRequestParser(self)
            self._feed(b"\r\n".join(lines) + b"\r\n\r\n" + data[upgrade.args[0] :])


__all__ = ["MAX_HEAD_BYTES", "BoundedProtocol"]
