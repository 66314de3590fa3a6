"""Frames that carry their own number: whatever the codec and mode, a score belongs to the frame it names."""

import itertools
import subprocess
from array import array

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.sniff import sniff_file
from classifier.decode.video import DECODERS, decode_video
from classifier.preprocess import get, known, video_frame_size
from tests import media, model_weights

RATE, COUNT, BITS = 25, 260, 9
CLIPS = {
    "h264 long groups": ("x.mp4", ["-c:v", "libx264", "-preset", "veryfast", "-g", "250", "-bf", "3"]),
    "h264 open groups": ("x.mp4", ["-c:v", "libx264", "-g", "20", "-x264-params", "open-gop=1:bframes=3"]),
    "h264 fragmented": ("x.mp4", ["-c:v", "libx264", "-g", "30", "-movflags", "frag_keyframe+empty_moov"]),
    "h264 in matroska": ("x.mkv", ["-c:v", "libx264", "-g", "50", "-bf", "2"]),
    "h264 moov first, 10 bit": (
        "x.mp4",
        ["-c:v", "libx264", "-pix_fmt", "yuv420p10", "-movflags", "faststart"],
    ),
    "h264 interlaced": ("x.mp4", ["-c:v", "libx264", "-flags", "+ilme+ildct", "-x264-params", "tff=1"]),
    "hevc": ("x.mp4", ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=60:log-level=0"]),
    "vp8": ("x.webm", ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "64"]),
    "vp8 hidden frames": (
        "x.webm",
        ["-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-g", "64"],
    ),
    "vp8 alpha": ("x.webm", ["-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-g", "64"]),
    "vp9": ("x.webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "128"]),
    "vp9 hidden frames": (
        "x.webm",
        ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-lag-in-frames", "16", "-g", "50"],
    ),
    "vp9 without cues": ("x.webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "50", "-live", "1"]),
    "av1": ("x.webm", ["-c:v", "libsvtav1", "-preset", "12", "-g", "64"]),
    "av1 in mp4": ("x.mp4", ["-c:v", "libsvtav1", "-preset", "12", "-g", "64"]),
    "theora": ("x.ogv", ["-c:v", "libtheora", "-q:v", "6", "-g", "64"]),
    "mpeg1": ("x.mpg", ["-c:v", "mpeg1video", "-q:v", "4", "-g", "15", "-bf", "2"]),
    "mpeg2": ("x.mpg", ["-c:v", "mpeg2video", "-q:v", "4", "-g", "15", "-bf", "2"]),
    "mpeg2 interlaced": ("x.mpg", ["-c:v", "mpeg2video", "-q:v", "4", "-flags", "+ilme+ildct"]),
    "mpeg2 in ts": ("x.ts", ["-c:v", "mpeg2video", "-q:v", "4", "-g", "15", "-bf", "2"]),
    "h264 in ts": ("x.ts", ["-c:v", "libx264", "-g", "50"]),
}


def numbered(number):
    """A picture of vertical bars, white where the number has a bit."""
    pixels = np.random.default_rng(number).integers(0, 40, (64, 144), np.uint8)  # no header lies so much
    for bit in range(BITS):
        if number >> bit & 1:
            pixels[:, 16 * bit : 16 * bit + 16] += 210
    return Image.fromarray(pixels).convert("RGB")


def number_of(picture):
    columns = np.asarray(picture.content).mean(axis=(0, 2))
    bars = columns.reshape(BITS, -1) if len(columns) % BITS == 0 else np.array_split(columns, BITS)
    return sum(1 << bit for bit, bar in enumerate(bars) if np.median(bar) > 128)


@pytest.fixture(scope="session")
def raw_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("numbered") / "raw.rgb"
    path.write_bytes(b"".join(numbered(number).tobytes() for number in range(COUNT)))
    return path


@pytest.fixture(scope="session")
def clips(raw_clip, tmp_path_factory):
    """Encodes each clip once."""
    made = {}

    def clip(name):
        if name not in made:
            file_name, options = CLIPS[name]
            target = tmp_path_factory.mktemp("clip") / file_name
            source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "144x64", "-r", str(RATE), "-i", raw_clip]
            if "-pix_fmt" not in options:
                options = [*options, "-pix_fmt", "yuv420p"]
            command = [
                imageio_ffmpeg.get_ffmpeg_exe(),
                "-v",
                "error",
                *source,
                "-threads",
                "1",
                *options,
                target,
            ]
            subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)
            made[name] = target
        return made[name]

    return clip


def decoded(path, decoders=DECODERS, **changes):
    report = Report()
    limits = DecodeLimits(**{"sampling_order": "sequential", **changes})
    return list(decode_video(path, sniff_file(path).name, limits, report, decoders)), report


