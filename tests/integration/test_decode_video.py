import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.probe import probe
from classifier.decode.progress import FrameClock
from classifier.decode.sniff import sniff_file
from classifier.decode.video import DECODERS, decode_video
from classifier.errors import DecodeError
from tests import media


def decoded(path, limits=None):
    report = Report()
    in_time = replace(limits or DecodeLimits(), sampling_order="sequential")
    return list(decode_video(path, sniff_file(path).name, in_time, report)), report


def brightness(picture):
    return round(np.asarray(picture.content).mean() / 8)


def times_s(pictures):
    return [round(picture.at_s, 3) for picture in pictures]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("x.webm", "libvpx", {}),
        ("x.webm", "libvpx-vp9", {}),
        ("x.webm", "libsvtav1", {}),
        ("x.webm", "libsvtav1", {"pixel_format": "yuv420p10le"}),
        ("x.ogv", "libvpx", {}),
        ("x.mp4", "libx264", {}),
        ("x.mp4", "libx264", {"pixel_format": "yuv420p10le"}),
        ("x.mpg", "mpeg1video", {"rate": 25}),
        ("x.mpg", "mpeg2video", {"rate": 25}),
        ("x.ts", "mpeg2video", {"rate": 25}),
    ],
)
def test_every_format_gives_the_frames_of_its_moments_and_the_last(tmp_path, name, codec, options):
    rate = options.get("rate", 10)
    count = 3 * rate
    frames = [Image.new("RGB", (64, 48), (index * 8 * 10 // rate,) * 3) for index in range(count)]
    media.save_video(tmp_path / name, frames, codec, **options)
    pictures, report = decoded(tmp_path / name)
    assert times_s(pictures) == pytest.approx([0, 1, 2, (count - 1) / rate], abs=0.041)
    assert [brightness(picture) for picture in pictures] == pytest.approx([0, 10, 20, 29], abs=1)
    assert (report.kind, report.decoder, report.truncated) == ("video", "pyav", False)


def test_irregular_frames_have_their_own_times(tmp_path):
    times_ms = [0, 150, 900, 1300, 1310, 2700, 2900, 5000]
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(8), times_ms=times_ms)
    pictures, _ = decoded(path)
    # What is shown at 0, 1, 2, 3, 4 and 5 seconds.
    assert times_s(pictures) == [0.0, 0.9, 1.31, 2.9, 5.0]
    assert [brightness(picture) for picture in pictures] == [0, 2, 4, 6, 7]


@pytest.mark.parametrize(("side_px", "shape"), [(None, (47, 63, 3)), (256, (256, 256, 3))])
def test_frames_of_odd_sizes_keep_them_or_are_scaled_to_the_square(tmp_path, side_px, shape):
    path = media.save_video(tmp_path / "x.webm", [media.corners(63, 47)] * 5)
    pictures, _ = decoded(path, DecodeLimits(video_frame_px=side_px))
    assert pictures[0].content.shape == shape
    assert media.corner_names(pictures[0].content, "bgr") == "RGBY"


@pytest.mark.parametrize(("turns", "seen"), [(0, "RGBY"), (1, "BRYG"), (2, "YBGR"), (3, "GYRB")])
def test_rotated_videos_stand_upright_in_every_decoder(tmp_path, turns, seen):
    path = media.rotated_mp4(tmp_path / "x.mp4", turns)
    found = []
    for decoder in DECODERS:
        report = Report()
        pictures = list(decode_video(path, "MP4", DecodeLimits(), report, [decoder]))
        assert report.decoder == decoder.name
        assert media.corner_names(pictures[0].content, "bgr") == seen
        found.append(times_s(pictures))
    assert found == [[0.0, 0.4]] * 3


def test_a_clip_of_two_frames_is_judged_on_both(tmp_path):
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(2))
    assert times_s(decoded(path)[0]) == [0.0, 0.1]


def test_a_clip_of_one_frame_gives_it_once(tmp_path):
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(1))
    assert times_s(decoded(path)[0]) == [0.0]


def set_matroska_duration(path, value_ms):
    content = bytearray(path.read_bytes())
    start = content.index(b"\x44\x89\x88") + 3
    struct.pack_into(">d", content, start, value_ms)
    path.write_bytes(content.replace(b"DURATION", b"DURATIOX"))


