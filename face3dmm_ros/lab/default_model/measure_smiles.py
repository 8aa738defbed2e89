"""Measure what the model makes of people who smile: the same persons photographed neutral and smiling.

Two figures of each person's displacement of Face Mesh's points, as Google's Face Landmarker tells them: what the
blendshapes leave of it, unbound but for [0, 1]; and which weight is the strongest under the model's prior. What the
package's own detector and fit make of the pictures, `face3dmm evaluate dataset FOLDER --format portraits` tells.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.lab.default_model.face_landmarker import FaceLandmarker
from face3dmm_ros.lab.default_model.smiles import Smiles
from face3dmm_ros.landmarks.schemes import IBUG68_IN_MEDIAPIPE478, SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model

INNER = np.arange(17, 68)
NOISE = 4.0
"""mm, of a point, as `FitOptions` has it where a detector tells none."""


def movements(model: MorphableModel, scheme: str) -> NDArray[np.float64]:
    """(P, 2, E) mm, how each blendshape moves a scheme's points in the frontal plane."""
    return model.scheme(scheme).interpolate_basis(model.expression_basis)[:SKIN_COUNT, :2]


def left_over(shapes: NDArray[np.float64], displacement: NDArray[np.float64]) -> float:
    """Median over people of what bounded least squares leaves of a displacement's norm."""
    matrix = shapes.reshape(-1, shapes.shape[-1])
    shares = []
    for one in displacement.reshape(len(displacement), -1):
        weights = lsq_linear(matrix, one, (0.0, 1.0)).x
        shares.append(np.linalg.norm(matrix @ weights - one) / np.linalg.norm(one))
    return float(np.median(shares))


def under_prior(model: MorphableModel, displacement: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, E) most probable weights of displacements (P, 468, 2), mm."""
    matrix = movements(model, "mediapipe478").reshape(-1, model.expression_count) / NOISE
    root = np.linalg.cholesky(model.expression_precision).T / model.expression_sigma
    nothing = np.zeros(len(root))
    stacked = np.vstack([matrix, root])
    return np.array(
        [
            lsq_linear(stacked, np.concatenate([one / NOISE, nothing]), (0.0, 1.0)).x
            for one in displacement.reshape(len(displacement), -1)
        ]
    )


def report(rise: NDArray[np.float64]) -> None:
    """How often mouthSmile rises most, how far, and what rises besides."""
    sides = [ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")]
    share = np.isin(rise.argmax(axis=1), sides).mean()
    most = rise.mean(axis=0).argsort()[::-1][:8]
    others = ", ".join(f"{ARKIT_NAMES[k]} {rise[:, k].mean():.2f}" for k in most)
    print(
        f"under the prior: mouthSmile rises most in {100 * share:.0f} % of {len(rise)}, by "
        f"{rise[:, sides].mean():.2f}; {others}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of NNN_neutral.jpg and NNN_smile.jpg")
    arguments = parser.parse_args()
    model = load_model("default")
    smiles = Smiles.measure(arguments.folder, FaceLandmarker())
    inner = smiles.displacement[:, IBUG68_IN_MEDIAPIPE478[INNER]]
    left = left_over(movements(model, "mediapipe478"), smiles.displacement)
    print(f"left of the displacements' norm: {left:.3f} of 468 points, ", end="")
    print(f"{left_over(movements(model, 'ibug68')[INNER], inner):.3f} of the 51 inner ones")
    report(under_prior(model, smiles.displacement))


if __name__ == "__main__":
    main()
