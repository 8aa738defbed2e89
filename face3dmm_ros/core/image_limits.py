"""How large an image may be: of files, of the network, and of messages that speak of one without its pixels."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from face3dmm_ros.core.errors import Face3DMMError

MOST_PIXELS = 50_000_000
"""Of an image, unless `megapixels_allowed` says otherwise. By hand: what cameras give at most, 150 MB when decoded."""
MEGAPIXELS = 1e-6 * MOST_PIXELS
"""The same, for people."""
LEAST_MEGAPIXELS, MOST_MEGAPIXELS = 1.0, 1000.0
"""What can be allowed. By hand: less is no limit of use, and more than the square of `LONGEST_SIDE` there cannot be."""

LONGEST_SIDE = 2**15 - 2
"""Of an image, px: the longest that OpenCV 4 can warp, since `cv2.remap` counts in signed 16 bits."""

_allowed = ContextVar("allowed", default=MOST_PIXELS)
# What reads an image lies many calls below who knows how much memory there is, and nodes of one process may differ.


@contextmanager
def megapixels_allowed(megapixels: float) -> Iterator[None]:
    """Let images have so many megapixels in what is done within, in this thread."""
    before = _allowed.set(round(1e6 * megapixels))
    try:
        yield
    finally:
        _allowed.reset(before)


def pixels_allowed() -> int:
    """How many pixels an image may have here."""
    return _allowed.get()


def check_size(width: int, height: int, name: str, most_pixels: int | None = None) -> None:
    """Check an image's size, px; `name` is what the error calls it.

    Raises:
        Face3DMMError: the image has more than `most_pixels` (None: `pixels_allowed`), or a side longer than
            `LONGEST_SIDE`.
    """
    most = pixels_allowed() if most_pixels is None else most_pixels
    if width * height > most or max(width, height) > LONGEST_SIDE:
        remedy = "make it smaller" if most_pixels is not None else "make it smaller, or raise max_megapixels"
        raise Face3DMMError(
            f"{name} claims {width}×{height} pixels; up to {most / 1e6:g} megapixels and {LONGEST_SIDE} a "
            f"side are taken: {remedy}"
        )