@pytest.mark.parametrize("name", CLIPS)
def test_exact_mode_gives_the_frame_of_every_moment_under_its_own_time(clips, name):
    pictures, report = decoded(clips(name), sampling_interval_s=1.0)
    expected = [*range(0, COUNT, RATE), COUNT - 1]
    assert [number_of(picture) for picture in pictures] == expected
    assert [picture.at_s for picture in pictures] == pytest.approx([n / RATE for n in expected], abs=0.002)
    assert (report.decoder, report.mode, report.truncated, report.covered_share) == (
        "pyav",
        "exact",
        False,
        1.0,
    )
    assert report.largest_gap_s == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("interval_s", [0.6, 2.0])
def test_economical_mode_bounds_and_reports_its_largest_gap(clips, name, interval_s):
    pictures, report = decoded(clips(name), sampling_interval_s=interval_s, sampling_mode="economical")
    numbers = [number_of(picture) for picture in pictures]
    assert (numbers[0], numbers[-1]) == (0, COUNT - 1)
    assert numbers == sorted(set(numbers))
    assert [picture.at_s for picture in pictures] == pytest.approx([n / RATE for n in numbers], abs=0.002)
    gap_s = max(b - a for a, b in itertools.pairwise(numbers)) / RATE
    assert gap_s <= 1.25 * interval_s + 1 / RATE + 0.002
    assert report.largest_gap_s == pytest.approx(gap_s, abs=1 / RATE + 0.002)
    assert (report.mode, report.truncated) == ("economical", False)


@pytest.mark.parametrize("name", ["h264 open groups", "vp9", "theora", "mpeg2"])
def test_coarse_to_fine_gives_the_same_frames_in_another_order(clips, name):
    straight, _ = decoded(clips(name), sampling_interval_s=0.7)
    coarse, report = decoded(clips(name), sampling_interval_s=0.7, sampling_order="coarse_to_fine")
    assert [picture.at_s for picture in coarse] != [picture.at_s for picture in straight]
    assert {number_of(picture) for picture in coarse} == {number_of(picture) for picture in straight}
    for picture in coarse:
        assert picture.at_s == pytest.approx(number_of(picture) / RATE, abs=0.002)
    assert (report.truncated, report.covered_share) == (False, 1.0)


@pytest.mark.parametrize("name", ["h264 long groups", "vp8", "mpeg2", "mpeg2 in ts", "vp9"])
@pytest.mark.parametrize("decoder", DECODERS[1:], ids=["pyav sequential", "opencv"])
def test_the_other_decoders_agree_on_numbers_and_times(clips, name, decoder):
    pictures, report = decoded(clips(name), [decoder], sampling_interval_s=1.0, video_frame_px=None)
    numbers = [number_of(picture) for picture in pictures]
    assert numbers[-1] == COUNT - 1
    assert [picture.at_s for picture in pictures] == pytest.approx([n / RATE for n in numbers], abs=0.045)
    assert report.decoder == decoder.name


def test_a_decoder_that_yields_nothing_is_not_nothing_found(clips):
    class Blind:
        name = "pyav"

        def pictures(self, *_):
            return iter(())

    pictures, report = decoded(clips("mpeg2"), [Blind(), Blind(), DECODERS[-1]])
    assert (number_of(pictures[-1]), report.decoder) == (COUNT - 1, "opencv")


def test_leaving_early_still_tells_what_was_looked_at(clips):
    report, limits = Report(), DecodeLimits(sampling_interval_s=1.0, sampling_order="sequential")
    frames = decode_video(clips("vp9"), "Matroska", limits, report)
    for _ in range(3):
        next(frames)
    frames.close()
    assert report.truncated
    assert report.largest_gap_s == pytest.approx((COUNT - 1) / RATE - 2.0, abs=0.05)
    assert 0.1 < report.covered_share < 0.5


