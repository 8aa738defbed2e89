"""Meshes as files for other programs: Wavefront OBJ, binary PLY and binary glTF, with vertex colours or a texture."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.srgb import linear
from face3dmm_ros.core.values import Mesh
from face3dmm_ros.files.whole_file import write_whole

SUFFIXES = (".obj", ".ply", ".glb")
"""The formats that `write_mesh` knows."""


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write a mesh in the format of the path's suffix.

    In the file the face stands as viewers expect it, and as glTF prescribes: metres, x right, y up, z toward the
    viewer. The origin is the middle of the mesh's bounding box, so that a viewer's camera finds the head; the head
    looks where it looked before the camera.

    Args:
        path: ends in one of `SUFFIXES`. ``.obj`` carries colours as ``v x y z r g b``, ``.ply`` as red, green, blue
            (little-endian binary), both sRGB; ``.glb`` as COLOR_0, which glTF wants linear.
        mesh: in camera space.

    Raises:
        Face3DMMError: an unknown suffix, a mesh that is empty or not finite, or a path that cannot be written.
    """
    writers = dict(zip(SUFFIXES, (_obj, _ply, _glb), strict=True))
    suffix = path.suffix.lower()
    if suffix not in writers:
        raise Face3DMMError(
            f"{path}: a mesh is written as {', '.join(SUFFIXES)}, not as {suffix or 'a nameless format'}"
        )
    write_whole(path, writers[suffix](_in_file(path, mesh)))


def write_textured_mesh(path: Path, mesh: Mesh, uv: NDArray[np.float32], texture: NDArray[np.uint8]) -> None:
    """Write a mesh with a texture as binary glTF, the texture inside as PNG.

    The texture is an albedo, so viewers light it, as a matt surface. The mesh stands as `write_mesh` lays down.

    Args:
        path: ends in ``.glb``.
        mesh: in camera space, a vertex on a texture seam there once per side; its colours are left out.
        uv: (N, 2) float32 places in the texture, u right, v down, (0, 0) its top left corner; the texture repeats.
        texture: (H, W, 3) uint8 BGR.

    Raises:
        Face3DMMError: another suffix, a mesh that is empty or not finite, a uv or texture of another form, or a path
            that cannot be written.
    """
    if path.suffix.lower() != ".glb":
        raise Face3DMMError(f"{path}: a textured mesh is written as .glb")
    if uv.shape != (len(mesh.vertices), 2) or not np.isfinite(uv).all():
        raise Face3DMMError(f"{path}: expected finite ({len(mesh.vertices)}, 2) texture places, found {uv.shape}")
    if texture.ndim != 3 or texture.shape[2] != 3 or texture.dtype != np.uint8 or not texture.size:
        raise Face3DMMError(f"{path}: expected a (H, W, 3) uint8 BGR texture, found {texture.shape} {texture.dtype}")
    png = cv2.imencode(".png", texture)[1].tobytes()
    write_whole(path, _glb(_in_file(path, mesh), uv.astype("<f4"), png))


def _in_file(path: Path, mesh: Mesh) -> Mesh:
    """A mesh as it stands in a file, in little-endian numbers."""
    if not len(mesh.vertices) or not (np.isfinite(mesh.vertices).all() and np.isfinite(mesh.normals).all()):
        raise Face3DMMError(f"{path}: the mesh is empty or holds values that are not finite (NaN or infinity)")
    vertices = mesh.vertices @ FRONTAL
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2.0
    return Mesh(
        (vertices - middle).astype("<f4"),
        (mesh.normals @ FRONTAL).astype("<f4"),
        mesh.triangles,
        mesh.rgb,
        mesh.model_digest,
    )


