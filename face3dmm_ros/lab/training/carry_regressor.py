"""Carry a trained regressor over to a model that was built anew on the same mesh, by a linear map of its last layer.

What the network says of the old model's face is put into the new model's words: β by the non-negative mixture of the
new blendshapes that moves the face most alike, t by how far the models' origins lie apart, at the scale that faces have
in crops. α and γ stay: identity and albedo bases are the same.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.regressor.face_regressor import FaceRegressor
from face3dmm_ros.regressor.networks import build_network
from face3dmm_ros.regressor.parameter_layout import Whitening
from face3dmm_ros.regressor.weights_file import load_regressor, read_description, regressor_path, save_weights

_RIDGE = 0.2
"""Of a mixture's departure from the blendshape of the same name, as a share of the square of each one's movement."""
_KEPT = ("eyeBlink", "eyeLook")
"""What means the same in both models however far a lid has to go: a closed eye, and where eyes look."""


def mixtures(old: MorphableModel, new: MorphableModel) -> NDArray[np.float64]:
    """(E', E): the new blendshapes' weights for each of the old ones at 1, judged where Face Mesh's points lie."""
    surface = new.scheme("mediapipe478")
    theirs, ours = (
        surface.interpolate_basis(model.expression_basis).reshape(-1, model.expression_count) for model in (old, new)
    )
    kept = [k for k, name in enumerate(new.expression_names) if name.startswith(_KEPT)]
    ours[:, kept] = 0.0
    ridge = np.sqrt(_RIDGE) * np.diag(np.linalg.norm(ours, axis=0))
    matrix = np.vstack([ours, ridge])
    mixture = np.zeros((new.expression_count, old.expression_count))
    for k, name in enumerate(old.expression_names):
        same = new.expression_names.index(name)
        if same in kept:
            mixture[same, k] = 1.0
        else:
            mixture[:, k] = nnls(matrix, np.concatenate([theirs[:, k], ridge[:, same]]))[0]
    return mixture


def carried(
    regressor: FaceRegressor, old: MorphableModel, new: MorphableModel, name: str, inputs: int
) -> FaceRegressor:
    """The regressor with a last layer that speaks of the new model."""
    layout = regressor.layout
    grown = replace(layout, expression_count=new.expression_count)
    # Raw numbers of the new layout are L · raw of the old.
    L = np.zeros((grown.size, layout.size))
    for before, after in (
        (layout.rotation_slice, grown.rotation_slice),
        (layout.scale_slice, grown.scale_slice),
        (layout.translation_slice, grown.translation_slice),
        (layout.shape_slice, grown.shape_slice),
        (layout.texture_slice, grown.texture_slice),
        (layout.landmark_slice, grown.landmark_slice),
        (layout.log_deviation_slice, grown.log_deviation_slice),
    ):
        L[after, before] = np.eye(before.stop - before.start)
    L[grown.expression_slice, layout.expression_slice] = mixtures(old, new)
    shift = _origin_shift(old, new)
    scale = float(np.exp(regressor.whitening.mean[layout.scale_slice].item()))
    # R's numbers begin with its first two rows, which project: P · R · shift is linear in them.
    rows = layout.rotation_slice.start + np.arange(6).reshape(2, 3)
    for axis in range(2):
        L[grown.translation_slice.start + axis, rows[axis]] -= scale * shift
    mean, deviation = (values.double().numpy() for values in (regressor.whitening.mean, regressor.whitening.deviation))
    unit = np.where(np.abs(L).sum(axis=1) > 0, np.sqrt((L**2) @ deviation**2), 1.0)
    unit[grown.rotation_slice] = 1.0
    unit[grown.log_deviation_slice] = 1.0
    network = build_network(name, inputs, grown.size)
    state = dict(regressor.network.state_dict())
    whitened = L * deviation / unit[:, None]
    for part in ("head.weight", "head.bias"):
        state[part] = torch.from_numpy(whitened @ state[part].double().numpy()).float()
    network.load_state_dict(state)
    whitening = Whitening(torch.from_numpy(L @ mean).float(), torch.from_numpy(unit).float())
    rgb = regressor.mean.tolist(), regressor.deviation.tolist()
    return FaceRegressor(network, grown, whitening, *rgb).eval()


def _origin_shift(old: MorphableModel, new: MorphableModel) -> NDArray[np.float64]:
    """By how much the skin lies elsewhere against the origin, (3,) mm: the median over it."""
    skin = new.regions["skin"] > 0.5
    return np.median((new.mean - old.mean)[skin], axis=0).astype(np.float64)


def main() -> None:
    """Read, carry, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old_model", type=Path, help="the .npz that the regressor was trained with")
    parser.add_argument("weights", help="its weights; default for those that ship")
    parser.add_argument("out", type=Path, help="the new weights (.safetensors)")
    arguments = parser.parse_args()
    old, new = load_model(str(arguments.old_model)), load_model("default")
    path = regressor_path(arguments.weights)
    description = read_description(path)
    result = carried(load_regressor(path, old.digest), old, new, description.network, description.inputs)
    save_weights(arguments.out, result, replace(description, layout=result.layout, model_digest=new.digest))
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB, for model {new.digest[:12]}…")
    strongest = mixtures(old, new)
    for k, name in enumerate(old.expression_names):
        parts = [(new.expression_names[j], strongest[j, k]) for j in strongest[:, k].argsort()[::-1][:4]]
        print(f"{name:20} " + ", ".join(f"{other} {share:.2f}" for other, share in parts if share > 0.05))


if __name__ == "__main__":
    main()
