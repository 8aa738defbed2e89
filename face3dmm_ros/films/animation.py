"""A face's track as binary glTF: its own head, moving, for Blender, three.js and other programs.

The document is glTF 2.0's (Khronos): the expressions are morph targets, whose weights and the head's turn and place are
animated, with a key for each image.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import Intrinsics, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, quaternion
from face3dmm_ros.core.srgb import linear
from face3dmm_ros.files.whole_file import write_whole
from face3dmm_ros.films.glb import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, GlbArrays, one_sided
from face3dmm_ros.films.tracks import FaceTrack, TrackedFilm
from face3dmm_ros.morphable_model.model import MorphableModel

_MM = 1e-3


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
    file = GlbArrays({})
    first = track.parameters[0]
    vertices = model.identity(first.alpha)
    # Normals of targets are left out, as most files do: programs keep those of the face at rest.
    attributes = {
        "POSITION": file.add(vertices * _MM, "VEC3", ARRAY_BUFFER, limits=True),
        "NORMAL": file.add(model.normals(vertices), "VEC3", ARRAY_BUFFER),
        "COLOR_0": file.add(linear(model.rgb(first.gamma) / 255.0), "VEC3", ARRAY_BUFFER),
    }
    indices = file.add(model.triangles.reshape(-1, 1).astype("<u4"), "SCALAR", ELEMENT_ARRAY_BUFFER)
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
    file.document |= document
    write_whole(path, file.packed())


def _motion(track: FaceTrack, fov: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The head's turns, (n, 4) unit quaternions of which neighbours lie on the same side, and places, (n, 3) m."""
    turns, places = [], []
    for face in track.parameters:
        pose = metric_pose(face.camera, Intrinsics.from_field_of_view(face.image_size, fov))
        turns.append(quaternion(FRONTAL @ pose.rotation))
        places.append(FRONTAL @ pose.position)
    return one_sided(np.array(turns)), np.array(places)