@pytest.mark.parametrize("name", ["vp9", "theora", "mpeg2", "h264 in matroska"])
@pytest.mark.parametrize("mode", ["exact", "economical"])
def test_damage_in_the_middle_costs_what_is_damaged_and_is_told(clips, tmp_path, name, mode):
    source = clips(name)
    content = bytearray(source.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = np.random.default_rng(1).bytes(third)
    path = tmp_path / source.name
    path.write_bytes(content)
    pictures, report = decoded(path, sampling_interval_s=0.5, sampling_mode=mode)
    times_s = [picture.at_s for picture in pictures]
    assert times_s == sorted(times_s)
    assert sum(at_s < 3 for at_s in times_s) >= 4
    assert max(times_s) > 7
    assert report.largest_gap_s > 1.0
    assert report.covered_share < 0.95
    for picture in pictures:
        if picture.at_s < 2.55 or picture.at_s > 7.5:
            assert picture.at_s == pytest.approx(number_of(picture) / RATE, abs=0.002)


@pytest.mark.parametrize(
    ("name", "tells_its_length"),
    [("vp9", True), ("theora", False), ("mpeg2", False), ("h264 moov first, 10 bit", True)],
)
def test_a_file_cut_off_is_judged_up_to_there_and_says_so(clips, tmp_path, name, tells_its_length):
    source = clips(name)
    content = source.read_bytes()
    path = tmp_path / source.name
    path.write_bytes(content[: len(content) * 2 // 3])
    pictures, report = decoded(path, sampling_interval_s=1.0)
    assert len(pictures) >= 4
    # MPEG gives some frames no time stamp, and those before the cut get theirs from what is lost.
    assert pictures[-1].at_s == pytest.approx(number_of(pictures[-1]) / RATE, abs=0.09)
    if tells_its_length:
        assert report.truncated
        assert report.largest_gap_s > 2.0


def test_still_pictures_of_a_day_are_all_looked_at(tmp_path):
    times_ms = [0, 43_200_000, 86_400_000]
    frames = [media.photo(320, 240, seed) for seed in range(3)]
    path = media.save_video(tmp_path / "x.webm", frames, "libvpx", times_ms=times_ms)
    pictures, report = decoded(path)
    assert len(pictures) == 3  # such times are not believed, but every picture is looked at
    assert not report.truncated


@pytest.mark.slow
def test_a_second_of_8k_is_decoded_small(tmp_path):
    frames = [media.corners(7680, 4320)] * 3
    path = media.save_video(tmp_path / "x.mp4", frames, "libx264", options={"preset": "ultrafast"})
    pictures, _ = decoded(path)
    assert [picture.content.shape for picture in pictures] == [(256, 256, 3)] * 2
    assert media.corner_names(pictures[-1].content, "bgr") == "RGBY"


def test_a_stream_that_changes_its_size_is_checked_frame_by_frame(tmp_path):
    small = media.save_video(tmp_path / "a.ts", media.grey_frames(20), "mpeg2video", rate=25)
    large = media.save_video(tmp_path / "b.ts", [media.corners(640, 480)] * 20, "mpeg2video", rate=25)
    path = tmp_path / "x.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    pictures, _ = decoded(path, sampling_interval_s=0.2)
    assert media.corner_names(pictures[-1].content, "bgr") == "RGBY"
    assert [picture.at_s for picture in pictures] == sorted(picture.at_s for picture in pictures)


def test_of_several_streams_the_best_one_is_taken_and_no_attached_picture(clips, tmp_path):
    cover = tmp_path / "cover.png"
    media.corners(300, 300).save(cover)
    path = tmp_path / "x.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", cover, "-i", clips("h264 long groups")]
    command += [
        "-map",
        "0",
        "-map",
        "1",
        "-c:v:0",
        "png",
        "-c:v:1",
        "copy",
        "-disposition:v:0",
        "attached_pic",
        path,
    ]
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)
    pictures, report = decoded(path, sampling_interval_s=1.0)
    assert [number_of(picture) for picture in pictures] == [*range(0, COUNT, RATE), COUNT - 1]
    assert report.decoder == "pyav"


def test_the_scaler_makes_what_every_preprocessing_makes_first():
    pixels = np.asarray(media.photo(1024, 512))
    for name in known():
        prepare = get(name)
        limits = DecodeLimits().for_preprocessing(prepare.shorter_px)
        side_px = limits.video_frame_px
        size = video_frame_size(1024, 512, side_px) if limits.video_keeps_aspect else (side_px, side_px)
        small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        whole, shrunk = (prepare.prepare_array(array, "rgb").astype(int) for array in (pixels, small))
        assert np.abs(whole - shrunk).mean() < 1.0, f"{name} begins otherwise: see FrameScaler"


@pytest.mark.slow
def test_scaling_in_the_decoder_moves_clear_scores_by_next_to_nothing(tmp_path):
    positive = Image.fromarray(model_weights.positive(320, 240, robust="video"))
    for picture, is_positive in ((positive.resize((854, 480)), True), (media.photo(854, 480), False)):
        path = media.save_video(tmp_path / "x.webm", [picture] * 3)
        scores = []
        for side_px in (None, 256):
            frames, _ = decoded(path, video_frame_px=side_px)
            scores.append(model_weights.score(np.asarray(frames[0].content)[:, :, ::-1]))
        assert (scores[0] > 0.8) == is_positive
        assert scores[1] == pytest.approx(scores[0], abs=0.02)


def test_memory_of_the_index_is_bounded():
    from classifier.decode.video_index import _MAX_KEYS, _Scan

    scan = _Scan(array("d"))
    for number in range(3 * _MAX_KEYS):
        scan.add(number / 25, 0.04, is_key=True)
    assert len(scan.keys_s) <= _MAX_KEYS
    assert (scan.keys_s[0], scan.end_s) == (0.0, (3 * _MAX_KEYS - 1) / 25)
