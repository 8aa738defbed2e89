"""How much blendshapes with ARKit's names vary, and which go together, for heads whose files do not tell.

The standard deviations and correlations were measured on portraits of people, or set by hand for what these do not
show, with the weights' meaning that ARKit gives them (docs/model.md); they are read from the model that ships.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.morphable_model.formats.npz_file import SHIPPED

_OTHER_SIGMA = 0.2
"""Of a blendshape that ARKit does not have; chosen by hand: the median of those that it has."""


class ExpressionPrior(NamedTuple):
    """Of E blendshapes, whose coefficients are weights in [0, 1].

    Attributes:
        sigma: (E,) float32 standard deviations.
        bounds: (2, E) float32, zeros and ones.
        correlation: (E, E) float32, positive definite.
    """

    sigma: NDArray[np.float32]
    bounds: NDArray[np.float32]
    correlation: NDArray[np.float32]


def arkit_prior(names: Sequence[str]) -> ExpressionPrior:
    """The prior of blendshapes that move a face at weight 1 as ARKit's of their names do.

    Those with names of others have a standard deviation chosen by hand, and are independent.

    Raises:
        Face3DMMError: the model that ships is not there.
    """
    sigmas, correlations = _measured()
    known = [index for index, name in enumerate(names) if name in sigmas]
    theirs = [list(sigmas).index(names[index]) for index in known]
    correlation = np.eye(len(names), dtype=np.float32)
    # A principal submatrix of a positive definite matrix is one.
    correlation[np.ix_(known, known)] = correlations[np.ix_(theirs, theirs)]
    sigma = np.array([sigmas.get(name, _OTHER_SIGMA) for name in names], np.float32)
    return ExpressionPrior(sigma, np.repeat(np.array([[0.0], [1.0]], np.float32), len(names), axis=1), correlation)


@cache
def _measured() -> tuple[dict[str, float], NDArray[np.float32]]:
    """Standard deviations by name, and correlations in the same order: alone, without the model's large arrays."""
    with ArrayArchive(package_file(SHIPPED), "the model that ships") as archive:
        names = [str(name) for name in archive.read("expression_names")]
        sigma = archive.read("expression_sigma").tolist()
        return dict(zip(names, sigma, strict=True)), archive.read("expression_correlation")
