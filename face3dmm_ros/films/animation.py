"""A face's track as binary glTF: its own head, moving, for Blender, three.js and other programs.

The document is glTF 2.0's (Khronos): the expressions are morph targets, whose weights and the head's turn and place are
animated, with a key for each image.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import Intrinsics, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, quaternion
from face3dmm_ros.core.srgb import linear
from face3dmm_ros.files.meshes import glb_file
from face3dmm_ros.files.whole_file import write_whole
from face3dmm_ros.films.tracks import FaceTrack, TrackedFilm
from face3dmm_ros.morphable_model.model import MorphableModel

_MM = 1e-3
_FLOAT, _UNSIGNED_INT, _ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 5126, 5125, 34962, 34963


def write_animation(path: Path, film: TrackedFilm, track: FaceTrack, model: MorphableModel, fov: float) -> None:
    """Write a face's head, and how it moves.

    The camera is at the origin and looks along −z; metres, y up. Places hold for people of average size.

    Args:
        path: ends in ``.glb``.
        film: of the track.
        track: a face's.
        model: of its parameters.
        fov: the camera's horizontal field of view, degrees.

    Raises:
        Face3DMMError: another suffix, a track that is empty, or a file that cannot be written.
    """
    if path.suffix.lower() != ".glb":
        raise Face3DMMError(f"{path}: an animation is written as .glb")
    if not track.parameters:
        raise Face3DMMError(f"{path}: face {track.face_id} is in no image")
    file = _File()
    first = track.parameters[0]
    vertices = model.identity(first.alpha)
    # Normals of targets are left out, as most files do: programs keep those of the face at rest.
    attributes = {
        "POSITION": file.add(vertices * _MM, "VEC3", _ARRAY_BUFFER, limits=True),
        "NORMAL": file.add(model.normals(vertices), "VEC3", _ARRAY_BUFFER),
        "COLOR_0": file.add(linear(model.rgb(first.gamma) / 255.0), "VEC3", _ARRAY_BUFFER),
    }
    indices = file.add(model.triangles.reshape(-1, 1).astype("<u4"), "SCALAR", _ELEMENT_ARRAY_BUFFER)
    targets = [
        {"POSITION": file.add_sparse(_MM * model.expression_basis[:, place].reshape(-1, 3))}
        for place in range(model.expression_count)
    ]
    times = file.add(film.times[track.frames].reshape(-1, 1), "SCALAR", limits=True)
    rotations, places = _motion(track, fov)
    tracks = {
        "weights": file.add(track.beta.reshape(-1, 1), "SCALAR"),
        "rotation": file.add(rotations, "VEC4"),
        "translation": file.add(places, "VEC3"),
    }
    primitive = {"attributes": attributes, "indices": indices, "material": 0, "targets": targets}
    names = {"targetNames": list(model.expression_names)}
    animated = [{"input": times, "output": output, "interpolation": "LINEAR"} for output in tracks.values()]
    node = {"name": f"face {track.face_id}", "mesh": 0}
    document = {
        "asset": {"version": "2.0", "generator": "face3dmm_ros"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node | {"rotation": rotations[0].tolist(), "translation": places[0].tolist()}],
        "meshes": [{"name": "face", "primitives": [primitive], "weights": track.beta[0].tolist(), "extras": names}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8}, "doubleSided": True}],
        "animations": [
            {
                "name": film.name,
                "samplers": animated,
                "channels": [{"sampler": k, "target": {"node": 0, "path": what}} for k, what in enumerate(tracks)],
            }
        ],
    }
    write_whole(path, file.packed(document))


def _motion(track: FaceTrack, fov: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The head's turns, (n, 4) unit quaternions of which neighbours lie on the same side, and places, (n, 3) m."""
    turns, places = [], []
    for face in track.parameters:
        pose = metric_pose(face.camera, Intrinsics.from_field_of_view(face.image_size, fov))
        turns.append(quaternion(FRONTAL @ pose.rotation))
        places.append(FRONTAL @ pose.position)
    rotations = np.array(turns)
    # q and −q are one rotation, between which players would turn all the way round.
    flips = np.sign((rotations[1:] * rotations[:-1]).sum(axis=1))
    rotations[1:] *= np.cumprod(np.where(flips < 0.0, -1.0, 1.0))[:, None]
    return rotations, np.array(places)


class _File:
    """Arrays of a binary glTF file, in the order in which they were added."""

    def __init__(self) -> None:
        self._binary = bytearray()
        self._views: list[dict[str, int]] = []
        self._accessors: list[dict[str, Any]] = []

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

    def packed(self, document: dict[str, Any]) -> bytes:
        """The file of a document, to which the arrays are added."""
        arrays = {"bufferViews": self._views, "accessors": self._accessors}
        return glb_file(document | arrays | {"buffers": [{"byteLength": len(self._binary)}]}, bytes(self._binary))

    def _view(self, content: bytes, target: int = 0) -> int:
        view = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(content)}
        self._views.append(view | ({"target": target} if target else {}))
        self._binary += content + bytes(-len(content) % 4)
        return len(self._views) - 1

    def _accessor(self, accessor: dict[str, Any]) -> int:
        self._accessors.append(accessor)
        return len(self._accessors) - 1
