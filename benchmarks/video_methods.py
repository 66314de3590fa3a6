"""Ways to get samples out of a video: the proposal's, other libraries', the limit, and ours.

Each is written as its users write it, with the settings that serve it best. All take the same wanted times
and give back the times of the frames that they really got, so that cheap and wrong shows.
"""

import contextlib
import math
import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import av
import av.container
import av.packet
import av.video.frame
import av.video.stream
import cv2
import imageio_ffmpeg  # type: ignore[import-untyped, unused-ignore]
import numpy as np

from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.sampling import SamplingMode, SamplingOrder
from classifier.decode.video import decode_video

_EPSILON_S = 0.002


@dataclass(frozen=True, slots=True)
class Order:
    """What a method is asked for.

    Attributes:
        path: The film.
        format_name: As `sniff` names it.
        interval_s: Seconds between two samples.
        duration_s: Length of the film in seconds.
        rate: Frames per second.
        keys_s: Times of its keyframes; for the limit, which is spared finding them.
    """

    path: Path
    format_name: str
    interval_s: float
    duration_s: float
    rate: int
    keys_s: tuple[float, ...]

    @property
    def wanted_s(self) -> list[float]:
        """The interval's multiples, and the last frame's time."""
        count = int((self.duration_s - 1.5 / self.rate) / self.interval_s) + 1
        return [number * self.interval_s for number in range(count)] + [self.duration_s - 1 / self.rate]


Method = Callable[[Order], list[float]]
Packets: TypeAlias = "Iterator[av.packet.Packet[Any]]"


def ffmpeg_everything(order: Order) -> list[float]:
    """`ffmpeg -f null`: every frame decoded on one thread, none kept."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    source = ["-threads", "1", "-i", str(order.path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    subprocess.run([ffmpeg, "-nostdin", "-loglevel", "error", *source, "-f", "null", "-"], check=True)
    return order.wanted_s


def opencv_sequential(order: Order) -> list[float]:
    """OpenCV, frame after frame, on one thread; only the wanted ones are converted."""
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "threads;1"
    times: list[float] = []
    waiting = deque(order.wanted_s)
    with _opencv(order.path) as capture:
        while waiting and capture.grab():
            at_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if at_s >= waiting[0] - 0.5 / order.rate:
                waiting.popleft()
                if capture.retrieve()[0]:
                    times.append(at_s)
    return times


def proposal(order: Order, folder: Path | None = None) -> list[float]:
    """The proposal's method: OpenCV with its defaults, one seek per sample, each written as a JPEG.

    Args:
        order: What is wanted.
        folder: Where the JPEGs stay; None: nowhere.
    """
    os.environ.pop("OPENCV_FFMPEG_CAPTURE_OPTIONS", None)
    times: list[float] = []
    with contextlib.ExitStack() as stack:
        capture = stack.enter_context(_opencv(order.path))
        target = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for number, wanted_s in enumerate(order.wanted_s):
            capture.set(cv2.CAP_PROP_POS_MSEC, wanted_s * 1000)
            read, pixels = capture.read()
            if read:
                times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
                cv2.imwrite(str(target / f"{number:05}.jpg"), pixels)
    return times


@contextlib.contextmanager
def _opencv(path: Path) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        yield capture
    finally:
        capture.release()


def decord(order: Order) -> list[float]:
    """Decord, one index per sample, on one thread, as it advises for single frames."""
    import decord as library  # type: ignore[import-not-found, import-untyped, unused-ignore]

    reader = library.VideoReader(str(order.path), num_threads=1)
    numbers = [min(round(wanted_s * order.rate), len(reader) - 1) for wanted_s in order.wanted_s]
    times = []
    for number in numbers:
        reader[number].asnumpy()
        times.append(float(reader.get_frame_timestamp(number)[0]))
    return times


def torchcodec(order: Order) -> list[float]:
    """The decoder of torchcodec, asked for all times at once, without its scan of the file."""
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found, unused-ignore]

    decoder = VideoDecoder(str(order.path), num_ffmpeg_threads=1, seek_mode="approximate")
    return [float(at_s) for at_s in decoder.get_frames_played_at(order.wanted_s).pts_seconds]


def pyav_seek(order: Order) -> list[float]:
    """PyAV with a seek per sample, decoding from the keyframe on."""
    times = []
    with av.open(str(order.path)) as container:
        video = _single(container)
        for wanted_s in order.wanted_s:
            packets = _from_key(container, video, wanted_s)
            found = next(_until(packets, video, [wanted_s], order.rate), None)
            if found is not None:
                found[0].to_ndarray(format="bgr24")
                times.append(found[1])
    return times


def limit(order: Order) -> list[float]:
    """The frames between each sample's keyframe and the sample, once, and nothing else: no conversion."""
    times = []
    keys_s = np.array(order.keys_s)
    group_of = np.searchsorted(keys_s, np.array(order.wanted_s) + 0.5 / order.rate, side="right") - 1
    with av.open(str(order.path)) as container:
        video = _single(container)
        for group in sorted(set(group_of.tolist())):
            wanted = [at_s for at_s, its in zip(order.wanted_s, group_of, strict=True) if its == group]
            packets = _from_key(container, video, float(keys_s[group]), float(keys_s[group]))
            times += [at_s for _, at_s in _until(packets, video, wanted, order.rate)]
    return times


