"""Measure how Face Mesh answers to synthetic faces from every side; write landmark_models/face_mesh_response.npz.

Uses the faces that `face3dmm train dense` renders, and renders them if need be. Renderings tell
how the points stray as a head turns. From the front photographs of calm people tell it, where they are given: Face Mesh
knows people better than renderings, and a face at rest shall be none with an expression.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.lab.default_model.face_landmarker import look_at, portraits
from face3dmm_ros.lab.default_model.people_mean import common_offsets
from face3dmm_ros.lab.synthesis.backgrounds import find_pictures
from face3dmm_ros.lab.training.face_chunks import FaceChunks
from face3dmm_ros.lab.training.synthetic_faces import SCENES, RenderedFaces, render_chunks
from face3dmm_ros.landmarks.dense_backend import DenseBackend
from face3dmm_ros.landmarks.dense_network import upright_region
from face3dmm_ros.landmarks.face_mesh_response import (
    MOST_PITCH,
    FaceMeshResponse,
    pitch_degrees,
    right_and_down,
    yaw_degrees,
)
from face3dmm_ros.landmarks.facemesh import REGION_SCALE, FaceMeshBackend
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model

_RESPONSE = "resource/landmark_models/face_mesh_response.npz"
# All of these are chosen by hand; narrower bins and nearer knots need more faces.
#
# Faces in a file of rendered ones.
_CHUNK = 500
# Degrees of yaw for which the table holds a row.
_KNOTS = np.arange(0.0, 91.0, 10.0)
# Degrees about a knot within which faces count for it.
_HALF_WIDTH = 7.5
# Confidence below which Face Mesh sees no face.
_LOST = 0.3
# mm at which an outlier's distance is cut off.
_FAR = 30.0


def mirror_points(canonical: NDArray[np.floating]) -> NDArray[np.int32]:
    """Each point's (P, 3) counterpart on the other side of the face, (P,)."""
    distance = np.linalg.norm((canonical * [-1, 1, 1])[:, None] - canonical[None], axis=2)
    return np.asarray(linear_sum_assignment(distance)[1], dtype=np.int32)


