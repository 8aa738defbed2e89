"""The contract of the image conversion: the same for cv_bridge, where installed, and for what stands in for it."""

from array import array

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sensor_msgs", reason="needs ROS 2's sensor_msgs")

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.image_layout import image_from_compressed
from face3dmm_ros.nodes.images import (
    CvBridge,
    CvBridgeConversion,
    PlainConversion,
    cv2_to_compressed_imgmsg,
)

WIDTH, HEIGHT = 6, 4
IMPLEMENTATIONS = [
    pytest.param(PlainConversion, id="plain"),
    pytest.param(
        CvBridgeConversion,
        id="cv_bridge",
        marks=pytest.mark.skipif(CvBridge is None, reason="cv_bridge is not installed"),
    ),
]


@pytest.fixture(params=IMPLEMENTATIONS)
def conversion(request: pytest.FixtureRequest) -> PlainConversion:
    return request.param()


@pytest.fixture
def bgr() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def message(pixels: NDArray, encoding: str, *, padding: int = 0, is_bigendian: int = 0) -> Image:
    """An image message of (H, W, …) pixels whose rows have some bytes too many."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=rows.shape[1],
        data=array("B", rows.tobytes()),
    )


@pytest.mark.parametrize("padding", [0, 5])
def test_colour_encodings_give_the_same_bgr_picture(conversion, bgr, padding):
    alpha = np.full((HEIGHT, WIDTH, 1), 9, np.uint8)
    rgb = bgr[..., ::-1]
    for encoding, pixels in {
        "bgr8": bgr,
        "rgb8": rgb,
        "bgra8": np.concatenate([bgr, alpha], axis=2),
        "rgba8": np.concatenate([rgb, alpha], axis=2),
    }.items():
        image = conversion.imgmsg_to_cv2(message(pixels, encoding, padding=padding))
        assert image.dtype == np.uint8, encoding
        np.testing.assert_array_equal(image, bgr, err_msg=encoding)


@pytest.mark.parametrize("padding", [0, 3])
def test_grey_images_become_grey_bgr(conversion, padding):
    grey = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) * 10
    image = conversion.imgmsg_to_cv2(message(grey, "mono8", padding=padding))
    np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(("is_bigendian", "dtype"), [(0, "<u2"), (1, ">u2")])
@pytest.mark.parametrize("padding", [0, 4])
def test_sixteen_bits_are_scaled_to_eight_in_either_byte_order(conversion, is_bigendian, dtype, padding):
    values = np.array([[0, 257, 32768], [51400, 65278, 65535]], dtype)
    image = conversion.imgmsg_to_cv2(message(values, "mono16", padding=padding, is_bigendian=is_bigendian))
    np.testing.assert_allclose(image[..., 0].astype(int), [[0, 1, 128], [200, 254, 255]], atol=1)


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "UYVY"), ("yuv422_yuy2", "YUYV")])
@pytest.mark.parametrize("padding", [0, 6])
def test_yuv422_gives_the_colours_of_its_pixel_pairs(conversion, encoding, order, padding):
    parts = {"U": 90, "V": 240}  # strongly red
    luma = iter((76, 150))
    pair = [parts[part] if part in parts else next(luma) for part in order]
    pixels = np.array([pair * (WIDTH // 2)] * HEIGHT, np.uint8).reshape(HEIGHT, WIDTH, 2)
    image = conversion.imgmsg_to_cv2(message(pixels, encoding, padding=padding)).astype(int)
    assert image.shape == (HEIGHT, WIDTH, 3)
    # ITU-R BT.601: Y = 76, U = 90, V = 240 is (B, G, R) = (0, 0, 249).
    np.testing.assert_allclose(image[0, 0], [0, 0, 249], atol=4)
    assert (image[0, 1] > image[0, 0] + 5).any()


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("padding", [0, 2])
def test_bayer_patterns_give_back_a_flat_colour(conversion, pattern, padding):
    colour = {"b": 40, "g": 120, "r": 200}
    tile = np.array([colour[letter] for letter in pattern], np.uint8).reshape(2, 2)
    image = conversion.imgmsg_to_cv2(message(np.tile(tile, (4, 4)), f"bayer_{pattern}8", padding=padding))
    np.testing.assert_array_equal(image[2:-2, 2:-2].reshape(-1, 3), np.tile([40, 120, 200], (16, 1)))


def test_a_picture_comes_back_from_its_message(conversion, bgr):
    header = Header(frame_id="camera")
    header.stamp.sec = 12
    result = conversion.cv2_to_imgmsg(bgr, header)
    assert (result.encoding, result.width, result.height, result.step) == ("bgr8", WIDTH, HEIGHT, 3 * WIDTH)
    assert result.header == header
    np.testing.assert_array_equal(conversion.imgmsg_to_cv2(result), bgr)


def test_a_part_of_a_larger_picture_can_be_sent(conversion, bgr):
    part = bgr[1:3, 2:5]
    np.testing.assert_array_equal(conversion.imgmsg_to_cv2(conversion.cv2_to_imgmsg(part, Header())), part)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"height": HEIGHT + 1}, "bytes"),
        ({"step": 3 * WIDTH - 1}, "step"),
        ({"width": WIDTH + 1}, "step"),
        ({"width": 0}, "empty"),
        ({"height": 0}, "empty"),
        ({"data": array("B", b"123")}, "3 came"),
        ({"data": array("B")}, "0 came"),
        ({"encoding": "rainbow"}, "rainbow"),
        ({"encoding": ""}, "encoding"),
    ],
)
def test_fields_that_disagree_are_refused_with_the_reason(conversion, bgr, change, complaint):
    broken = message(bgr, "bgr8")
    for field, value in change.items():
        setattr(broken, field, value)
    with pytest.raises(Face3DMMError, match=complaint):
        conversion.imgmsg_to_cv2(broken)


def test_an_image_longer_than_opencv_works_with_is_refused(conversion):
    with pytest.raises(Face3DMMError, match="claims 40000×1 pixels"):
        conversion.imgmsg_to_cv2(message(np.zeros((1, 40000, 3), np.uint8), "bgr8"))


def test_half_a_pair_of_yuv_pixels_is_refused(conversion):
    with pytest.raises(Face3DMMError, match="pairs"):
        conversion.imgmsg_to_cv2(message(np.zeros((2, 3, 2), np.uint8), "yuv422"))


@pytest.mark.parametrize("padding", [0, 7])
def test_without_cv_bridge_a_bgr_picture_is_read_without_a_copy(bgr, padding):
    sent = message(bgr, "bgr8", padding=padding)
    image = PlainConversion().imgmsg_to_cv2(sent)
    assert np.shares_memory(image, np.frombuffer(sent.data, np.uint8))


def test_a_compressed_picture_is_read(bgr):
    picture = cv2.resize(bgr, (64, 48))
    for extension in (".png", ".jpg"):
        encoded = cv2.imencode(extension, picture)[1]
        image = image_from_compressed(CompressedImage(format=extension, data=array("B", encoded.tobytes())))
        np.testing.assert_allclose(image.astype(int), picture.astype(int), atol=0 if extension == ".png" else 60)


def test_a_picture_is_compressed_as_image_transport_does(bgr):
    header = Header(frame_id="camera")
    compressed = cv2_to_compressed_imgmsg(bgr, header)
    assert compressed.header == header
    assert compressed.format == "bgr8; jpeg compressed bgr8"
    assert image_from_compressed(compressed).shape == bgr.shape


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"no picture at all", b"P6 2000000 1 255\n\0"])
def test_broken_compressed_data_is_refused(data):
    with pytest.raises(Face3DMMError, match=f"{len(data)} bytes said to be 'jpeg' (is not a picture|claims)"):
        image_from_compressed(CompressedImage(format="jpeg", data=array("B", data)))
