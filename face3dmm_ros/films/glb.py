"""Arrays of binary glTF files: what `animation` and `avatar_animation` are made of."""

from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.files.meshes import glb_file

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
"""Targets of arrays of vertices, and of indices."""
_FLOAT, _UNSIGNED_INT = 5126, 5125


class GlbArrays:
    """A document and its buffer, to which arrays are added.

    Attributes:
        document: the file's JSON.
    """

    def __init__(self, document: dict[str, Any], binary: bytes = b"") -> None:
        """Begin with a copy of a document that has, if any, this buffer."""
        self.document = deepcopy(document)
        self._views = self.document.setdefault("bufferViews", [])
        self._accessors = self.document.setdefault("accessors", [])
        self._binary = bytearray(binary + bytes(-len(binary) % 4))

    def add(self, array: NDArray, kind: str, target: int = 0, *, limits: bool = False) -> int:
        """The accessor of an array (n, components), float32 unless it is uint32."""
        array = array if array.dtype == np.uint32 else np.ascontiguousarray(array, "<f4")
        view = self._view(array.tobytes(), target)
        component = _UNSIGNED_INT if array.dtype == np.uint32 else _FLOAT
        accessor = {"bufferView": view, "componentType": component, "count": len(array), "type": kind}
        if limits:
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        return self._accessor(accessor)

    def add_sparse(self, moved: NDArray) -> int:
        """The accessor of displacements (n, 3), of which those that are not 0 take room."""
        moved = np.ascontiguousarray(moved, "<f4")
        at = np.flatnonzero(np.abs(moved).max(axis=1) > 0.0)
        accessor: dict[str, Any] = {"componentType": _FLOAT, "count": len(moved), "type": "VEC3"}
        accessor |= {"min": moved.min(axis=0).tolist(), "max": moved.max(axis=0).tolist()}
        if len(at):
            accessor["sparse"] = {
                "count": len(at),
                "indices": {"bufferView": self._view(at.astype("<u4").tobytes()), "componentType": _UNSIGNED_INT},
                "values": {"bufferView": self._view(moved[at].tobytes())},
            }
        return self._accessor(accessor)

    def packed(self) -> bytes:
        """The file."""
        return glb_file(self.document | {"buffers": [{"byteLength": len(self._binary)}]}, bytes(self._binary))

    def _view(self, content: bytes, target: int = 0) -> int:
        view = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(content)}
        self._views.append(view | ({"target": target} if target else {}))
        self._binary += content + bytes(-len(content) % 4)
        return len(self._views) - 1

    def _accessor(self, accessor: dict[str, Any]) -> int:
        self._accessors.append(accessor)
        return len(self._accessors) - 1


def one_sided(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions (n, 4) of the same rotations, neighbours on the same side.

    q and −q are one rotation, between which players would turn all the way round.
    """
    sides = np.sign((quaternions[1:] * quaternions[:-1]).sum(axis=1))
    flips = np.cumprod(np.where(sides < 0.0, -1.0, 1.0))
    return np.concatenate([quaternions[:1], quaternions[1:] * flips[:, None]])