def stray_points(
    faces: FaceChunks, model: MorphableModel, mirror: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Absolute yaw (n,) and pitch (n,), as the dense network tells it, degrees; and Face Mesh's errors (n, 468, 2), mm
    to the right and down in the upright face.

    Faces turned to the other side are mirrored.
    """
    backend, rng = FaceMeshBackend(), np.random.default_rng(3)
    dense, response = DenseBackend(), FaceMeshResponse.load(package_file(_RESPONSE))
    surface = model.scheme(MEDIAPIPE478).at(slice(SKIN_COUNT))
    yaws, pitches, strays = [], [], []
    for index in tqdm(range(len(faces)), unit="faces", desc="measuring"):
        record = faces.record(index)
        truth = record.points(model, surface)
        region = upright_region(truth, REGION_SCALE * float(np.exp(rng.normal(0, 0.06))))
        face = backend.locate(record.picture, backend.locate(record.picture, region).region)
        if face.landmarks.confidence < _LOST:
            continue
        R = record.camera.rotation
        stray = (face.landmarks.points[:SKIN_COUNT] - truth) @ right_and_down(R).T / record.camera.scale
        yaw = yaw_degrees(R)
        strays.append(stray if yaw >= 0 else stray[mirror] * [-1, 1])
        yaws.append(abs(yaw))
        seen = dense.glance(record.picture, face.region).landmarks
        assert seen.depth is not None
        pitches.append(pitch_degrees(response.view(seen.points[:SKIN_COUNT], seen.depth[:SKIN_COUNT]).rotation))
    return np.array(yaws), np.array(pitches), np.array(strays)


def _line(pitch: NDArray[np.float64], strays: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors (P, 2) at no pitch and by a degree of it, of n faces' (n, P, 2): least squares without the outliers."""
    kept = np.abs(strays - np.median(strays, axis=0)) < _FAR
    count = kept.sum(axis=0)
    x = np.where(kept, pitch[:, None, None], 0.0)
    y = np.where(kept, strays, 0.0)
    mean_x, mean_y = x.sum(axis=0) / count, y.sum(axis=0) / count
    square = np.where(kept, (x - mean_x) ** 2, 0.0).sum(axis=0)
    slope = np.where(kept, (x - mean_x) * (y - mean_y), 0.0).sum(axis=0) / square
    return mean_y - slope * mean_x, slope


def _as_of_a_head(errors: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of errors (P, 2), mm right and down, a turned, moved and larger head explains, at all its points (Q, 3), the
    first of them P, as a camera sees them: the rest is told of renderings' lids and lips, which are not people's."""
    x, y, z = points.T
    none, one = np.zeros_like(x), np.ones_like(x)
    right = np.stack([z, none, -y, one, none, x], axis=1)
    down = np.stack([none, z, x, none, one, y], axis=1)
    motions = np.stack([right, down], axis=1)
    known = motions[: len(errors)].reshape(-1, 6)
    return motions @ np.linalg.lstsq(known, errors.ravel(), rcond=None)[0]


def _mirrored_mean(errors: NDArray[np.float64], mirror: NDArray[np.int32]) -> NDArray[np.float64]:
    """The mean of errors (P, 2) and of those of the mirror image."""
    return (errors + errors[mirror] * [-1, 1]) / 2


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--people", type=portraits, help="folder of frontal photographs of calm faces")
    parser.add_argument("--folder", type=Path, default=Path("runs/synthetic_faces"))
    parser.add_argument("--faces", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(_RESPONSE))
    arguments = parser.parse_args()
    model = load_model("default")
    scenes = replace(SCENES, image_size=(256, 256), occluder=0.1, pictures=find_pictures(None))
    count = max(1, arguments.faces // _CHUNK)
    chunks = render_chunks(arguments.folder, RenderedFaces(model, count, arguments.seed, scenes, _CHUNK))
    surface = model.scheme(MEDIAPIPE478)
    points = surface.interpolate(model.mean)
    canonical = points[:SKIN_COUNT]
    mirror = np.concatenate([mirror_points(canonical), SKIN_COUNT + mirror_points(points[SKIN_COUNT:])])
    yaw, pitch, stray = stray_points(FaceChunks(chunks, model), model, mirror[:SKIN_COUNT])
    bias, tilt, deviation = [], [], []
    for knot in _KNOTS:
        at_knot = np.abs(yaw - knot) < _HALF_WIDTH
        near, nod = stray[at_knot], np.clip(pitch[at_knot], -MOST_PITCH, MOST_PITCH)
        level, slope = _line(nod, near)
        slope = _as_of_a_head(slope, points @ rotation_from_pose_angles(0.0, -np.radians(knot), 0.0).T)
        bias.append(level)
        tilt.append(slope)
        left = near - level - nod[:, None, None] * slope[:SKIN_COUNT]
        deviation.append(np.sqrt((np.clip(left, -_FAR, _FAR) ** 2).mean(axis=(0, 2))))
        strayed, spread = np.linalg.norm(level, axis=1).mean(), np.median(deviation[-1])
        tilted = 10 * np.linalg.norm(slope, axis=1).mean()
        print(f"yaw {knot:2.0f}°: {len(near)} faces, bias {strayed:.1f} mm, {tilted:.1f} mm more by 10° of pitch, "
            f"deviation {spread:.1f} mm")  # fmt: skip
    turned = np.pad(np.array(bias), [(0, 0), (0, len(mirror) - SKIN_COUNT), (0, 0)])  # renderings tell of the skin
    tilted_by = np.array(tilt)
    front = turned[0]
    if arguments.people is not None:
        common = common_offsets(look_at(arguments.people)[0], surface, model.mean, model.shape_basis, model.shape_sigma)
        front = common * [1, -1]
    # From the front a face and its mirror image are the same.
    front, tilted_by[0] = _mirrored_mean(front, mirror), _mirrored_mean(tilted_by[0], mirror)
    # An offset across the face is seen the shorter the more a head is turned.
    seen = np.stack([np.cos(np.radians(_KNOTS)), np.ones(len(_KNOTS))], axis=1)
    np.savez_compressed(
        arguments.out,
        yaw=_KNOTS.astype(np.float32),
        bias=(turned + (front - turned[0]) * seen[:, None]).astype(np.float32),
        tilt=tilted_by.astype(np.float32),
        deviation=np.array(deviation, np.float32),
        canonical=canonical.astype(np.float32),
        mirror=mirror,
    )


if __name__ == "__main__":
    main()
