"""Regression trees grown one on what the others leave: gradient boosting of vectors by pixel comparisons.

Kazemi & Sullivan, CVPR 2014; Friedman, Greedy Function Approximation: A Gradient Boosting Machine, Annals of Statistics
2001. For a squared error the negative gradient is what is left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError


@dataclass(frozen=True)
class Growth:
    """How a stage's trees grow; all chosen by hand.

    Attributes:
        trees: of a stage.
        depth: comparisons from the root to a leaf.
        tries: random comparisons of which each node takes the best.
        shrinkage: share of what is left that a tree takes away.
        doubt: as many examples of no error a leaf's mean includes.
    """

    trees: int = 350
    depth: int = 4
    tries: int = 24
    shrinkage: float = 0.1
    doubt: float = 20.0


@dataclass(frozen=True, eq=False)
class GrownStage:
    """The trees of one stage; arrays as of `TreeCascade`.

    Attributes:
        pixels: (K, J, 2) int16.
        thresholds: (K, J) int16.
        leaves: (K, J + 1, C) int8.
        steps: (C,) float32.
    """

    pixels: NDArray[np.int16]
    thresholds: NDArray[np.int16]
    leaves: NDArray[np.int8]
    steps: NDArray[np.float32]


def grow(
    shades: NDArray[np.uint8],
    left: NDArray[np.float32],
    nearness: NDArray[np.float64],
    growth: Growth,
    rng: np.random.Generator,
) -> GrownStage:
    """Grow a stage's trees; what they explain is taken from `left`.

    Args:
        shades: (N, F) of each example's pixels.
        left: (N, C) what is to be explained, changed in place.
        nearness: (F, F) how likely two pixels are to be compared; 0 on the diagonal.
        growth: how.
        rng: of the comparisons.

    Raises:
        Face3DMMError: the shapes disagree.
    """
    if len(shades) != len(left) or nearness.shape != 2 * shades.shape[1:]:
        raise Face3DMMError(f"shades {shades.shape}, errors {left.shape} and nearness {nearness.shape} do not match")
    nodes, N, C = 2**growth.depth - 1, *left.shape
    pixels, thresholds = np.empty((growth.trees, nodes, 2), np.int16), np.empty((growth.trees, nodes), np.int16)
    leaves = np.empty((growth.trees, nodes + 1, C), np.int8)
    # Leaves as bytes: 127 is a shrunken error of four standard deviations, which hardly any leaf's mean has.
    steps = np.maximum(growth.shrinkage * 4.0 * left.std(axis=0) / 127.0, 1e-9).astype(np.float32)
    ways = np.cumsum(nearness.ravel())
    order, leaf = np.empty(N, np.int32), np.empty(N, np.int16)
    for k in range(growth.trees):
        pairs = np.searchsorted(ways, rng.random((nodes, growth.tries)) * ways[-1], side="right")
        first, second = np.divmod(np.minimum(pairs, len(ways) - 1), len(nearness))
        examples, shifts = rng.random((nodes, growth.tries)), rng.normal(0.0, 6.0, (nodes, growth.tries))
        order[:] = np.arange(N)
        split(shades, left, first, second, examples, shifts, order, leaf, pixels[k], thresholds[k])
        settle(left, leaf, steps, growth.shrinkage, growth.doubt, leaves[k])
    return GrownStage(pixels, thresholds, leaves, steps)


@compiled
def split(
    shades: NDArray[np.uint8],
    left: NDArray[np.float32],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    examples: NDArray[np.float64],
    shifts: NDArray[np.float64],
    order: NDArray[np.int32],
    leaf: NDArray[np.int16],
    pixels: NDArray[np.int16],
    thresholds: NDArray[np.int16],
) -> None:
    """Grow a tree: set each node's comparison, of those tried the one after which least is left, and leaves (N,).

    A try compares pixels `first` and `second` (J, S); its threshold is the difference that a random example has,
    `examples` (J, S) in [0, 1), shifted a little.
    """
    (J, S), N, C = first.shape, left.shape[0], left.shape[1]
    begin, end = np.zeros(2 * J + 1, np.int64), np.zeros(2 * J + 1, np.int64)
    end[0] = N
    sums, total, counts, limits = np.empty((S, C), np.float32), np.empty(C, np.float32), np.empty(S), np.empty(S)
    for node in range(J):
        low, high = begin[node], end[node]
        sums[:] = 0.0
        total[:] = 0.0
        counts[:] = 0.0
        for s in range(S):
            limits[s] = 0.0
            if high > low:
                row = order[low + int(examples[node, s] * (high - low))]
                difference = np.int64(shades[row, first[node, s]]) - np.int64(shades[row, second[node, s]])
                limits[s] = np.round(difference + shifts[node, s])
        for i in range(low, high):
            row = order[i]
            for c in range(C):
                total[c] += left[row, c]
            for s in range(S):
                difference = np.int64(shades[row, first[node, s]]) - np.int64(shades[row, second[node, s]])
                if difference > limits[s]:
                    counts[s] += 1.0
                    for c in range(C):
                        sums[s, c] += left[row, c]
        best, most = 0, -1.0
        for s in range(S):
            explained, others = 0.0, (high - low) - counts[s]
            for c in range(C):
                if counts[s] > 0.0:
                    explained += sums[s, c] ** 2 / counts[s]
                if others > 0.0:
                    explained += (total[c] - sums[s, c]) ** 2 / others
            if explained > most:
                best, most = s, explained
        a, b = first[node, best], second[node, best]
        pixels[node, 0], pixels[node, 1], thresholds[node] = a, b, np.int16(limits[best])
        # Those that go to the first child come first.
        i, j = low, high - 1
        while i <= j:
            row = order[i]
            if np.int64(shades[row, a]) - np.int64(shades[row, b]) > limits[best]:
                i += 1
            else:
                order[i], order[j] = order[j], order[i]
                j -= 1
        begin[2 * node + 1], end[2 * node + 1], begin[2 * node + 2], end[2 * node + 2] = low, i, i, high
    for node in range(J, 2 * J + 1):
        for i in range(begin[node], end[node]):
            leaf[order[i]] = node - J


@compiled
def settle(
    left: NDArray[np.float32],
    leaf: NDArray[np.int16],
    steps: NDArray[np.float32],
    shrinkage: float,
    doubt: float,
    leaves: NDArray[np.int8],
) -> None:
    """Set a tree's leaves (J + 1, C) to the shrunken means of what is left of their examples, and take them from it."""
    (N, C), L = left.shape, len(leaves)
    sums, counts = np.zeros((L, C)), np.zeros(L)
    for i in range(N):
        counts[leaf[i]] += 1.0
        for c in range(C):
            sums[leaf[i], c] += left[i, c]
    for k in range(L):
        for c in range(C):
            value = np.round(shrinkage * sums[k, c] / (counts[k] + doubt) / steps[c])
            leaves[k, c] = np.int8(min(max(value, -127.0), 127.0))
    for i in range(N):
        for c in range(C):
            left[i, c] -= leaves[leaf[i], c] * steps[c]
