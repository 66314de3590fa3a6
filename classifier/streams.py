"""What scoring needs of a decoder, and whom it tells what it sees; protocols alone."""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from classifier.decode.coverage import Looks
from classifier.decode.segments import Segment
from classifier.values import DecodeSummary, Frame, MediaPart

OnFrame = Callable[[Frame, float], None]
"""Told each frame that counts and its score, one at a time. Of a film that several workers decode, frames
come in the order of decoding within each segment only, and from several threads. A frame's pixels are a view
of several frames' memory: who keeps them copies them."""
OnDecoded = Callable[[DecodeSummary], None]
"""Told how decoding stands, each time frames have come; one at a time, perhaps from several threads."""


class DecodeStream(Protocol):
    """A decode job under way; leaving the context ends it."""

    def __enter__(self) -> Self:
        """Return the stream itself."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the job if it has not ended."""
        ...

    def __iter__(self) -> Iterator[list[Frame]]:
        """Yield frames as they are decoded, in order.

        Raises:
            DecodeError: Where the file cannot be decoded.
        """
        ...

    @property
    def summary(self) -> DecodeSummary:
        """What is known so far; final once the iteration has ended or the context was left."""
        ...

    @property
    def segments(self) -> int:
        """Into how many segments the film is cut; known from the first frames on."""
        ...

    @property
    def looks(self) -> Looks | None:
        """What a segment's job has looked at; known once the iteration has ended."""
        ...

    def leave(self) -> None:
        """End the iteration soon, as if there were no more frames; called from another thread."""
        ...


class Decoder(Protocol):
    """What turns files into frames."""

    @property
    def workers(self) -> int:
        """How many jobs can be under way at the same time."""
        ...

    @property
    def idle_workers(self) -> int:
        """How many jobs could be begun now without making anybody wait."""
        ...

    def open(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> DecodeStream:
        """Start a job; waits for its turn.

        Args:
            parts: The files of one upload; several are the pages of a document.
            preprocessing: Id of the preprocessing that the frames need.
            segment: Which part of a film is wanted, if it can be cut; None for the whole. Only a single file
                that is whole can be cut.
        """
        ...

    def open_if_idle(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> DecodeStream | None:
        """Start a job, or return None where somebody would have to wait for it.

        Args:
            parts: As for `open`.
            preprocessing: As for `open`.
            segment: As for `open`.
        """
        ...


__all__ = ["DecodeStream", "Decoder", "OnDecoded", "OnFrame"]
