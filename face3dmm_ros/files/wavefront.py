"""Wavefront OBJ, which may come from strangers: positions and colours of vertices, and polygons; nothing else is read.

The layout is Wavefront's (Advanced Visualizer manual, appendix B1), with the colours ``v x y z r g b`` that many
programs write. Sizes and counts are judged before numbers are made of a file.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular

MOST_OBJ_BYTES = 150_000_000
"""Of a file, by hand: half a million vertices with normals, places in a texture and polygons take some 100 MB."""
_LONGEST_LINE = 2_000
"""Bytes, by hand: a vertex with colours takes some 70, and no face has a polygon of a hundred corners."""


class ObjMesh(NamedTuple):
    """What a file holds.

    Attributes:
        vertices: (N, 3) float64, in the file's unit.
        colors: (N, 3) float64, as the file has them; None where it has none.
        triangles: (M, 3) int64 vertices, counted from 0; a polygon of more corners is a fan about its first one.
    """

    vertices: NDArray[np.float64]
    colors: NDArray[np.float64] | None
    triangles: NDArray[np.int64]


def read_obj(path: Path, most_vertices: int, most_triangles: int) -> ObjMesh:
    """Read a mesh.

    Raises:
        Face3DMMError: the file cannot be read, is no OBJ file of a mesh, is damaged, or has more.
    """
    data = read_regular(path, MOST_OBJ_BYTES)
    numbers = _vertices(path, data, most_vertices)
    colors = numbers[:, -3:] if numbers.shape[1] >= 6 else None
    return ObjMesh(numbers[:, :3], colors, _triangles(path, data, len(numbers), most_triangles))


def read_obj_vertices(path: Path, most_vertices: int) -> NDArray[np.float64]:
    """The positions alone, (N, 3), in the file's unit.

    Raises:
        Face3DMMError: as `read_obj`.
    """
    return _vertices(path, read_regular(path, MOST_OBJ_BYTES), most_vertices)[:, :3]


def _vertices(path: Path, data: bytes, most: int) -> NDArray[np.float64]:
    """(N, C): x y z, or with w and r g b after them."""
    rows = _rows(path, data, b"v", most)
    width = len(rows[0].split())
    numbers = _numbers(path, rows)
    if width not in (3, 4, 6, 7) or numbers.size != width * len(rows):
        raise Face3DMMError(
            f"{path}: expected vertices of 3 coordinates each, or with 3 colours after them; found {numbers.size} "
            f"numbers in {len(rows)} lines"
        )
    return numbers.reshape(-1, width)


def _triangles(path: Path, data: bytes, count: int, most: int) -> NDArray[np.int64]:
    # Of a corner's vertex, place in the texture and normal (v/vt/vn) the first.
    rows = [re.sub(rb"/[^\s]*", b"", row) for row in _rows(path, data, b"f", most)]
    corners = np.array([len(row.split()) for row in rows])
    numbers = _numbers(path, rows)
    if corners.min() < 3 or numbers.size != corners.sum() or (numbers.size - 2 * len(rows)) > most:
        raise Face3DMMError(f"{path}: expected up to {most} triangles, or polygons of as many; found other lines")
    if _faces_last(data):
        numbers = np.where(numbers < 0, count + 1 + numbers, numbers)
    if not ((numbers >= 1) & (numbers <= count) & (numbers == np.floor(numbers))).all():
        raise Face3DMMError(
            f"{path}: its polygons must name vertices by numbers from 1 to {count}, or, where all vertices come before "
            f"them, from -{count} to -1"
        )
    first = np.cumsum(corners) - corners
    fans = corners - 2
    place = np.arange(fans.sum()) - np.repeat(np.cumsum(fans) - fans, fans)
    start = np.repeat(first, fans)
    return numbers.astype(np.int64)[np.stack([start, start + place + 1, start + place + 2], axis=1)] - 1


def _faces_last(data: bytes) -> bool:
    """Whether negative numbers, which count back from a polygon's line, count back from the last vertex of all."""
    polygon = re.search(rb"^f[ \t]", data, re.MULTILINE)
    return polygon is not None and max(data.rfind(b"\nv "), data.rfind(b"\nv\t")) < polygon.start()


def _rows(path: Path, data: bytes, key: bytes, most: int) -> list[bytes]:
    """What stands behind a key on all lines that begin with it: some."""
    found = sum(data.count(b"\n" + key + gap) for gap in (b" ", b"\t"))
    if found > most:
        raise Face3DMMError(f"{path} has {found} lines of {key.decode()!r}; up to {most} are read")
    rows = re.findall(rb"^" + key + rb"[ \t]+(.*)$", data, re.MULTILINE)
    if not rows:
        raise Face3DMMError(f"{path} has no lines of {key.decode()!r}: expected a mesh in Wavefront's format (.obj)")
    longest = max(map(len, rows))
    if longest > _LONGEST_LINE:
        raise Face3DMMError(f"{path} has a line of {longest} bytes; up to {_LONGEST_LINE} are read")
    return rows


def _numbers(path: Path, rows: Sequence[bytes]) -> NDArray[np.float64]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of text that is no number, at which NumPy stops
            return np.fromstring(b" ".join(rows).decode("ascii"), sep=" ")
    # Text can be anything; it is only ever read as numbers.
    except Exception as error:
        raise Face3DMMError(f"{path}: expected numbers: {error}") from error
