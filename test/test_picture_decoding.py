"""Encoded pictures: what is none, damaged or absurdly large is a clear error, and the last is never unpacked."""

import contextlib
import os
import struct
import threading
import zlib
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from face3dmm_ros.cli.main import main
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import LONGEST_SIDE, MOST_PIXELS, check_size
from face3dmm_ros.core.silent_libraries import silent_in_main_thread
from face3dmm_ros.files import picture_decoding
from face3dmm_ros.files.picture_decoding import decode_picture
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.lab.synthesis.backgrounds import draw_background
from face3dmm_ros.lab.synthesis.scene import Background
from face3dmm_ros.viewer.frame_messages import FrameMessages
from face3dmm_ros.viewer.viewed_frame import IMAGE

WIDE_PPM = b"P6 2000000 1 255\n\0"


def encoded(extension: str, shape: tuple[int, ...] = (24, 32, 3)) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    return cv2.imencode(extension, pixels)[1].tobytes()


def jpeg_claiming(width: int, height: int) -> bytes:
    """A small JPEG whose frame header names another size."""
    data = bytearray(encoded(".jpg"))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def png_claiming(width: int, height: int) -> bytes:
    data = bytearray(encoded(".png"))
    struct.pack_into(">II", data, 16, width, height)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


def bmp_claiming(width: int, height: int) -> bytes:
    data = bytearray(encoded(".bmp"))
    struct.pack_into("<ii", data, 18, width, height)
    return bytes(data)


HUGE = {
    "pnm": (WIDE_PPM, "2000000×1"),
    "jpeg": (jpeg_claiming(33008, 33088), "33008×33088"),
    "png": (png_claiming(30000, 30000), "30000×30000"),
    "bmp": (bmp_claiming(30000, 2000), "30000×2000"),
    "gif": (struct.pack("<6sHH3xcHHHHBBB", b"GIF89a", 9000, 8000, b",", 0, 0, 1, 1, 0, 2, 0), "9000×8000"),
    "long": (b"P5 1 40000 255\n\0", "1×40000"),
}
BROKEN = {
    "nothing": b"",
    "text": b"no picture at all",
    "a JPEG's beginning": b"\xff\xd8\xff",
    "half a PNG": encoded(".png")[:60],
    "no pixels": b"P6 0 0 255\n",
    "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n",
}


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif", ".bmp", ".ppm"])
def test_every_known_format_is_decoded(extension: str) -> None:
    assert decode_picture(encoded(extension), "it").shape == (24, 32, 3)


