"""A face's points by a cascade of regression trees, each of which compares pixels.

Kazemi & Sullivan, One Millisecond Face Alignment with an Ensemble of Regression Trees, CVPR 2014. A shape is its place
in a linear space, S = mean + basis·c; each stage adds what its trees say to c. A tree asks at each node whether one
pixel is lighter than another by more than a threshold. Pixels are named by the landmark that they lie beside in the
mean shape, so that they move, turn and grow with the shape that is known so far.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.landmarks.table_file import read_table

CROP_SIDE = 128
"""px of the picture in which a face's points are looked for."""
CROP_IN_SQUARES = 1.6
"""Its side, in sides of the face's `square_of`; chosen by hand: with room for a face that has moved."""
SQUARE_PX = CROP_SIDE / CROP_IN_SQUARES
_SHADE, _CONTRAST = 128.0, 48.0
"""Mean and standard deviation that a crop's middle is brought to, of 255; chosen by hand: few pixels are cut off."""


@dataclass(frozen=True, eq=False)
class TreeCascade:
    """The trees of V views, the last one of faces turned anyhow, for a first look.

    Each has T stages of K trees with J nodes and J + 1 leaves each, that look at F pixels.
    Points are in sides of the face's square, from its middle.

    Attributes:
        mean: (V, P, 2) float32, each view's mean shape.
        basis: (P, 2, C) float32, orthonormal over all coordinates.
        anchors: (V, T, F) the point that each pixel lies beside.
        offsets: (V, T, F, 2) float32 from that point, where the mean shape is.
        pixels: (V, T, K, J, 2) the two pixels that a node compares.
        thresholds: (V, T, K, J) of 255.
        leaves: (V, T, K, J + 1, C) int8.
        steps: (V, T, C) float32, what 1 of a leaf is of c.
        yaw: (V,) degrees, which faces each view has learnt from, in the mean.
        turn: (V, C + 1) float32: yaw = turn · (c, 1), degrees.
        spread: (V, 2, P) float32: a point's variance is the first plus the second times the starts' variance.
        mirror: (P,) each point's counterpart on the other side of the face.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    anchors: NDArray[np.int16]
    offsets: NDArray[np.float32]
    pixels: NDArray[np.int16]
    thresholds: NDArray[np.int16]
    leaves: NDArray[np.int8]
    steps: NDArray[np.float32]
    yaw: NDArray[np.float32]
    turn: NDArray[np.float32]
    spread: NDArray[np.float32]
    mirror: NDArray[np.int16]

    @staticmethod
    def load(path: Path) -> "TreeCascade":
        """Read a .npz.

        Raises:
            Face3DMMError: the file is missing, no such cascade, or its trees ask for pixels or points that are not
                there.
        """
        shapes = {
            "mean": ("V", "P", 2), "basis": ("P", 2, "C"), "anchors": ("V", "T", "F"), "offsets": ("V", "T", "F", 2),
            "pixels": ("V", "T", "K", "J", 2), "thresholds": ("V", "T", "K", "J"), "leaves": ("V", "T", "K", "L", "C"),
            "steps": ("V", "T", "C"), "yaw": ("V",), "turn": ("V", "D"), "spread": ("V", 2, "P"), "mirror": ("P",),
        }  # fmt: skip
        table = read_table(path, shapes, "a cascade of regression trees")
        for name, kind in _KINDS.items():
            if table[name].dtype != kind:
                raise Face3DMMError(f"{path}: {name} must be {np.dtype(kind)}, found {table[name].dtype}")
        cascade = TreeCascade(**{name: np.ascontiguousarray(array) for name, array in table.items()})
        cascade._check(path)
        return cascade

    def _check(self, path: Path) -> None:
        """Compiled loops check no bounds."""
        points, components = self.basis.shape[0], self.basis.shape[2]
        nodes, leaves = self.thresholds.shape[3], self.leaves.shape[3]
        if leaves != nodes + 1 or leaves & nodes or self.turn.shape[1] != components + 1:
            raise Face3DMMError(
                f"{path}: trees of {nodes} nodes and {leaves} leaves, and a turn of {self.turn.shape[1]}, are none"
            )
        for name, count in (("anchors", points), ("pixels", self.anchors.shape[2]), ("mirror", points)):
            check_numbers(path, name, getattr(self, name), count)

    def shapes(self, gray: NDArray[np.uint8], view: int, starts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where the points of a face come to lie, from each of S starts c (S, C): their c, (S, C).

        Args:
            gray: (`CROP_SIDE`, `CROP_SIDE`), of `normalized` shades.
            view: which of the views.
            starts: float32.

        Raises:
            Face3DMMError: the shapes are others.
        """
        if gray.shape != (CROP_SIDE, CROP_SIDE) or starts.shape[1:] != self.basis.shape[2:]:
            raise Face3DMMError(f"a crop {gray.shape} and starts {starts.shape} do not go with these trees")
        found = np.ascontiguousarray(starts, np.float32).copy()
        stages = self.mean[view], self.components, self.anchors[view], self.offsets[view]
        trees = self.pixels[view], self.thresholds[view], self.leaves[view], self.steps[view]
        _run(np.ascontiguousarray(gray), *stages, *trees, np.float32(SQUARE_PX), found)
        return found

    @cached_property
    def components(self) -> NDArray[np.float32]:
        """The basis component by component, (C, 2P), as compiled loops take it."""
        return np.ascontiguousarray(self.basis.reshape(-1, self.basis.shape[2]).T)

    def points(self, view: int, c: NDArray[np.float32]) -> NDArray[np.float32]:
        """The points (P, 2) of a shape, in sides of the square."""
        return self.mean[view] + self.basis @ c

    def start(self, view: int, shift: tuple[float, float], growth: float, turn: float) -> NDArray[np.float32]:
        """The c (C,) of the mean shape, moved by a shift, times a growth, and turned by radians."""
        cosine, sine = growth * math.cos(turn), growth * math.sin(turn)
        moved = self.mean[view] @ np.array([[cosine, sine], [-sine, cosine]]) + np.array(shift)
        return np.asarray(np.tensordot(self.basis, moved - self.mean[view], ((0, 1), (0, 1))), np.float32)


