"""ROS's depth images to arrays (REP-118: the encodings, and what stands for no depth)."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import check_size
from face3dmm_ros.files.image_layout import ImageMessage

_UNITS = {"16UC1": ("u2", 0.001), "32FC1": ("f4", 1.0)}
"""By encoding the type of a pixel, and its unit in m."""


def depth_from_message(message: ImageMessage) -> NDArray[np.float32]:
    """The depths of a message, (H, W) float32 m; 0 or not finite where there is none.

    Raises:
        Face3DMMError: an encoding that is none of depth images, or size, step and data that disagree.
    """
    if message.encoding not in _UNITS:
        raise Face3DMMError(f"depth encoding {message.encoding!r} is not one of {', '.join(_UNITS)}")
    kind, unit = _UNITS[message.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    width, height, step = message.width, message.height, message.step
    check_size(width, height, "a depth image")
    if min(width, height) < 1 or step < width * dtype.itemsize or len(message.data) != step * height:
        raise Face3DMMError(
            f"a {message.encoding} image of {width}×{height} with a step of {step} has not {len(message.data)} bytes"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)[:, : width * dtype.itemsize]
    return np.asarray(np.ascontiguousarray(rows).view(dtype) * np.float32(unit), np.float32)
