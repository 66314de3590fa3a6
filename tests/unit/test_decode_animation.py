import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from classifier.decode.animation import decode_animation
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.timeline import read_timeline
from classifier.errors import DecodeError
from tests import media

FORMATS = ["GIF", "PNG", "WEBP"]


def save(path, format_name, frames, durations_ms, **options):
    frames[0].save(
        path, format_name, save_all=True, append_images=frames[1:], duration=durations_ms, loop=0, **options
    )
    return path


def decoded(path, format_name, limits=None):
    report = Report()
    return list(decode_animation(path, format_name, limits or DecodeLimits(), report)), report


def brightness(picture):
    return np.asarray(picture.content).mean()


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_ten_second_animation_of_ten_frames_gives_them_all_at_their_times(tmp_path, format_name):
    save(tmp_path / "x", format_name, media.grey_frames(10), 1000)
    pictures, report = decoded(tmp_path / "x", format_name)
    assert [picture.at_s for picture in pictures] == [float(index) for index in range(10)]
    assert [round(brightness(picture) / 8) for picture in pictures] == list(range(10))
    assert (report.kind, report.duration_s, report.truncated) == ("animation", 10.0, False)


@pytest.mark.parametrize("format_name", FORMATS)
def test_irregular_frames_keep_their_true_times_and_the_last_is_there(tmp_path, format_name):
    save(tmp_path / "x", format_name, media.grey_frames(6), [100, 2000, 300, 700, 50, 900])
    pictures, _ = decoded(tmp_path / "x", format_name)
    # Frames start at 0, 0.1, 2.1, 2.4, 3.1 and 3.15; what is shown at 0, 1, 2, 3 s and at last.
    assert [picture.at_s for picture in pictures] == [0.0, 0.1, 2.4, 3.15]
    assert [round(brightness(picture) / 8) for picture in pictures] == [0, 1, 3, 5]


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_blink_of_two_frames_is_judged_on_both(tmp_path, format_name):
    save(tmp_path / "x", format_name, media.grey_frames(2), 40)
    assert [picture.at_s for picture in decoded(tmp_path / "x", format_name)[0]] == [0.0, 0.04]


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_animation_of_one_frame_is_a_picture(tmp_path, format_name):
    media.corners().save(tmp_path / "x", format_name)
    pictures, report = decoded(tmp_path / "x", format_name)
    assert [picture.at_s for picture in pictures] == [None]
    assert report.kind == "image"


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_report_says_how_long_nobody_looked(tmp_path, format_name):
    save(tmp_path / "x", format_name, media.grey_frames(20), [100] * 19 + [5000])
    pictures, report = decoded(tmp_path / "x", format_name)
    assert [picture.at_s for picture in pictures] == [0.0, 1.0, 1.9]
    assert report.mode == "exact"
    assert report.largest_gap_s == pytest.approx(0.9)
    assert report.covered_share == 1.0


def test_an_interval_that_is_set_holds_for_animations_too(tmp_path):
    save(tmp_path / "x", "GIF", media.grey_frames(20), 100)
    pictures, _ = decoded(tmp_path / "x", "GIF", DecodeLimits(sampling_interval_s=0.5))
    assert [picture.at_s for picture in pictures] == pytest.approx([0.0, 0.5, 1.0, 1.5, 1.9])


def test_delays_too_short_to_be_shown_count_as_browsers_count_them(tmp_path):
    save(tmp_path / "x", "GIF", media.grey_frames(5), 0)
    assert decoded(tmp_path / "x", "GIF")[1].duration_s == pytest.approx(0.5)


def test_frames_that_change_a_corner_only_are_composed(tmp_path):
    first, second = media.corners(), media.corners()
    second.paste((255, 255, 255), (0, 0, 48, 32))
    save(tmp_path / "x", "GIF", [first, second], 500, disposal=1)
    pictures, _ = decoded(tmp_path / "x", "GIF")
    assert media.corner_names(pictures[0].content) == "RGBY"
    assert media.corner_names(pictures[1].content) == "?GBY"


def test_transparent_animations_lie_on_white(tmp_path):
    frames = [Image.new("RGBA", (20, 20), (0, 0, 0, 0)), Image.new("RGBA", (20, 20), (9, 9, 9, 255))]
    save(tmp_path / "x", "PNG", frames, 500)
    assert [round(brightness(picture)) for picture in decoded(tmp_path / "x", "PNG")[0]] == [255, 9]


def test_a_picture_for_old_browsers_is_no_part_of_the_animation(tmp_path):
    frames = media.grey_frames(4)
    save(tmp_path / "x", "PNG", frames, 1000, default_image=True)
    pictures, _ = decoded(tmp_path / "x", "PNG")
    assert [round(brightness(picture) / 8) for picture in pictures] == [1, 2, 3]


def test_the_cap_keeps_first_and_last(tmp_path):
    save(tmp_path / "x", "GIF", media.grey_frames(30), 1000)
    pictures, _ = decoded(tmp_path / "x", "GIF", DecodeLimits(max_frames=5))
    assert len(pictures) <= 5
    assert (pictures[0].at_s, pictures[-1].at_s) == (0.0, 29.0)


@pytest.mark.parametrize("format_name", ["GIF", "PNG"])  # of a cut WebP, Pillow and OpenCV decode nothing
def test_a_truncated_animation_is_judged_by_what_is_there_and_marked(tmp_path, format_name):
    save(tmp_path / "x", format_name, media.grey_frames(10, noise=True), 200)
    content = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(content[: len(content) // 2])
    pictures, report = decoded(tmp_path / "x", format_name)
    assert report.truncated
    assert pictures


def test_a_damaged_animation_is_judged_up_to_its_last_good_frame(tmp_path):
    save(tmp_path / "x", "GIF", media.grey_frames(10, noise=True), 200)
    content = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(content[: len(content) // 2])
    pictures, _ = decoded(tmp_path / "x", "GIF")
    assert pictures[-1].at_s >= 0.6


@pytest.mark.parametrize(("side_px", "frames"), [(20_000, 3), (2_000, 1_000)])
def test_a_gif_bomb_is_refused_before_its_first_frame(tmp_path, side_px, frames):
    (tmp_path / "x").write_bytes(media.gif_bomb(side_px, side_px, frames))
    with pytest.raises(DecodeError) as caught:
        decoded(tmp_path / "x", "GIF")
    assert caught.value.code == "too_large"


def test_thousands_of_tiny_frames_stay_within_the_cap(tmp_path):
    (tmp_path / "x").write_bytes(media.gif_bomb(4, 4, 5000))
    pictures, report = decoded(tmp_path / "x", "GIF", DecodeLimits(max_frames=50))
    assert 2 <= len(pictures) <= 50
    assert report.duration_s == pytest.approx(500)


@given(st.sampled_from(FORMATS), st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_make_the_timeline_raise(format_name, tail, cut):
    head = {"GIF": b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0), "PNG": media.png_bomb(8, 8), "WEBP": b""}
    timeline = read_timeline((head[format_name] + tail)[:cut], format_name)
    assert timeline is None or timeline.duration_s >= 0