def _obj(mesh: Mesh) -> bytes:
    """Wavefront OBJ, with the colours that many programs read after a vertex's coordinates."""
    rows = np.column_stack([mesh.vertices, mesh.rgb / 255.0])
    lines = ["v {:.6f} {:.6f} {:.6f} {:.4f} {:.4f} {:.4f}".format(*row) for row in rows.tolist()]
    lines += ["vn {:.4f} {:.4f} {:.4f}".format(*row) for row in mesh.normals.tolist()]
    # An OBJ file counts from 1.
    lines += ["f {0}//{0} {1}//{1} {2}//{2}".format(*row) for row in (mesh.triangles + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def _ply(mesh: Mesh) -> bytes:
    """Stanford PLY, little-endian binary."""
    coordinates = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    vertices = np.empty(len(mesh.vertices), [*coordinates, ("red", "u1"), ("green", "u1"), ("blue", "u1")])
    columns = (*mesh.vertices.T, *mesh.normals.T, *mesh.rgb.T)
    for name, column in zip(vertices.dtype.names or (), columns, strict=True):
        vertices[name] = column
    faces = np.empty(len(mesh.triangles), [("count", "u1"), ("vertices", "<i4", 3)])
    faces["count"], faces["vertices"] = 3, mesh.triangles
    header = [
        *("ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"),
        *(f"property float {name}" for name, _ in coordinates),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        *(f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"),
    ]
    return ("\n".join(header) + "\n").encode() + vertices.tobytes() + faces.tobytes()


def _glb(mesh: Mesh, uv: NDArray[np.float32] | None = None, png: bytes = b"") -> bytes:
    """Binary glTF 2.0: one mesh of a matt, two-sided material, with vertex colours or, given uv, a texture."""
    FLOAT, UNSIGNED_INT, ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 5126, 5125, 34962, 34963
    painted = ("COLOR_0", linear(mesh.rgb / 255.0).astype("<f4"), "VEC3") if uv is None else ("TEXCOORD_0", uv, "VEC2")
    parts: list[tuple[NDArray, str, int, int]] = [
        (mesh.vertices, "VEC3", FLOAT, ARRAY_BUFFER),
        (mesh.normals, "VEC3", FLOAT, ARRAY_BUFFER),
        (painted[1], painted[2], FLOAT, ARRAY_BUFFER),
        (mesh.triangles.astype("<u4").reshape(-1, 1), "SCALAR", UNSIGNED_INT, ELEMENT_ARRAY_BUFFER),
    ]
    binary = b""
    views: list[dict] = []
    accessors: list[dict] = []
    for array, kind, component, target in parts:
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": array.nbytes, "target": target})
        accessor = {"bufferView": len(accessors), "componentType": component, "count": len(array), "type": kind}
        accessors.append(accessor | {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()})
        binary += array.tobytes()
    surface: dict = {"metallicFactor": 0.0, "roughnessFactor": 0.8}
    material: dict = {"pbrMetallicRoughness": surface, "doubleSided": True}
    document = {
        "asset": {"version": "2.0", "generator": "face3dmm_ros"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "face"}],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1, painted[0]: 2}, "indices": 3, "material": 0}]}
        ],
        "materials": [material],
        "bufferViews": views,
        "accessors": accessors,
    }
    if uv is not None:
        REPEAT, LINEAR, LINEAR_MIPMAP_LINEAR = 10497, 9729, 9987
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(png)})
        binary += png + b"\0" * (-len(png) % 4)
        surface["baseColorTexture"] = {"index": 0}
        document |= {
            "textures": [{"source": 0, "sampler": 0}],
            "images": [{"bufferView": len(views) - 1, "mimeType": "image/png"}],
            "samplers": [{"wrapS": REPEAT, "wrapT": REPEAT, "magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR}],
        }
    document["buffers"] = [{"byteLength": len(binary)}]
    return glb_file(document, binary)


def glb_file(document: dict, binary: bytes) -> bytes:
    """A binary glTF 2.0 file of a document and its buffer, whose length is a multiple of four."""
    text = json.dumps(document, separators=(",", ":")).encode()
    chunks = _glb_chunk(b"JSON", text + b" " * (-len(text) % 4)) + _glb_chunk(b"BIN\0", binary)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _glb_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<I4s", len(content), kind) + content
