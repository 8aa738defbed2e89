"""The mean face at rest moved to where people's faces have their eyes, brows and lips.

`lab/default_model/fit_people_mean.py` sets photographed people's points beside the mended mean: what no identity
explains of what forty faces at rest have in common. A mean whose eyes lie too low would take every open eye for a
raised one.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, estimate_weak_perspective
from face3dmm_ros.lab.default_model.expression import affine_eyeball, kept_off_eyeball
from face3dmm_ros.lab.default_model.head import EYES, Head
from face3dmm_ros.lab.default_model.mended_mean import skin_shift
from face3dmm_ros.lab.default_model.population import eyeball_center
from face3dmm_ros.landmarks.schemes import LIP_RINGS
from face3dmm_ros.morphable_model import SurfacePoints

OFFSETS = Path(__file__).with_name("people_mean.json")
# Of the mean's offsets, and Gauss-Newton steps for each face in each; chosen by hand: more take longer.
_ROUNDS, _STEPS = 4, 4
# Sigma of a point, mm, and weight of the identity's prior. Chosen by hand: what the identity may not explain counts as
# an offset of the mean.
_NOISE, _PRIOR = 4.0, 4.0
# mm between a point and the vertex that moves by its offset; beyond, it does not count. Chosen by hand.
_FARTHEST = 6.0


@dataclass(frozen=True, eq=False)
class PeopleMean:
    """How people's faces at rest differ from the mended mean.

    Attributes:
        skin: (468, 2) mm, by how much each of Face Mesh's points lies to the person's left and up; mirror symmetric.
        eye: (2,) mm, the same of the left eyeball.
    """

    skin: NDArray[np.float64]
    eye: NDArray[np.float64]

    @staticmethod
    def read(path: Path = OFFSETS) -> "PeopleMean":
        """Read what `lab/default_model/fit_people_mean.py` wrote."""
        content = json.loads(path.read_text())
        return PeopleMean(np.array(content["skin_mm"]), np.array(content["eye_mm"]))

    def write(self, path: Path = OFFSETS) -> None:
        """Write, rounded to tenths of a millimetre."""
        rows = ",\n".join(json.dumps([round(float(v), 1) + 0.0 for v in row]) for row in self.skin)
        eye = json.dumps([round(float(v), 1) for v in self.eye])
        path.write_text(f'{{"eye_mm": {eye},\n"skin_mm": [\n{rows}\n]}}\n')

    def moved(self, mean: NDArray[np.float64], head: Head, points: SurfacePoints) -> NDArray[np.float64]:
        """The mean (N, 3), mm, moved so, and centred between its eyeballs again; points are Face Mesh's (468)."""
        skin = head.is_part("skin")
        place, vertices = points.interpolate(mean), np.flatnonzero(skin)
        distance = np.linalg.norm(mean[vertices][None] - place[:, None], axis=2)
        near = distance.min(axis=1) < _FARTHEST
        asked, share = np.unique(vertices[distance.argmin(axis=1)][near], return_inverse=True)
        wanted = np.zeros((len(asked), 2))
        np.add.at(wanted, share, _lips_together(self.skin)[near])
        wanted /= np.bincount(share)[:, None]
        moved = mean + np.pad(skin_shift(mean, head, asked, wanted), [(0, 0), (0, 1)])
        for name, side in zip(EYES, ([1, 1], [-1, 1]), strict=True):
            moved[head.is_part(name), :2] += self.eye * side
            # Lids that slide along an eyeball stay upon it.
            axes, center = affine_eyeball(name, head, mean), affine_eyeball(name, head, moved)[3]
            moved = kept_off_eyeball(moved, skin, axes, center, np.linalg.norm(mean - axes[3], axis=1))
        return moved - eyeball_center(moved, head)


def _lips_together(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """The offsets with those of the lips' innermost ring alike above and below: they meet, and still do afterwards."""
    ring = LIP_RINGS[-1]
    above, below = list(ring[1:10]), list(ring[:10:-1])
    together = offsets.copy()
    together[above] = together[below] = (offsets[above] + offsets[below]) / 2
    return together


def common_offsets(
    faces: NDArray[np.floating],
    points: SurfacePoints,
    mean: NDArray[np.floating],
    basis: NDArray[np.floating],
    sigma: NDArray[np.floating],
) -> NDArray[np.float64]:
    """(P, 2) mm, left and up as the person is: what all faces (n, P, 2), px, share and no identity explains.

    Each face is explained by a pose and an identity, of mean (N, 3), basis (3N, K) and sigma (K,), under its prior.
    What all leave in common moves the mean, and all are explained again.
    """
    at_mean = points.interpolate(mean)
    basis = points.interpolate_basis(basis) * sigma
    P = len(at_mean)
    offsets = np.zeros((P, 3))

    def posed(alpha: NDArray[np.float64], seen: NDArray[np.floating]) -> tuple[WeakPerspective, NDArray[np.float64]]:
        """The camera that fits a face best, and what it and the identity leave of the points (P, 2), px."""
        shape = at_mean + offsets + basis @ alpha
        camera = estimate_weak_perspective(shape, seen)
        return camera, seen - camera.translation - shape @ (camera.scale * camera.rotation[:2]).T

    coefficients = np.zeros((len(faces), basis.shape[-1]))
    for _ in range(_ROUNDS):
        left = []
        for alpha, seen in zip(coefficients, faces, strict=True):
            for _ in range(_STEPS):
                camera, residual = posed(alpha, seen)
                A = camera.scale * camera.rotation[:2]
                J = np.einsum("ij,pjk->pik", A, basis).reshape(2 * P, -1) / (_NOISE * camera.scale)
                normal = J.T @ J + _PRIOR * np.eye(J.shape[1])
                alpha += np.linalg.solve(normal, J.T @ residual.ravel() / (_NOISE * camera.scale) - _PRIOR * alpha)
            camera, residual = posed(alpha, seen)
            left.append(residual @ camera.rotation[:2] / camera.scale)
        offsets[:, :2] += np.mean(left, axis=0)[:, :2]
    return offsets[:, :2]
