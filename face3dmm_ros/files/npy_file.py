"""NumPy's single arrays (.npy), which may come from strangers; those of objects are pickles, and read as such."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.files.safe_pickle import MOST_BYTES, unpickled

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_LONGEST_SIDE = 2**31


def read_npy(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """What an .npy file holds: an array of numbers, or, of objects, what `safe_pickle.unpickled` makes of them.

    Args:
        path: of the file.
        most_bytes: that it may have.

    Raises:
        Face3DMMError: it cannot be read, is too large or damaged, or claims another shape than it has numbers for.
    """
    content = read_regular(path, most_bytes)
    try:
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"it has version {version} of NumPy's format")
        shape, fortran, dtype = _HEADERS[version](stream)
        rest = content[stream.tell() :]
        if not dtype.hasobject:
            if any(not 0 <= side < _LONGEST_SIDE for side in shape) or math.prod(shape) * dtype.itemsize != len(rest):
                raise ValueError(f"it claims {dtype} of shape {shape}, but holds {len(rest)} bytes")
            flat = np.frombuffer(rest, dtype) if rest else np.zeros(0, dtype)
            return flat.reshape(shape, order="F" if fortran else "C")
    # A damaged file can make the parser fail in any way; it builds arrays only and runs nothing.
    except Exception as error:
        raise Face3DMMError(f"{path} is not a readable array (.npy): {error or type(error).__name__}") from error
    return unpickled(rest, str(path))
