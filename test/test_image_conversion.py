"""The contract of the image conversion: the same for cv_bridge, where installed, and for what stands in for it."""

import re
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
from face3dmm_ros.nodes import images
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


@pytest.mark.parametrize("padding", [0, 5])
def test_opencvs_own_types_are_taken_for_grey_bgr_and_bgra(conversion, bgr, padding):
    grey = np.ascontiguousarray(bgr[..., 0])
    np.testing.assert_array_equal(
        conversion.imgmsg_to_cv2(message(grey, "8UC1", padding=padding)), np.repeat(grey[..., None], 3, axis=2)
    )
    bgra = np.concatenate([bgr, np.full((HEIGHT, WIDTH, 1), 9, np.uint8)], axis=2)
    for encoding, pixels in {"8UC3": bgr, "8UC4": bgra}.items():
        image = conversion.imgmsg_to_cv2(message(pixels, encoding, padding=padding))
        np.testing.assert_array_equal(image, bgr, err_msg=encoding)


BYTE_ORDERS = pytest.mark.parametrize(("is_bigendian", "dtype"), [(0, "<u2"), (1, ">u2")])


@BYTE_ORDERS
@pytest.mark.parametrize("padding", [0, 3, 4])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_sixteen_bits_are_scaled_to_eight_in_either_byte_order(conversion, encoding, is_bigendian, dtype, padding):
    values = np.array([[0, 257, 32768], [51400, 65278, 65535]], dtype)
    image = conversion.imgmsg_to_cv2(message(values, encoding, padding=padding, is_bigendian=is_bigendian))
    expected = np.array([[0, 1, 128], [200, 254, 255]], np.uint8)
    np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, axis=2))


