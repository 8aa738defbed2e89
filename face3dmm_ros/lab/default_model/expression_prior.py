"""How much each blendshape varies, and which go together: the default model's prior of β."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES

PRIOR = Path(__file__).with_name("expression_prior.json")


@dataclass(frozen=True, eq=False)
class ExpressionPrior:
    """Of ARKit's 52 blendshapes, about the face at rest.

    Attributes:
        sigma: (52,) standard deviations.
        correlation: (52, 52).
    """

    sigma: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @staticmethod
    def read(path: Path = PRIOR) -> "ExpressionPrior":
        """Read what `lab/default_model/fit_expression_prior.py` wrote."""
        text = json.loads(path.read_text())
        assert tuple(text) == ARKIT_NAMES, f"{path} is of other blendshapes"
        rows = np.array([part["correlation"] for part in text.values()])
        return ExpressionPrior(np.array([part["sigma"] for part in text.values()]), rows)

    def write(self, path: Path = PRIOR) -> None:
        """Write a line a blendshape, rounded to three digits."""
        lines = [
            f'{json.dumps(name)}: {{"sigma": {sigma:.3f}, "correlation": [{", ".join(f"{r:.3f}" for r in row)}]}}'
            for name, sigma, row in zip(ARKIT_NAMES, self.sigma, self.correlation, strict=True)
        ]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
