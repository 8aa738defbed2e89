"""Train the dense landmark network on synthetic faces and write resource/landmark_models/dense.tflite.

Renders the faces first (both steps go on where a stopped run left them), trains for the given time, and exports. Needs
torch (`make torch`) and scikit-image for backgrounds.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from face3dmm_ros.lab.landmark_networks.dense_network import DenseNet
from face3dmm_ros.lab.landmark_networks.dense_pictures import CHUNK, render_chunks
from face3dmm_ros.lab.landmark_networks.dense_training import train
from face3dmm_ros.landmarks.dense_network import SIDE, DenseNetwork
from face3dmm_ros.landmarks.network import Network
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import load_model

_TOLERANCE = 5e-3
"""Of log σ and of places in sides of the crop: the file's weights are float16."""


def mirror_points(canonical: NDArray[np.floating]) -> NDArray[np.int32]:
    """Each point's (P, 3) counterpart on the other side of the face, (P,)."""
    distance = np.linalg.norm((canonical * [-1, 1, 1])[:, None] - canonical[None], axis=2)
    return np.asarray(linear_sum_assignment(distance)[1], dtype=np.int32)


def export(network: DenseNet, path: Path) -> None:
    """Write a .tflite file, and check that LiteRT gives what torch gives.

    Raises:
        RuntimeError: it does not.
    """
    example = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    rgb = torch.from_numpy(example[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    unfinished = path.with_suffix(".unfinished")
    network.save(unfinished)
    with torch.no_grad():
        outputs = network(rgb).numpy().ravel()
    difference = float(np.abs(Network(unfinished, (0.0, 1.0)).run(example)[0] - outputs).max())
    if difference > _TOLERANCE:
        raise RuntimeError(f"LiteRT's outputs differ from torch's by {difference}")
    unfinished.replace(path)
    DenseNetwork(path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, LiteRT within {difference:.0e} of torch")


def main() -> None:
    """Render, train, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/dense_network"), help="pictures, checkpoint")
    parser.add_argument("--faces", type=int, default=20000, help="to render")
    parser.add_argument("--minutes", type=float, default=60.0, help="to train")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("resource/landmark_models/dense.tflite"))
    arguments = parser.parse_args()
    model = load_model("default")
    render_chunks(arguments.folder / "faces", model, max(2, arguments.faces // CHUNK), arguments.seed)
    mirror = mirror_points(model.scheme("mediapipe478").at(slice(SKIN_COUNT)).interpolate(model.mean))
    network = train(
        arguments.folder / "faces",
        mirror,
        arguments.folder / "checkpoint.pt",
        arguments.minutes,
        arguments.threads,
    )
    export(network, arguments.out)


if __name__ == "__main__":
    main()
