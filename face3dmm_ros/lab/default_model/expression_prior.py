"""How much each blendshape varies, and which go together: the default model's prior of β.

Sigma (52,) holds the standard deviations of ARKit's blendshapes about the face at rest, in ARKit's order, and
correlation (52, 52) their correlations.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES

PRIOR = Path(__file__).with_name("expression_prior.json")


def read_prior() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sigma and correlation that `lab/default_model/fit_expression_prior.py` measured."""
    text = json.loads(PRIOR.read_text())
    assert tuple(text) == ARKIT_NAMES, f"{PRIOR} is of other blendshapes"
    sigma, correlation = (np.array([part[key] for part in text.values()]) for key in ("sigma", "correlation"))
    return sigma.astype(np.float32), correlation.astype(np.float32)


def write_prior(path: Path, sigma: NDArray[np.float64], correlation: NDArray[np.float64]) -> None:
    """Write sigma and correlation, rounded to three digits, with a line for each blendshape."""
    lines = [
        f'"{name}": {{"sigma": {deviation:.3f}, "correlation": [{", ".join(f"{r:.3f}" for r in row)}]}}'
        for name, deviation, row in zip(ARKIT_NAMES, sigma, correlation, strict=True)
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
