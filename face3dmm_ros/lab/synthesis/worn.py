"""Things that hang on a model's vertices and show a picture with holes: hair, brows, lashes, beards, teeth."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.lab.synthesis.parts import Card, Head, VertexArrays, as_bytes
from face3dmm_ros.morphable_model.scalp import SKULL_MIDDLE

KINDS = ("hair", "brows", "lashes", "beard", "moustache", "teeth")
"""What a worn thing can be."""

_FINE = ("brows", "lashes")  # hairs one by one: they hide nothing of what is behind them
_SHADING = ("hair", "beard", "moustache")  # of the kinds, those that throw shadows
# Chosen by hand, while looking at renders.
_ROUNDING = 0.65  # share of the head's own roundness in the normals of hair: cards by themselves show as cards
_IN_THE_MOUTH = 1.6  # by which teeth get more light than the mouth around them
_LIFT = {
    "hair": 1.5,
    "brows": 2.0,
    "lashes": 0.5,
    "beard": 1.5,
    "moustache": 1.5,
}  # mm toward the viewer, in depth alone


@dataclass(frozen=True, eq=False)
class Binding:
    """Where V vertices are, as a linear function of a model's N.

    Attributes:
        weights: (V, N) sparse.
        constant: (V, 3) mm, added to the weighted vertices.
        offsets: (V, 3), added besides, each axis times the distance along it of two of the model's vertices.
        ends: (2, 3) those two vertices, for x, y and z.
    """

    weights: scipy.sparse.csr_array
    constant: NDArray[np.float32]
    offsets: NDArray[np.float32]
    ends: NDArray[np.int32]

    def vertices(self, model_vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vertices on a face (N, 3), mm: (V, 3)."""
        axes = np.arange(3)
        span = model_vertices[self.ends[0], axes] - model_vertices[self.ends[1], axes]
        return np.asarray(self.weights @ model_vertices + self.constant + self.offsets * span, np.float32)


@dataclass(frozen=True, eq=False)
class Asset:
    """Something to wear.

    Attributes:
        name: of it, for people.
        kind: one of `KINDS`.
        binding: of its V vertices.
        corners: (C,) int32, the vertex of each of the picture's vertices; along seams a vertex is there more than once.
        uv: (C, 2) float32, u right and v down.
        triangles: (M, 3) int32 of the picture's vertices; both their sides are seen.
        normals: (C, 3) float32 on the mean face.
        openness: (C,) share of the light from everywhere that reaches them; of teeth the head says it.
        picture: (H, W, 4) uint8 sRGB, in linear light to be multiplied by four times a colour: of hair its brightness
            alone, whose mean is a quarter; of teeth a quarter of what they are. Alpha says what there is.
    """

    name: str
    kind: str
    binding: Binding
    corners: NDArray[np.int32]
    uv: NDArray[np.float32]
    triangles: NDArray[np.int32]
    normals: NDArray[np.float32]
    openness: NDArray[np.float32]
    picture: NDArray[np.uint8]

    def card(self, head: Head, color: ArrayLike, gloss: float) -> Card:
        """It on a head, in an sRGB colour."""
        count = len(self.corners)
        position = self.binding.vertices(head.vertices)[self.corners]
        openness = self.openness
        if self.kind == "teeth":
            openness = np.clip(_IN_THE_MOUTH * (self.binding.weights @ head.openness)[self.corners], 0.3, 1.0)
        traits = np.column_stack([openness, np.full(count, gloss), np.zeros((count, 2))])
        arrays = VertexArrays(
            position,
            _rounded(position, self.normals) if self.kind == "hair" else self.normals,
            np.column_stack([self.uv, np.zeros(count, np.float32)]),
            np.broadcast_to(as_bytes(color), (count, 3)),
            as_bytes(traits),
            np.zeros((count, 4), np.uint8),
            self.uv,
        )
        return Card(
            self.kind in _FINE, arrays, self.triangles, self.picture, self.kind in _SHADING, _LIFT.get(self.kind, 0.0)
        )


def _rounded(position: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normals (C, 3) drawn toward those of a round head with straight hair below it, at (C, 3) mm."""
    outward = position - SKULL_MIDDLE.astype(np.float32)
    outward[:, 1] = np.maximum(outward[:, 1], 0.0)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    # Cards have two sides: the one that looks away from the head counts.
    side = np.where((normals * outward).sum(axis=1, keepdims=True) < 0, -1.0, 1.0).astype(np.float32)
    return np.asarray(_ROUNDING * outward + (1.0 - _ROUNDING) * side * normals, np.float32)
