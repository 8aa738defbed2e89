"""How large an image may be: of files, of the network, and of messages that speak of one without its pixels."""

from face3dmm_ros.core.errors import Face3DMMError

MOST_PIXELS = 50_000_000
"""Of an image. By hand: what cameras give at most, 150 MB when decoded."""

LONGEST_SIDE = 2**15 - 2
"""Of an image, px: the longest that OpenCV 4 can warp, since `cv2.remap` counts in signed 16 bits."""


def check_size(width: int, height: int, name: str, most_pixels: int = MOST_PIXELS) -> None:
    """Check an image's size, px; `name` is what the error calls it.

    Raises:
        Face3DMMError: the image has more than `most_pixels`, or a side longer than `LONGEST_SIDE`.
    """
    if width * height > most_pixels or max(width, height) > LONGEST_SIDE:
        raise Face3DMMError(
            f"{name} claims {width}×{height} pixels; up to {most_pixels / 1e6:.0f} megapixels and {LONGEST_SIDE} a "
            "side are taken: make it smaller"
        )