_KINDS = {
    "anchors": np.int16, "pixels": np.int16, "thresholds": np.int16, "leaves": np.int8, "mirror": np.int16
}  # fmt: skip


def check_numbers(path: Path, name: str, numbers: NDArray[np.integer], count: int) -> None:
    """Check the numbers of points or pixels that a file has, of so many.

    Raises:
        Face3DMMError: some are of none.
    """
    if numbers.min() < 0 or numbers.max() >= count:
        raise Face3DMMError(
            f"{path}: {name} must be numbers from 0 to {count - 1}, found {numbers.min()} to {numbers.max()}"
        )


def normalized(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey crop with the same shade and contrast in its middle, whatever the light and the camera."""
    side = len(crop)
    inner = crop[side // 4 : -(side // 4), side // 4 : -(side // 4)]
    mean, deviation = cv2.meanStdDev(inner)
    gain = _CONTRAST / max(float(deviation[0, 0]), 1.0)
    shades = np.clip(np.round(gain * (np.arange(256.0) - float(mean[0, 0])) + _SHADE), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(crop, shades), np.uint8)


@compiled
def _run(
    gray: NDArray[np.uint8],
    mean: NDArray[np.float32],
    components: NDArray[np.float32],
    anchors: NDArray[np.int16],
    offsets: NDArray[np.float32],
    pixels: NDArray[np.int16],
    thresholds: NDArray[np.int16],
    leaves: NDArray[np.int8],
    steps: NDArray[np.float32],
    square: float,
    c: NDArray[np.float32],
) -> None:
    """Move every start c (S, C) through all stages of one view."""
    T, K, J = thresholds.shape
    P, C, F = len(mean), c.shape[1], anchors.shape[1]
    shape, shades, sums = np.empty((P, 2), np.float32), np.empty(F, np.int16), np.empty(C, np.int32)
    for s in range(len(c)):
        for t in range(T):
            set_shape(mean, components, c[s], shape)
            set_shades(gray, mean, shape, anchors[t], offsets[t], square, shades)
            sums[:] = 0
            for k in range(K):
                node = 0
                while node < J:
                    a, b = pixels[t, k, node, 0], pixels[t, k, node, 1]
                    node = 2 * node + (1 if shades[a] - shades[b] > thresholds[t, k, node] else 2)
                for i in range(C):
                    sums[i] += leaves[t, k, node - J, i]
            for i in range(C):
                c[s, i] += sums[i] * steps[t, i]


@compiled
def read_shades(
    crops: NDArray[np.uint8],
    mean: NDArray[np.float32],
    components: NDArray[np.float32],
    c: NDArray[np.float32],
    anchors: NDArray[np.int16],
    offsets: NDArray[np.float32],
    square: float,
) -> NDArray[np.uint8]:
    """What the shapes c (N, C) of crops (N, …, …) see at their pixels, (N, F)."""
    found = np.empty((len(crops), len(anchors)), np.uint8)
    shape, shades = np.empty((len(mean), 2), np.float32), np.empty(len(anchors), np.int16)
    for n in range(len(crops)):
        set_shape(mean, components, c[n], shape)
        set_shades(crops[n], mean, shape, anchors, offsets, square, shades)
        for f in range(len(anchors)):
            found[n, f] = shades[f]
    return found


@compiled
def summed_leaves(
    shades: NDArray[np.uint8], pixels: NDArray[np.int16], thresholds: NDArray[np.int16], leaves: NDArray[np.int8]
) -> NDArray[np.int32]:
    """What the trees (K, …) of a stage say to N crops by their pixels (N, F), summed, (N, C)."""
    (K, J), N = thresholds.shape, len(shades)
    sums = np.zeros((N, leaves.shape[2]), np.int32)
    for n in range(N):
        for k in range(K):
            node = 0
            while node < J:
                difference = np.int16(shades[n, pixels[k, node, 0]]) - np.int16(shades[n, pixels[k, node, 1]])
                node = 2 * node + (1 if difference > thresholds[k, node] else 2)
            for i in range(leaves.shape[2]):
                sums[n, i] += leaves[k, node - J, i]
    return sums


@compiled
def set_shape(
    mean: NDArray[np.float32], components: NDArray[np.float32], c: NDArray[np.float32], shape: NDArray[np.float32]
) -> None:
    """Set a shape (P, 2) to mean + Σ cᵢ · components (C, 2P)."""
    flat = shape.reshape(-1)
    flat[:] = mean.reshape(-1)
    for i in range(len(c)):
        for k in range(len(flat)):
            flat[k] += c[i] * components[i, k]


@compiled
def set_shades(
    gray: NDArray[np.uint8],
    mean: NDArray[np.float32],
    shape: NDArray[np.float32],
    anchors: NDArray[np.int16],
    offsets: NDArray[np.float32],
    square: float,
    shades: NDArray[np.int16],
) -> None:
    """Read the pixels (F,) of a shape: beside its points, as far off as the similarity from the mean shape takes them.

    Beyond the crop lies what lies on its border.
    """
    P = len(mean)
    mx, my, sx, sy = 0.0, 0.0, 0.0, 0.0
    for p in range(P):
        mx, my = mx + mean[p, 0] / P, my + mean[p, 1] / P
        sx, sy = sx + shape[p, 0] / P, sy + shape[p, 1] / P
    along, across, square_sum = 0.0, 0.0, 0.0
    for p in range(P):
        x, y, u, v = mean[p, 0] - mx, mean[p, 1] - my, shape[p, 0] - sx, shape[p, 1] - sy
        along += x * u + y * v
        across += x * v - y * u
        square_sum += x * x + y * y
    cosine, sine = along / square_sum, across / square_sum
    last, middle = len(gray) - 1, (len(gray) - 1) / 2.0
    for f in range(len(anchors)):
        dx, dy = offsets[f, 0], offsets[f, 1]
        x = (shape[anchors[f], 0] + cosine * dx - sine * dy) * square + middle
        y = (shape[anchors[f], 1] + sine * dx + cosine * dy) * square + middle
        # Also what is no number becomes a place in the crop.
        column = 0 if not x > 0.0 else last if x >= last else int(x + 0.5)
        row = 0 if not y > 0.0 else last if y >= last else int(y + 0.5)
        shades[f] = gray[row, column]