@BYTE_ORDERS
@pytest.mark.parametrize("padding", [0, 6])
def test_colours_of_sixteen_bits_give_the_picture_of_their_eight(conversion, bgr, is_bigendian, dtype, padding):
    bgr[0, 0] = 255  # all bits are used
    wide = bgr.astype(dtype) * np.array(257, dtype)
    alpha = np.full((HEIGHT, WIDTH, 1), 9, dtype)
    for encoding, pixels in {
        "bgr16": wide,
        "rgb16": wide[..., ::-1],
        "bgra16": np.concatenate([wide, alpha], axis=2),
        "rgba16": np.concatenate([wide[..., ::-1], alpha], axis=2),
        "16UC3": wide,
        "16UC4": np.concatenate([wide, alpha], axis=2),
    }.items():
        # Concatenated and multiplied arrays are of the machine's own byte order.
        sent = message(pixels.astype(dtype), encoding, padding=padding, is_bigendian=is_bigendian)
        np.testing.assert_array_equal(conversion.imgmsg_to_cv2(sent), bgr, err_msg=encoding)


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_a_cameras_depth_is_told_from_its_values(conversion, encoding, bits):
    brightest = (1 << bits) - 1
    values = np.array([[0, brightest // 5, brightest // 5 * 3, brightest]], np.uint16)
    image = conversion.imgmsg_to_cv2(message(values, encoding))
    np.testing.assert_allclose(image[0, :, 0].astype(int), [0, 51, 153, 255], atol=1)
    assert image[0, 3, 0] == 255


def test_a_cameras_depth_only_grows_so_that_its_pictures_do_not_flicker(conversion):
    def shown(brightest):
        return conversion.imgmsg_to_cv2(message(np.array([[0, brightest]], np.uint16), "mono16"))[0, 1, 0]

    assert shown(4095) == 255
    assert [shown(value) for value in (1023, 4095, 100, 2048, 4095)] == [64, 255, 6, 128, 255]
    assert shown(16383) == 255
    assert shown(4095) == 64


def test_what_is_opaque_says_nothing_of_the_depth(conversion):
    pixels = np.full((2, 2, 4), 1023, np.uint16)
    pixels[..., 3] = 65535
    assert (conversion.imgmsg_to_cv2(message(pixels, "rgba16")) == 255).all()


def test_a_few_stray_values_do_not_darken_a_picture(conversion):
    values = np.full((100, 100), 1023, np.uint16)
    values[5, :10] = 65535
    assert (conversion.imgmsg_to_cv2(message(values, "mono16")) == 255).all()


def bt601(Y, U, V):
    """BGR by ITU-R BT.601, as cameras send it: Y from 16 to 235, U and V around 128."""
    Y, U, V = 255 / 219 * (Y - 16.0), 255 / 224 * (U - 128.0), 255 / 224 * (V - 128.0)
    return np.stack([Y + 1.772 * U, Y - 0.344136 * U - 0.714136 * V, Y + 1.402 * V], axis=-1)


def planes(width, height, shared):
    """Planes of Y, U and V whose colours BGR has; U and V of `shared` × `shared` pixels are one."""
    generator = np.random.default_rng(3)
    chroma = (-(-height // shared), -(-width // shared))
    U, V = generator.integers(110, 146, (2, *chroma), dtype=np.uint8)
    return generator.integers(70, 170, (height, width), dtype=np.uint8), U, V


def padded(plane, step):
    return np.pad(plane, ((0, 0), (0, step - plane.shape[1])), constant_values=77).tobytes()


@pytest.mark.parametrize("size", [(6, 4), (5, 4), (6, 3), (7, 5), (1, 1)])
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_a_plane_of_brightness_and_one_of_shared_colours_make_a_picture(conversion, encoding, padding, size):
    width, height = size
    Y, U, V = planes(width, height, shared=2)
    chroma = np.stack([U, V] if encoding == "nv12" else [V, U], axis=-1).reshape(len(U), -1)
    step = chroma.shape[1] + padding
    data = array("B", padded(Y, step) + padded(chroma, step))
    image = conversion.imgmsg_to_cv2(Image(width=width, height=height, encoding=encoding, step=step, data=data))
    U, V = (np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1)[:height, :width] for plane in (U, V))
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image, bt601(Y, U, V), atol=1.0)


@pytest.mark.parametrize("size", [(6, 4), (5, 3), (1, 1)])
@pytest.mark.parametrize("padding", [0, 3])
def test_a_plane_of_brightness_and_one_of_each_pixels_colour_make_a_picture(conversion, padding, size):
    width, height = size
    Y, U, V = planes(width, height, shared=1)
    step = width + padding
    data = array("B", padded(Y, step) + padded(np.stack([U, V], axis=-1).reshape(height, -1), 2 * step))
    image = conversion.imgmsg_to_cv2(Image(width=width, height=height, encoding="nv24", step=step, data=data))
    np.testing.assert_allclose(image, bt601(Y, U, V), atol=1.0)


@pytest.mark.parametrize(
    ("encoding", "step", "size", "complaint"),
    [
        ("nv12", 6, 24, "an image of 4 nv12 rows with a step of 6 has 36 bytes, but 24 came"),
        ("nv21", 6, 48, "an image of 4 nv21 rows with a step of 6 has 36 bytes, but 48 came"),
        ("nv24", 6, 36, "an image of 4 nv24 rows with a step of 6 has 72 bytes, but 36 came"),
        ("nv12", 5, 30, "a row of 6 nv12 pixels takes 6 bytes, but the image's step is 5"),
        ("rgba16", 47, 188, "a row of 6 rgba16 pixels takes 48 bytes, but the image's step is 47"),
        ("bayer_rggb16", 12, 24, "an image of 4 bayer_rggb16 rows with a step of 12 has 48 bytes, but 24 came"),
        ("32FC1", 24, 96, "image encoding '32FC1' is not one of bgr8, "),
    ],
)
def test_data_of_the_wrong_size_are_refused_with_the_right_one(conversion, encoding, step, size, complaint):
    sent = Image(width=6, height=4, encoding=encoding, step=step, data=array("B", bytes(size)))
    with pytest.raises(Face3DMMError, match=re.escape(complaint)):
        conversion.imgmsg_to_cv2(sent)


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
@pytest.mark.parametrize(("bits", "is_bigendian", "dtype"), [(8, 0, "u1"), (16, 0, "<u2"), (16, 1, ">u2")])
def test_bayer_patterns_give_back_a_flat_colour(conversion, pattern, padding, bits, is_bigendian, dtype):
    colour = {"b": 40, "g": 120, "r": 200}
    tile = np.array([colour[letter] for letter in pattern], dtype).reshape(2, 2) * np.array(257 ** (bits // 16), dtype)
    pixels = np.tile(tile.astype(dtype), (4, 4))
    sent = message(pixels, f"bayer_{pattern}{bits}", padding=padding, is_bigendian=is_bigendian)
    image = conversion.imgmsg_to_cv2(sent)
    np.testing.assert_array_equal(image[2:-2, 2:-2].reshape(-1, 3), np.tile([40, 120, 200], (16, 1)))


class NarrowBridge:
    """A cv_bridge that knows two encodings, and gives pictures that tell that it was asked."""

    def imgmsg_to_cv2(self, message, desired_encoding):
        if message.encoding not in ("bgr8", "rgb8") or message.step != 3 * message.width or message.is_bigendian:
            raise TypeError(f"Unrecognized image encoding [{message.encoding}]")
        return np.full((message.height, message.width, 3), 200, np.uint8)


def test_cv_bridge_is_asked_for_what_it_reads_rightly_alone(monkeypatch, bgr):
    monkeypatch.setattr(images, "CvBridge", NarrowBridge)
    conversion = images.image_conversion()
    assert (conversion.imgmsg_to_cv2(message(bgr, "bgr8")) == 200).all()
    plain = PlainConversion()
    for sent in (
        message(bgr, "8UC3"),
        message(bgr, "bgr8", padding=1),
        message(bgr, "bgr8", is_bigendian=1),
        message(bgr[..., :2], "uyvy"),
        message(bgr[..., :2], "yuyv"),
        message(bgr.astype(np.uint16), "rgb16"),
        Image(width=6, height=4, encoding="nv12", step=6, data=array("B", bytes(36))),
    ):
        np.testing.assert_array_equal(conversion.imgmsg_to_cv2(sent), plain.imgmsg_to_cv2(sent), sent.encoding)


def test_a_cv_bridge_that_fails_is_told_of(monkeypatch, bgr):
    monkeypatch.setattr(images, "CvBridge", NarrowBridge)
    with pytest.raises(Face3DMMError, match="cv_bridge cannot read a mono8 image: Unrecognized image encoding"):
        images.image_conversion().imgmsg_to_cv2(message(bgr[..., 0], "mono8"))


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


@pytest.mark.parametrize("frame_id", ["", "a", "ab", "abc", "camera_optical_frame", "Kamera größer"])
def test_a_picture_serialized_at_once_is_what_its_message_becomes(bgr, frame_id):
    serialization = pytest.importorskip("rclpy.serialization", reason="needs ROS 2")
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = -7, 999_999_999
    for picture in (bgr, bgr[1:3, 2:5]):
        made = PlainConversion().cv2_to_imgmsg(picture, header)
        serialized = images.serialized_image(picture, header)
        # What fills up to multiples of four bytes is undefined.
        assert len(serialized) == len(serialization.serialize_message(made))
        assert serialization.deserialize_message(serialized, Image) == made


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


def test_a_compressed_picture_of_a_12_bit_camera_is_scaled_by_its_values():
    values = np.array([[0, 819, 2457, 4095]], np.uint16)
    encoded = cv2.imencode(".png", values)[1]
    sent = CompressedImage(format="mono16; png compressed ", data=array("B", encoded.tobytes()))
    assert image_from_compressed(sent)[0].tolist() == [[0] * 3, [51] * 3, [153] * 3, [255] * 3]


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"no picture at all", b"P6 2000000 1 255\n\0"])
def test_broken_compressed_data_is_refused(data):
    with pytest.raises(Face3DMMError, match=f"{len(data)} bytes said to be 'jpeg' (is not a picture|claims)"):
        image_from_compressed(CompressedImage(format="jpeg", data=array("B", data)))
