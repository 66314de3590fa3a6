import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from classifier import preprocess
from classifier.decode.image import decode_image
from classifier.decode.job import decode
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.errors import DecodeError
from classifier.values import MediaPart
from tests import media

LIMITS = DecodeLimits()


def decoded(path, format_name, limits=LIMITS):
    report = Report()
    return list(decode_image(path, format_name, limits, report)), report


def only(path, format_name):
    pictures, report = decoded(path, format_name)
    assert len(pictures) == 1
    assert pictures[0].content.mode == "RGB"
    return pictures[0].content, report


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
def test_every_format_gives_the_picture_upright_in_its_colours(tmp_path, format_name):
    media.corners().save(tmp_path / "x", format_name)
    image, report = only(tmp_path / "x", format_name)
    assert media.corner_names(image) == "RGBY"
    assert (report.kind, report.decoder, report.truncated) == ("image", "pillow", False)


@pytest.mark.parametrize(
    ("turn", "seen"),
    [
        (1, "RGBY"),
        (2, "GRYB"),
        (3, "YBGR"),
        (4, "BYRG"),
        (5, "RBGY"),
        (6, "BRYG"),
        (7, "YGBR"),
        (8, "GYRB"),
    ],
)
def test_exif_orientation_is_obeyed(tmp_path, turn, seen):
    exif = Image.Exif()
    exif[0x0112] = turn
    media.corners().save(tmp_path / "x", "JPEG", exif=exif)
    image, _ = only(tmp_path / "x", "JPEG")
    assert media.corner_names(image) == seen


