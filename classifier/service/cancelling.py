"""A decoder that works for one request: when its time is over, the workers are free for others."""

from collections.abc import Iterator, Sequence
from types import TracebackType

from classifier.decode.coverage import Looks
from classifier.decode.segments import Segment
from classifier.service.deadline import Deadline, DeadlineExceeded
from classifier.streams import Decoder, DecodeStream
from classifier.values import DecodeSummary, Frame, MediaPart


class CancellingStream:
    """A decode job that ends in `DeadlineExceeded` when the deadline is cancelled.

    Args:
        stream: The job.
        deadline: Of the request.
    """

    def __init__(self, stream: DecodeStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline
        # The job ends within moments, even if its worker says nothing.
        deadline.on_cancel(stream.leave)

    def __enter__(self) -> "CancellingStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.__exit__(kind, error, traceback)

    def __iter__(self) -> Iterator[list[Frame]]:
        """Yield frames; an early end is no end of the file.

        Raises:
            DeadlineExceeded: The time is over.
        """
        for frames in self._stream:
            self._deadline.check()
            yield frames
        if self._deadline.cancelled:
            raise DeadlineExceeded

    @property
    def summary(self) -> DecodeSummary:
        """As `DecodeStream`."""
        return self._stream.summary

    @property
    def segments(self) -> int:
        """As `DecodeStream`."""
        return self._stream.segments

    @property
    def looks(self) -> Looks | None:
        """As `DecodeStream`."""
        return self._stream.looks

    def leave(self) -> None:
        """As `DecodeStream`."""
        self._stream.leave()


class CancellingDecoder:
    """Begins jobs that end with the request.

    Args:
        decoder: Shared with all requests.
        deadline: Of this one.
    """

    def __init__(self, decoder: Decoder, deadline: Deadline) -> None:
        self._decoder = decoder
        self._deadline = deadline

    @property
    def workers(self) -> int:
        """As `Decoder`."""
        return self._decoder.workers

    @property
    def idle_workers(self) -> int:
        """As `Decoder`."""
        return self._decoder.idle_workers

    def open(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> CancellingStream:
        """As `Decoder`.

        Raises:
            DeadlineExceeded: The time is over.
        """
        self._deadline.check()
        return CancellingStream(self._decoder.open(parts, preprocessing, segment), self._deadline)

    def open_if_idle(
        self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None
    ) -> CancellingStream | None:
        """As `Decoder`.

        Raises:
            DeadlineExceeded: The time is over.
        """
        self._deadline.check()
        stream = self._decoder.open_if_idle(parts, preprocessing, segment)
        return None if stream is None else CancellingStream(stream, self._deadline)


__all__ = ["CancellingDecoder", "CancellingStream"]
