"""Measure how Face Mesh answers to synthetic faces of every yaw; write landmark_models/face_mesh_response.npz.

Uses the faces that `lab/landmark_networks/train_dense_network.py` renders, and renders them if need be. Renderings tell
how the points stray as a head turns. From the front photographs of calm people tell it, where they are given: Face Mesh
knows people better than renderings, and a face at rest shall be none with an expression.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.lab.default_model.face_landmarker import FaceLandmarker, portraits
from face3dmm_ros.lab.default_model.people_mean import common_offsets
from face3dmm_ros.lab.landmark_networks.dense_pictures import CHUNK, Chunk, render_chunks
from face3dmm_ros.lab.landmark_networks.train_dense_network import mirror_points
from face3dmm_ros.landmarks.dense_network import upright_region
from face3dmm_ros.landmarks.face_mesh_response import right_and_down, yaw_degrees
from face3dmm_ros.landmarks.facemesh import REGION_SCALE, FaceMeshBackend
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model

_KNOTS = np.arange(0.0, 91.0, 10.0)  # degrees of yaw
_HALF_WIDTH = 7.5  # degrees about a knot whose faces speak for it
_LOST = 0.3  # confidence below which Face Mesh sees no face
_FAR = 30.0  # mm at which a stray point's distance is cut off


def stray_points(chunks: list[Path], mirror: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Yaw (n,), degrees from 0 up, and by how much right and down each point strays (n, 468, 2), mm, upright."""
    backend, rng = FaceMeshBackend(), np.random.default_rng(3)
    yaws, strays = [], []
    for path in tqdm(chunks, unit="chunks", desc="measuring"):
        chunk = Chunk.load(path)
        for k, truth in enumerate(chunk.points):
            region = upright_region(truth[:, :2], REGION_SCALE * float(np.exp(rng.normal(0, 0.06))))
            picture = chunk.picture(k)
            face = backend.locate(picture, backend.locate(picture, region).region)
            if face.landmarks.confidence < _LOST:
                continue
            R = chunk.rotations[k]
            stray = (face.landmarks.points[:SKIN_COUNT] - truth[:, :2]) @ right_and_down(R).T / chunk.scales[k]
            yaw = yaw_degrees(R)
            strays.append(stray if yaw >= 0 else stray[mirror] * [-1, 1])
            yaws.append(abs(yaw))
    return np.array(yaws), np.array(strays)


def stray_on_people(pictures: list[Path], model: MorphableModel) -> NDArray[np.float64]:
    """(478, 2) mm, by how much right and down people's points stray from the front, from calm faces of any identity."""
    points, landmarker = model.scheme("mediapipe478"), FaceLandmarker()
    faces = [landmarker.look(path)[0] for path in tqdm(pictures, unit="people", desc="looking")]
    return common_offsets(faces, points, model.mean, model.shape_basis, model.shape_sigma) * [1, -1]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--people", type=portraits, help="folder of frontal photographs of calm faces")
    parser.add_argument("--folder", type=Path, default=Path("build/dense_network"))
    parser.add_argument("--faces", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("resource/landmark_models/face_mesh_response.npz"))
    arguments = parser.parse_args()
    model = load_model("default")
    people = None if arguments.people is None else stray_on_people(arguments.people, model)
    count = max(1, arguments.faces // CHUNK)
    render_chunks(arguments.folder / "faces", model, count, arguments.seed)
    points = model.scheme("mediapipe478").interpolate(model.mean)
    canonical = points[:SKIN_COUNT]
    mirror = np.concatenate([mirror_points(canonical), SKIN_COUNT + mirror_points(points[SKIN_COUNT:])])
    yaw, stray = stray_points(sorted((arguments.folder / "faces").glob("*.npz"))[:count], mirror[:SKIN_COUNT])
    bias, deviation = [], []
    for knot in _KNOTS:
        near = stray[np.abs(yaw - knot) < _HALF_WIDTH]
        middle = np.median(near, axis=0)
        bias.append(middle)
        deviation.append(np.sqrt((np.clip(near - middle, -_FAR, _FAR) ** 2).mean(axis=(0, 2))))
        strayed = np.linalg.norm(middle, axis=1).mean()
        print(
            f"yaw {knot:2.0f}°: {len(near)} faces, bias {strayed:.1f} mm, deviation {np.median(deviation[-1]):.1f} mm"
        )
    turned = np.pad(np.array(bias), [(0, 0), (0, len(mirror) - SKIN_COUNT), (0, 0)])  # renderings tell of the skin
    front = turned[0] if people is None else people
    front = (front + front[mirror] * [-1, 1]) / 2  # from the front a face and its mirror image are the same
    # An offset across the face is seen the shorter the more a head is turned.
    seen = np.stack([np.cos(np.radians(_KNOTS)), np.ones(len(_KNOTS))], axis=1)
    np.savez_compressed(
        arguments.out,
        yaw=_KNOTS.astype(np.float32),
        bias=(turned + (front - turned[0]) * seen[:, None]).astype(np.float32),
        deviation=np.array(deviation, np.float32),
        canonical=canonical.astype(np.float32),
        mirror=mirror,
    )


if __name__ == "__main__":
    main()