@pytest.mark.parametrize("claimed_ms", [0.0, 200.0, 360_000_000.0])
def test_a_missing_or_lying_duration_is_found_out_while_decoding(tmp_path, claimed_ms):
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(40, noise=True))
    set_matroska_duration(path, claimed_ms)
    pictures, report = decoded(path)
    assert times_s(pictures) == [0.0, 1.0, 2.0, 3.0, 3.9]
    assert report.duration_s is not None


def test_a_film_cut_off_in_the_middle_is_judged_by_what_is_there(tmp_path):
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(100, noise=True))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    pictures, report = decoded(path)
    assert report.truncated
    assert len(pictures) >= 4
    assert times_s(pictures[:3]) == [0.0, 1.0, 2.0]


def test_damage_in_the_middle_does_not_hide_the_rest(tmp_path):
    frames = media.grey_frames(100, noise=True)
    path = media.save_video(tmp_path / "x.ts", frames, "mpeg2video", rate=25, options={"g": "5"})
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : third + 20_000] = np.random.default_rng(1).bytes(20_000)
    path.write_bytes(content)
    pictures, _ = decoded(path)
    assert pictures[-1].at_s >= 3.5
    assert times_s(pictures) == sorted(times_s(pictures))


def test_a_film_cut_before_its_first_frame_is_undecodable(tmp_path):
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(30))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DecodeError) as caught:
        decoded(path)
    assert caught.value.code == "undecodable"


@pytest.mark.parametrize(("name", "codec"), [("x.ogg", "libopus"), ("x.webm", "libopus"), ("x.mp4", "aac")])
def test_a_container_with_sound_alone_is_audio(tmp_path, name, codec):
    path = media.save_audio(tmp_path / name, codec)
    with pytest.raises(DecodeError) as caught:
        decoded(path)
    assert caught.value.code == "audio"


def test_a_cover_makes_no_video_of_a_song(tmp_path):
    path = media.save_song_with_cover(tmp_path / "x.mp4")
    with pytest.raises(DecodeError) as caught:
        decoded(path)
    assert caught.value.code == "audio"


def test_the_cap_holds_and_covers_the_whole_length(tmp_path):
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(60, noise=True), rate=2)
    pictures, _ = decoded(path, DecodeLimits(max_frames=6))
    assert len(pictures) <= 6
    assert times_s(pictures)[-1] == 29.5
    assert max(np.diff(times_s(pictures))) <= 8.1


def test_too_many_pixels_are_refused(tmp_path):
    path = media.save_video(tmp_path / "x.webm", media.grey_frames(3))
    with pytest.raises(DecodeError) as caught:
        decoded(path, DecodeLimits(max_pixels=64 * 48 - 1))
    assert caught.value.code == "too_large"


def test_a_film_too_long_for_its_cpu_time_is_looked_at_by_keyframes_and_marked(tmp_path):
    frames = media.grey_frames(200, noise=True)
    path = media.save_video(tmp_path / "x.webm", frames, "libvpx", options={"g": "20"})
    pictures, report = decoded(path, DecodeLimits(cpu_s=1e-6))
    assert report.truncated
    assert times_s(pictures) == sorted(set(times_s(pictures)))
    assert times_s(pictures)[-1] >= 17
    assert len(pictures) >= 8


def test_a_playlist_dressed_up_as_a_video_opens_nothing_else(tmp_path):
    target = media.save_video(tmp_path / "target.ts", media.grey_frames(10), "mpeg2video", rate=25)
    path = tmp_path / "x.mp4"
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
    path.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + playlist.encode())
    with pytest.raises(DecodeError) as caught:
        decoded(path)
    assert caught.value.code == "undecodable"


def test_the_clock_passes_good_times_and_mends_the_rest():
    clock = FrameClock(0.04, 10.0)
    reported = [0.0, 0.5, 0.5, 0.9, None, 0.1, 0.14, 99_999.0, 99_999.04]
    expected = [0.0, 0.5, 0.5, 0.9, 0.94, 0.98, 1.02, 6.02, 6.06]
    assert [clock.at(value) for value in reported] == pytest.approx(expected)


def test_the_probe_finds_every_format_of_the_wiki_decodable():
    rows = {row.format: row for row in probe()}
    assert {"JPEG", "PNG", "GIF", "WEBP", "TIFF", "VP9", "AV1", "Theora", "MPEG-2"} <= set(rows)
    assert [row for row in rows.values() if not row.ok] == []
    assert rows["AV1"].decoder == "pyav"