@pytest.mark.parametrize("kind", HUGE)
def test_what_claims_too_many_pixels_is_refused_before_it_is_unpacked(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(*_: object) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(picture_decoding.cv2, "imdecode", unpack)
    data, claimed = HUGE[kind]
    with pytest.raises(Face3DMMError, match=rf"^it claims {claimed} pixels; up to 50 megapixels and 32766 a side .*$"):
        decode_picture(data, "it")


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_whole_picture_is_refused(kind: str) -> None:
    with pytest.raises(Face3DMMError, match=r"^it is not a picture that can be read: it is (no JPEG, PNG|damaged).*$"):
        decode_picture(BROKEN[kind], "it")


def test_a_damaged_picture_is_told_of_by_an_error_alone(capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for extension in (".png", ".jpg"):
        data = cv2.imencode(extension, noise)[1].tobytes()
        with contextlib.suppress(Face3DMMError):
            decode_picture(data[: len(data) // 2], "it")
    assert capfd.readouterr().err == ""  # of libpng and libjpeg, which write to the descriptor


def test_beside_other_threads_nothing_is_kept_off_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    def write() -> None:
        with silent_in_main_thread():
            os.write(2, b"a node's line")

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert capfd.readouterr().err == "a node's line"


def test_an_error_of_opencv_is_a_damaged_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise cv2.error("assertion failed")

    monkeypatch.setattr(picture_decoding.cv2, "imdecode", failing)
    with pytest.raises(Face3DMMError, match="damaged"):
        decode_picture(encoded(".png"), "it")


def jpeg_with_scans(count: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan is there so many times, with a comment and bytes behind its end."""
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = data[data.rindex(b"\xff\xda") : -2]
    comment = b"\xff\xfe" + (2 + len(before)).to_bytes(2, "big") + before
    return data[:2] + comment + data[2:-2] + (count - data.count(b"\xff\xda")) * last + data[-2:] + after


def test_a_jpeg_of_so_many_scans_that_it_takes_minutes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode_picture(jpeg_with_scans(100), "it").shape == (24, 32, 3)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(Face3DMMError, match="it is a JPEG of more than 100 scans"):
        decode_picture(jpeg_with_scans(101), "it")


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, partial(array, "B"), partial(np.frombuffer, dtype=np.uint8)]
)
def test_scans_are_counted_in_whatever_holds_the_bytes(kind: Callable[[bytes], Any]) -> None:
    assert decode_picture(kind(jpeg_with_scans(100)), "it").shape == (24, 32, 3)
    with pytest.raises(Face3DMMError, match="more than 100 scans"):
        decode_picture(kind(jpeg_with_scans(101)), "it")


def test_the_larger_a_jpeg_the_fewer_scans_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_decoding, "_MOST_SCANNED", 20 * 24 * 32)
    assert decode_picture(jpeg_with_scans(20), "it").shape == (24, 32, 3)
    with pytest.raises(Face3DMMError, match=r"more than 20 scans; up to 20 are taken with 32×24 pixels"):
        decode_picture(jpeg_with_scans(21), "it")


def test_what_looks_like_scans_in_a_comment_or_behind_the_end_is_none() -> None:
    no_scans = 200 * b"\xff\xda"
    assert decode_picture(jpeg_with_scans(12, before=no_scans, after=no_scans), "it").shape == (24, 32, 3)


def test_the_limits_themselves_are_allowed() -> None:
    check_size(10_000, MOST_PIXELS // 10_000, "it")
    check_size(LONGEST_SIDE, 1, "it")


@pytest.mark.parametrize("data", [*(data for data, _ in HUGE.values()), *BROKEN.values()])
def test_a_hostile_file_is_one_line_that_names_it(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(data)
    for read in (read_picture, lambda path: draw_background(Background(picture=path), (64, 48))):
        with pytest.raises(Face3DMMError, match=r"^.*face\.png (claims|is) .*$"):
            read(path)


def test_a_hostile_picture_is_bad_input_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "face.ppm").write_bytes(WIDE_PPM)
    assert main(["fit", str(tmp_path / "face.ppm")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "face.ppm claims 2000000×1 pixels" in line


@pytest.mark.parametrize("data", [jpeg_claiming(33008, 33088), png_claiming(30000, 30000), WIDE_PPM, b""])
def test_a_hostile_picture_is_not_passed_on_to_the_viewer(data: bytes) -> None:
    messages = FrameMessages(lambda stamp_ns: True, quality=80)
    header = SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=1))
    with pytest.raises(Face3DMMError, match=r"said to be 'jpeg' (claims|is not a picture)"):
        messages.take(IMAGE, SimpleNamespace(header=header, format="jpeg", data=data), 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"gone\.jpg cannot be read: No such file"):
        read_picture(tmp_path / "gone.jpg")


def test_a_photograph_is_turned_as_its_camera_says_where_it_is_to_be_upright(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image").fromarray(np.zeros((24, 32, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # Exif's orientation: a quarter turn
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (24, 32, 3)
    assert read_picture(tmp_path / "turned.jpg", upright=True).shape == (32, 24, 3)


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("bits", [10, 12, 13, 14, 16])
def test_a_picture_file_of_16_bits_is_scaled_by_the_values_that_it_holds(tmp_path, extension, bits):
    brightest = (1 << bits) - 1
    for channels in (1, 3):
        values = np.zeros((4, 6, channels), np.uint16)
        values[1:], values[2:] = brightest // 5, brightest
        path = tmp_path / f"{channels}{extension}"
        cv2.imwrite(str(path), values)
        picture = read_picture(path)
        assert (picture.dtype, picture.shape) == (np.uint8, (4, 6, 3))
        assert picture[:3, 0, 0].tolist() == [0, 51, 255], channels
    assert decode_picture(path.read_bytes(), "it", cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_a_picture_file_of_8_bits_stays_as_it_is(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 100, (24, 32, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "dark.png"), pixels)
    np.testing.assert_array_equal(read_picture(tmp_path / "dark.png"), pixels)


def test_a_picture_file_of_signed_values_is_read_as_opencv_does(tmp_path):
    cv2.imwrite(str(tmp_path / "signed.tiff"), np.full((4, 6), 60, np.int8))
    assert read_picture(tmp_path / "signed.tiff")[0, 0].tolist() == [60, 60, 60]


@pytest.mark.parametrize(
    ("kind", "begin"),
    [("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), ("AVIF", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf")],
)
def test_phones_formats_that_are_not_read_are_named_with_what_converts_them(kind: str, begin: bytes) -> None:
    with pytest.raises(Face3DMMError, match=rf"photo is in {kind}, which is not read: .* `heif-convert photo "):
        decode_picture(begin + bytes(100), "photo")
