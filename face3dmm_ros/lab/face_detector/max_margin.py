"""A linear classifier with the largest margin between two classes: our own solver of support vector machines.

Dual coordinate descent of Hsieh, Chang, Lin, Keerthi and Sundararajan, A Dual Coordinate Descent Method for Large-scale
Linear SVM, ICML 2008: minimises ½‖w‖² + Σ Cᵢ max(0, 1 − yᵢ w·xᵢ) over w by its dual, one example at a time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError


@dataclass(frozen=True, eq=False)
class Separation:
    """A solution.

    Attributes:
        weights: w, (D,) float64.
        dual: α, (N,): how much each example pushes; w = Σ αᵢ yᵢ xᵢ, 0 ≤ αᵢ ≤ Cᵢ.
        gap: the primal energy minus the dual one, which bounds how far from the minimum the former is.
        energy: the primal energy.
    """

    weights: NDArray[np.float64]
    dual: NDArray[np.float64]
    gap: float
    energy: float


def separate(
    examples: NDArray[np.float32],
    positive: NDArray[np.bool_],
    cost: NDArray[np.float64],
    *,
    seed: int = 0,
    tolerance: float = 0.01,
    most_rounds: int = 200,
) -> Separation:
    """The weights that separate the positive examples from the others by their sign.

    Args:
        examples: x, (N, D) float32; a constant column makes an offset.
        positive: (N,) whether y is 1, else −1.
        cost: C, (N,), of a margin missed by one.
        seed: of the order in which examples are visited.
        tolerance: stop once the gap is less than this share of the energy.
        most_rounds: over all examples, at most.

    Raises:
        Face3DMMError: the shapes disagree, a class is empty, a cost is not positive, or examples are not finite.
    """
    if examples.ndim != 2 or positive.shape != examples.shape[:1] or cost.shape != positive.shape:
        raise Face3DMMError(f"{examples.shape} examples do not go with {positive.shape} classes, {cost.shape} costs")
    if positive.all() or not positive.any() or not (cost > 0).all() or not np.isfinite(examples).all():
        raise Face3DMMError("separating takes finite examples of both classes, at positive costs")
    X, y = np.ascontiguousarray(examples, np.float32), np.where(positive, 1.0, -1.0)
    rng, dual, weights = np.random.default_rng(seed), np.zeros(len(X)), np.zeros(X.shape[1])
    square = np.einsum("nd,nd->n", X, X, dtype=np.float64)
    gap = energy = np.inf
    for _ in range(most_rounds):
        _visit(X, y, cost, square, rng.permutation(len(X)), dual, weights)
        half = 0.5 * float(weights @ weights)
        energy = half + float(cost @ np.maximum(0.0, 1.0 - y * (X @ weights)))
        gap = energy - (float(dual.sum()) - half)
        if gap <= tolerance * energy:
            break
    return Separation(weights, dual, gap, energy)


@compiled
def _visit(
    X: NDArray[np.float32],
    y: NDArray[np.float64],
    cost: NDArray[np.float64],
    square: NDArray[np.float64],
    order: NDArray[np.int64],
    dual: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> None:
    """One round: each example's α goes to its best, with the others held; `dual` and `weights` follow."""
    for i in order:
        margin = 0.0
        for d in range(X.shape[1]):
            margin += weights[d] * X[i, d]
        if square[i] == 0.0:
            continue
        best = min(max(dual[i] - (y[i] * margin - 1.0) / square[i], 0.0), cost[i])
        change = (best - dual[i]) * y[i]
        dual[i] = best
        if change != 0.0:
            for d in range(X.shape[1]):
                weights[d] += change * X[i, d]
