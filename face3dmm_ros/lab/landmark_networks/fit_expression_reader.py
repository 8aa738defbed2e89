"""Fit how the dense network's features tell blendshapes, to pairs of rendered faces; write expression_reader.npz.

A pair shows the same person in the same light and pose, with few blendshapes and at rest. The reading W minimises, over
training pairs with features φ and φ₀ at rest,

    Σ |W(φ − φ₀) − β|² + REST · Σ |W(φ₀ − mean φ₀)|² + RIDGE · |W|²

so that it follows expressions and not people, poses and light. On other pairs it is then measured how far it follows
each blendshape, by which its weights are divided, and how much it varies between people at rest: its deviation.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.worker_process import begin_worker
from face3dmm_ros.lab.synthesis.backgrounds import find_pictures
from face3dmm_ros.lab.training.augmentation import as_tracked
from face3dmm_ros.lab.training.face_chunks import FaceChunks
from face3dmm_ros.lab.training.face_mirror import FaceMirror
from face3dmm_ros.lab.training.synthetic_faces import CHUNK, SCENES, RenderedFaces, render_chunks
from face3dmm_ros.landmarks.dense_network import SIDE, DenseNetwork, upright_region
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.regressor.crops import CropView

SCENE = replace(
    SCENES,
    image_size=(224, 224),
    max_yaw=50.0,
    max_pitch=36.0,
    max_roll=25.0,
    occluder=0.05,
    glasses=0.1,
    few_blendshapes=1.0,
    pictures=find_pictures(None),
)
"""Blendshapes by themselves or with one or two others, nearer the front. Chosen by hand: what a tracker mostly sees."""
REST, RIDGE = 0.1, 1.0
"""Weights of the spread at rest and of the weights' squares, the latter in units of the mean square of a feature's
change. Chosen by hand: more of either follows blendshapes less, and people less."""
# Any number; another draws other faces.
_SEED = 7
# Share of the chunks that are not learnt from but measured on; chosen by hand.
_MEASURED = 0.1
# Of a blendshape; those that are followed less are left to the points. Chosen by hand.
_LEAST_FOLLOWED = 0.05

Pairs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""How the features change (n, F), what they are at rest (n, F), and β (n, E)."""


def read_pairs(paths: tuple[Path, Path]) -> Pairs:
    """The network's features on a chunk's pairs, in crops as a tracker has them, and on their mirror images."""
    model = load_model("default")
    network = DenseNetwork(package_file("resource/landmark_models/dense.tflite"))
    with_expression, at_rest = (FaceChunks([path], model) for path in paths)
    sides = FaceMirror.of(model, 0, model.expression_count)
    assert sides is not None
    rng = np.random.default_rng([_SEED, int(paths[0].stem.rpartition("_")[2])])
    surface = model.scheme("mediapipe478").at(slice(SKIN_COUNT))
    read = [model.expression_names.index(name) for name in WITHOUT_TONGUE]
    changes, rests, weights = [], [], []
    for index in range(len(with_expression)):
        record = with_expression.record(index)
        points = record.points(model, surface)
        before = at_rest.record(index)
        for mirrored, beta in ((False, record.beta), (True, sides.beta(record.beta))):
            view = CropView(as_tracked(rng, upright_region(points)), SIDE, mirrored)
            expressing, resting = (
                network.locate_in_crop(view.pixels(one.picture), view.region).features for one in (record, before)
            )
            changes.append(expressing - resting)
            rests.append(resting)
            weights.append(beta[read])
    return np.array(changes, np.float32), np.array(rests, np.float32), np.array(weights, np.float32)


def fit_reading(pairs: Pairs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(E, F) W and (E,) −W·mean φ₀; see the module."""
    changes, rests, weights = pairs
    mean = rests.mean(axis=0)
    # Features of large changes shall not count for more.
    spread = changes.std(axis=0)
    unit = 1.0 / (spread + 0.1 * changes.std())
    changes, rests = changes * unit, (rests - mean) * unit
    n = np.float32(len(changes))
    normal = (changes.T @ changes + np.float32(REST) * (rests.T @ rests)) / n
    ridge = RIDGE * float((changes**2).mean())
    normal[np.diag_indices_from(normal)] += np.float32(ridge)
    solved = scipy.linalg.solve(normal, changes.T @ weights / n, assume_a="pos", overwrite_a=True)
    W = (solved * unit[:, None]).T.astype(np.float32)
    return W, -W @ mean


def measure_reading(
    W: NDArray[np.float32], bias: NDArray[np.float32], pairs: Pairs
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """(E,) how far each blendshape is followed, (E,) deviation at rest, and the share of single ones told rightly."""
    changes, rests, weights = pairs
    rises, at_rest = changes @ W.T, rests @ W.T + bias
    followed = (rises * weights).sum(axis=0) / np.maximum((weights**2).sum(axis=0), 1e-6)
    single = (np.count_nonzero(weights, axis=1) == 1) & (weights.max(axis=1) > 0.5)
    right = rises[single].argmax(axis=1) == weights[single].argmax(axis=1)
    return followed, at_rest.std(axis=0), float(right.mean())


def gather(folder: Path, model: MorphableModel, chunks: int, processes: int) -> list[Pairs]:
    """Render `chunks` chunks of pairs and run the network on them."""
    scenes = SCENE, replace(SCENE, at_rest=True)
    faces = [RenderedFaces(model, chunks, _SEED, scene) for scene in scenes]
    paths = zip(*(render_chunks(folder, part, processes) for part in faces), strict=True)
    with get_context("spawn").Pool(processes, begin_worker) as pool:
        return list(tqdm(pool.imap(read_pairs, list(paths)), total=chunks, unit="chunks", desc="seeing"))


def _all(pairs: Sequence[Pairs]) -> Pairs:
    changes, rests, weights = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return changes, rests, weights


def main() -> None:
    """Render, see, fit, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--faces-folder", type=Path, default=Path("runs/synthetic_faces"), help="of what is rendered")
    add("--pairs", type=int, default=20000, help="to render (default: %(default)s)")
    add("--processes", type=int, default=2, help="that render and look (default: %(default)s)")
    add("--out", type=Path, default=Path("resource/landmark_models/expression_reader.npz"))
    arguments = parser.parse_args()
    model = load_model("default")
    pairs = gather(arguments.faces_folder, model, max(5, arguments.pairs // CHUNK), arguments.processes)
    measured = max(1, round(_MEASURED * len(pairs)))
    W, bias = fit_reading(_all(pairs[measured:]))
    followed, deviation, right = measure_reading(W, bias, _all(pairs[:measured]))
    print(f"of {100 * right:.0f} % of the single blendshapes of {CHUNK * measured} other pairs it rises most")
    for name, share, noise in zip(WITHOUT_TONGUE, followed, deviation, strict=True):
        print(f"{name:20} followed {100 * share:3.0f} %, deviation {noise / max(share, _LEAST_FOLLOWED):.2f}")
    share = np.maximum(followed, _LEAST_FOLLOWED)
    np.savez_compressed(
        arguments.out,
        weights=(W / share[:, None]).astype(np.float16),
        bias=(bias / share).astype(np.float32),
        deviation=(deviation / share).astype(np.float32),
    )
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
