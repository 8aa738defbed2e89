"""Train the dense landmark network on synthetic faces and write resource/landmark_models/dense.onnx.

Renders the faces first (both steps go on where a stopped run left them), trains for the given time, and exports. Needs
torch (`make torch`), scikit-image for backgrounds, and `pip install onnx`.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from dense_network.network import DenseNet  # noqa: E402
from dense_network.pictures import CHUNK, render_chunks  # noqa: E402
from dense_network.training import train  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.optimize import linear_sum_assignment  # noqa: E402

from face3dmm_ros.landmarks.dense_network import SIDE, DenseNetwork  # noqa: E402
from face3dmm_ros.morphable_model import load_model  # noqa: E402


def mirror_points(canonical: NDArray[np.floating]) -> NDArray[np.int32]:
    """Each point's (P, 3) counterpart on the other side of the face, (P,)."""
    distance = np.linalg.norm((canonical * [-1, 1, 1])[:, None] - canonical[None], axis=2)
    return np.asarray(linear_sum_assignment(distance)[1], dtype=np.int32)


def export(network: DenseNet, path: Path) -> None:
    """Write ONNX, and check that OpenCV gives what torch gives.

    Raises:
        RuntimeError: it does not.
    """
    example = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    unfinished = path.with_suffix(".unfinished")
    torch.onnx.export(network, (example,), str(unfinished), dynamo=False, opset_version=13)
    opened = cv2.dnn.readNetFromONNX(np.frombuffer(unfinished.read_bytes(), np.uint8))
    opened.setInput(example.numpy())
    with torch.no_grad():
        difference = float(np.abs(opened.forward() - network(example).numpy()).max())
    if difference > 1e-4:
        raise RuntimeError(f"OpenCV's outputs differ from torch's by {difference}")
    unfinished.replace(path)
    DenseNetwork(path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, OpenCV within {difference:.0e} of torch")


def main() -> None:
    """Render, train, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "dense_network", help="pictures, checkpoint")
    parser.add_argument("--faces", type=int, default=20000, help="to render")
    parser.add_argument("--minutes", type=float, default=60.0, help="to train")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "resource" / "landmark_models" / "dense.onnx")
    arguments = parser.parse_args()
    model = load_model("default")
    render_chunks(arguments.folder / "faces", model, max(2, arguments.faces // CHUNK), arguments.seed)
    chunks = sorted((arguments.folder / "faces").glob("*.npz"))
    mirror = mirror_points(model.scheme("mediapipe468").interpolate(model.mean))
    network = train(chunks, mirror, arguments.folder / "checkpoint.pt", arguments.minutes, arguments.threads)
    export(network, arguments.out)


if __name__ == "__main__":
    main()