def test_damaged_exif_data_costs_the_orientation_only(tmp_path):
    media.corners().save(tmp_path / "x", "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert media.corner_names(only(tmp_path / "x", "JPEG")[0]) == "RGBY"


def test_a_large_jpeg_is_decoded_in_full_because_reduced_decoding_moves_scores(tmp_path):
    media.photo(1200, 800).resize((2400, 1600)).save(tmp_path / "x", "JPEG")
    with Image.open(tmp_path / "x") as whole:
        image, report = only(tmp_path / "x", "JPEG")
        assert np.array_equal(np.asarray(image), np.asarray(whole))
    assert report.decoder == "pillow"


@pytest.mark.parametrize(
    ("least_px", "decoder", "size"),
    [
        (401, "pillow", (1203, 801)),
        (400, "pillow-1/2", (602, 401)),
        (201, "pillow-1/2", (602, 401)),
        (200, "pillow-1/4", (301, 201)),
        (100, "pillow-1/8", (151, 101)),
        (1, "pillow-1/8", (151, 101)),
    ],
)
@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_reduced_decoding_leaves_what_was_asked_for_and_says_so(
    tmp_path, least_px, decoder, size, turn, mode
):
    exif = Image.Exif()
    exif[0x0112] = turn
    media.corners(1203, 801).convert(mode).save(tmp_path / "x", "JPEG", exif=exif)
    pictures, report = decoded(tmp_path / "x", "JPEG", DecodeLimits(reduced_jpeg_px=least_px))
    image = pictures[0].content
    assert (report.decoder, image.size) == (decoder, size if turn == 1 else size[::-1])
    if mode != "L":
        assert media.corner_names(image) == ("RGBY" if turn == 1 else "BRYG")


def test_a_damaged_jpeg_is_not_reduced(tmp_path):
    media.photo(400, 300).save(tmp_path / "x", "JPEG", quality=90)
    content = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(content[: len(content) * 3 // 4])
    pictures, report = decoded(tmp_path / "x", "JPEG", DecodeLimits(reduced_jpeg_px=100))
    assert (report.decoder, report.truncated, pictures[0].content.width) == ("pillow", True, 400)


def test_cmyk_as_adobe_stores_it_is_not_inverted(tmp_path):
    media.corners().convert("CMYK").save(tmp_path / "x", "JPEG")
    assert b"Adobe" in (tmp_path / "x").read_bytes()
    assert media.corner_names(only(tmp_path / "x", "JPEG")[0]) == "RGBY"


def test_ycck_is_told_from_cmyk(tmp_path):
    # Pillow writes no YCCK, but stores four channels inverted; Adobe's transform byte says what they mean.
    channels = ImageOps.invert(media.corners()).convert("YCbCr").split()
    black = Image.new("L", channels[0].size, 0)
    Image.merge("CMYK", [*map(ImageOps.invert, channels), black]).save(tmp_path / "x", "JPEG", quality=95)
    content = bytearray((tmp_path / "x").read_bytes())
    content[content.index(b"Adobe") + 11] = 2
    (tmp_path / "x").write_bytes(content)
    assert media.corner_names(only(tmp_path / "x", "JPEG")[0]) == "RGBY"


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path, format_name):
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(ramp).save(tmp_path / "x", format_name)
    image, _ = only(tmp_path / "x", format_name)
    assert np.abs(np.asarray(image)[:, :, 0].astype(int) - (ramp >> 8)).max() <= 1


@pytest.mark.parametrize(("format_name", "suffix"), [("PNG", ".png"), ("TIFF", ".tif")])
def test_forty_eight_bit_colour_is_scaled_not_clipped(tmp_path, format_name, suffix):
    bgr = np.asarray(media.corners())[:, :, ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / f"x{suffix}"), bgr)
    assert media.corner_names(only(tmp_path / f"x{suffix}", format_name)[0]) == "RGBY"


def test_float_grey_tiffs_are_scaled(tmp_path):
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    Image.fromarray(ramp).save(tmp_path / "x", "TIFF")
    assert np.abs(np.asarray(only(tmp_path / "x", "TIFF")[0])[:, :, 0] - ramp * 255).max() <= 1.5


def test_opencv_gives_a_second_opinion_on_a_float_colour_tiff(tmp_path):
    bgr = np.asarray(media.corners())[:, :, ::-1].astype(np.float32) / 255
    cv2.imwrite(str(tmp_path / "x.tif"), bgr)
    image, report = only(tmp_path / "x.tif", "TIFF")
    assert (media.corner_names(image), report.decoder) == ("RGBY", "opencv")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(tmp_path, mode):
    Image.new(mode, (40, 40), 0).save(tmp_path / "x", "PNG")
    assert np.asarray(only(tmp_path / "x", "PNG")[0]).min() == 255


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_a_transparent_colour_lies_on_white(tmp_path, mode):
    key = (0, 0, 0) if mode == "RGB" else 0
    Image.new(mode, (40, 40), 0).save(tmp_path / "x", "PNG", transparency=key)
    assert np.asarray(only(tmp_path / "x", "PNG")[0]).min() == 255


@pytest.mark.parametrize("mode", ["P", "1", "L"])
def test_palettes_bits_and_greys_become_rgb(tmp_path, mode):
    media.corners().convert(mode).save(tmp_path / "x", "PNG")
    assert only(tmp_path / "x", "PNG")[0].size == (96, 64)


def test_pages_of_a_tiff_are_spread_with_first_and_last(tmp_path):
    pages = [Image.new("RGB", (30, 20), (index, 0, 0)) for index in range(40)]
    pages[0].save(tmp_path / "x", "TIFF", save_all=True, append_images=pages[1:])
    pictures, report = decoded(tmp_path / "x", "TIFF")
    assert [picture.page for picture in pictures][:: len(pictures) - 1] == [1, 40]
    assert len(pictures) == 12
    assert [picture.content.getpixel((0, 0))[0] + 1 for picture in pictures] == [
        picture.page for picture in pictures
    ]
    assert (report.kind, report.truncated) == ("document", False)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_half_a_jpeg_is_judged_by_what_is_there_and_marked(tmp_path, options):
    media.photo(400, 300).save(tmp_path / "x", "JPEG", quality=90, **options)
    content = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(content[: len(content) // 2])
    image, report = only(tmp_path / "x", "JPEG")
    assert report.truncated
    assert image.height >= 75
    assert np.asarray(image)[-8:].std() > 3


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_a_picture_with_next_to_nothing_in_it_is_undecodable(tmp_path, format_name):
    media.photo(400, 300).save(tmp_path / "x", format_name)
    content = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(content[:1200])
    with pytest.raises(DecodeError) as caught:
        decoded(tmp_path / "x", format_name)
    assert caught.value.code == "undecodable"


@pytest.mark.parametrize(
    ("content", "format_name"),
    [(media.png_bomb(30_000, 30_000), "PNG"), (media.jpeg_with_size(65_500, 65_500), "JPEG")],
)
def test_gigantic_dimensions_are_refused_before_decoding(tmp_path, content, format_name):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DecodeError) as caught:
        decoded(tmp_path / "x", format_name)
    assert caught.value.code == "too_large"


def test_a_gigantic_later_page_is_refused_too(tmp_path):
    buffer = io.BytesIO()
    small, large = Image.new("L", (10, 10)), Image.new("L", (300, 300))
    small.save(buffer, "TIFF", save_all=True, append_images=[large])
    (tmp_path / "x").write_bytes(buffer.getvalue())
    with pytest.raises(DecodeError) as caught:
        decoded(tmp_path / "x", "TIFF", DecodeLimits(max_pixels=1000))
    assert caught.value.code == "too_large"


def test_random_damage_ends_in_a_picture_or_a_code(tmp_path):
    rng = np.random.default_rng(5)
    outcomes = set()
    for format_name in ("JPEG", "PNG", "TIFF", "WEBP", "BMP"):
        media.corners().save(tmp_path / "x", format_name)
        whole = (tmp_path / "x").read_bytes()
        for _ in range(40):
            content = bytearray(whole)
            for position in rng.integers(0, len(content), 6):
                content[position] = rng.integers(0, 256)
            (tmp_path / "y").write_bytes(content)
            try:
                pictures, _ = decoded(tmp_path / "y", format_name, DecodeLimits(max_pixels=10**6))
            except DecodeError as error:
                outcomes.add(error.code)
            else:
                outcomes.add("picture" if pictures else "nothing")
    assert outcomes <= {"picture", "undecodable", "too_large"}
    assert "picture" in outcomes


def test_struct_sized_garbage_behind_a_signature_is_undecodable(tmp_path):
    (tmp_path / "x").write_bytes(b"II*\0" + struct.pack("<I", 2**31) + bytes(20))
    with pytest.raises(DecodeError) as caught:
        decoded(tmp_path / "x", "TIFF")
    assert caught.value.code == "undecodable"


def test_a_message_does_not_name_the_temporary_file(tmp_path):
    path = tmp_path / "upload-secret"
    path.write_bytes(b"\xff\xd8\xff\xe0 not really a JPEG")
    with pytest.raises(DecodeError) as caught:
        list(decode([MediaPart(path)], preprocess.get("open_nsfw-v1"), DecodeLimits(), Report()))
    assert caught.value.code == "undecodable"
    assert "upload-secret" not in caught.value.message


def test_the_limit_of_frames_holds_for_all_parts_together(tmp_path):
    media.corners().save(tmp_path / "x", "PNG")
    parts = [MediaPart(tmp_path / "x", page) for page in range(1, 6)]
    report = Report()
    frames = decode(parts, preprocess.get("open_nsfw-v1"), DecodeLimits(max_frames=3), report)
    assert [frame.page for frame in frames] == [1, 2, 3]
    assert report.truncated