def keyframes(order: Order) -> list[float]:
    """For each wanted time the keyframe before it, each once; no other packet is decoded."""
    times: list[float] = []
    with av.open(str(order.path)) as container:
        video = _single(container)
        for key_s in _distinct_keys(order):
            packet = next(_from_key(container, video, key_s, key_s), None)
            frames = [*video.codec_context.decode(packet), *video.codec_context.decode(None)]
            video.codec_context.flush_buffers()
            if frames:
                frames[0].to_ndarray(format="bgr24")
                times.append(key_s)
    return times


def _distinct_keys(order: Order) -> list[float]:
    keys_s = np.array(order.keys_s)
    at = np.searchsorted(keys_s, np.array(order.wanted_s) + 0.5 / order.rate, side="right") - 1
    return [float(keys_s[number]) for number in sorted(set(at.tolist()))]


def ours(mode: SamplingMode, sequence: SamplingOrder = "sequential") -> Method:
    """This project's decoder, as the workers use it, up to the picture scaled for the model.

    Args:
        mode: `exact` or `economical`.
        sequence: `sequential` or `coarse_to_fine`.
    """

    def method(order: Order) -> list[float]:
        # Without a cap in reach: it would stretch the economical mode's gaps.
        allowed = limits(mode, order.interval_s, sequence, max_frames=100_000)
        pictures = decode_video(order.path, order.format_name, allowed, Report())
        return [picture.at_s or 0.0 for picture in pictures]

    return method


def limits(
    mode: SamplingMode,
    interval_s: float | None,
    sequence: SamplingOrder = "sequential",
    max_frames: int = 1000,
) -> DecodeLimits:
    """The project's limits without those on time, which a benchmark must not run into."""
    return DecodeLimits(
        cpu_s=36_000,
        wall_s=36_000,
        max_frames=max_frames,
        sampling_mode=mode,
        sampling_interval_s=interval_s,
        sampling_order=sequence,
    )


def _single(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    video = container.streams.video[0]
    video.thread_type = "NONE"
    video.codec_context.thread_count = 1
    return video


def _from_key(
    container: av.container.InputContainer,
    video: av.video.stream.VideoStream,
    at_s: float,
    key_s: float = -math.inf,
) -> Packets:
    """Packets from a keyframe at or before a time on, and not from one before `key_s`.

    Some containers' seeks land behind the keyframe; then a second one further ahead is tried, and so on.
    """
    for back_s in (0.0, 1.0, 3.0, at_s + 10.0):
        video.codec_context.flush_buffers()
        ticks = round((at_s - back_s) / (video.time_base or 1)) + (video.start_time or 0)
        container.seek(ticks, stream=video)
        packets = (packet for packet in container.demux(video) if packet.size)
        for packet in packets:
            packet_s = _time_s(packet, video)
            if packet.is_keyframe and packet_s is not None and packet_s >= key_s - _EPSILON_S:
                break
        else:
            continue
        if packet_s <= at_s + _EPSILON_S:
            return chain([packet], packets)
    return iter(())


def _time_s(
    timed: "av.packet.Packet[Any] | av.video.frame.VideoFrame", video: av.video.stream.VideoStream
) -> float | None:
    if timed.pts is None or video.time_base is None:
        return None
    return float((timed.pts - (video.start_time or 0)) * video.time_base)


def _until(
    packets: Packets,
    video: av.video.stream.VideoStream,
    wanted_s: Sequence[float],
    rate: int,
) -> Iterator[tuple[av.video.frame.VideoFrame, float]]:
    """Decode, and no further than the last wanted time."""
    waiting = list(wanted_s)
    for packet in chain(packets, [None]):
        for frame in video.codec_context.decode(packet):
            at_s = _time_s(frame, video)
            if at_s is not None and at_s >= waiting[0] - 0.5 / rate:
                waiting.pop(0)
                yield frame, at_s
                if not waiting:
                    return


METHODS: dict[str, Method] = {
    "everything (ffmpeg)": ffmpeg_everything,
    "OpenCV, sequential": opencv_sequential,
    "OpenCV, seek + JPEG (proposal)": proposal,
    "Decord": decord,
    "torchcodec": torchcodec,
    "PyAV, seek per sample": pyav_seek,
    "the limit": limit,
    "ours, exact": ours("exact"),
    "ours, economical": ours("economical"),
    "keyframes alone": keyframes,
}

__all__ = ["METHODS", "Method", "Order", "limits", "ours"]
