"""What a model's albedo has between its vertices: folds of ears and lips, stubble, pores; a mean and a few components.

A texture of albedo coefficients γ and detail coefficients δ is, texel by texel of `rendering.texture.unwrap`,

    A(γ, δ) = (T̄ + Σ γᵢTᵢ) · (1 + D̄ + Σ δⱼDⱼ),   T between the vertices, D̄ and Dⱼ the detail,

linear in γ; a factor, so that a dark skin has as much detail as a light one. Only what paints textures loads it.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.morphable_model.makehuman_layout import triangles_digest
from face3dmm_ros.morphable_model.model import MorphableModel

_FILE = "resource/albedo_texture.npz"
_STEPS = 127  # of 8 bits with a sign
_LEAST, _MOST = 0.25, 2.0  # of the factor: black hair with white specks would else leave what skin can be
# Chosen by hand.
_NOISE = 0.1  # sigma of a texel's detail that no component explains
_REACH = 1.0  # limit of δ: photographs have details of their own, which no skin would go along with further
_PATCH = 5.0  # texels along each side of a patch that counts as one observation: what is unexplained is alike that far


@dataclass(frozen=True, eq=False)
class AlbedoTexture:
    """Detail in the space of a model's unwrapping, S texels along each side, red, green and blue.

    Attributes:
        mean: D̄, (S, S, 3) float32, relative to the albedo; 0 changes nothing.
        basis: D, (C, S, S, 3) float32, the same per standard deviation of δ.
        model: digest of the triangles that it is for.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    model: str

    @staticmethod
    def of(model: MorphableModel) -> "AlbedoTexture | None":
        """That of the default model, or of one with the same triangles; None for another model."""
        texture = AlbedoTexture.load(package_file(_FILE))
        return texture if texture.model == triangles_digest(model) else None

    @staticmethod
    def load(path: Path) -> "AlbedoTexture":
        """Read what `save` wrote.

        Raises:
            Face3DMMError: the file is missing or damaged.
        """
        with ArrayArchive(path, "a texture of the albedo") as file:
            detail = file.read("detail") * file.read("step")[:, None, None, None]
            return AlbedoTexture(detail[0], detail[1:], str(file.read("model")))

    def save(self, path: Path) -> None:
        """Write it, in 8 bits with a step for the mean and for each component."""
        detail = np.concatenate([self.mean[None], self.basis])
        step = (np.abs(detail).max(axis=(1, 2, 3)) / _STEPS).astype(np.float32)
        rounded = np.round(detail / step[:, None, None, None]).astype(np.int8)
        np.savez_compressed(path, detail=rounded, step=step, model=np.str_(self.model))

    def factor(self, delta: NDArray[np.floating], size: int) -> NDArray[np.float32]:
        """1 + D̄ + Σ δⱼDⱼ in a texture of so many texels, (size, size, 3); δ in standard deviations."""
        detail = self.mean + np.tensordot(np.asarray(delta, np.float32), self.basis, 1)
        shrinks = size < len(detail)
        resized = cv2.resize(detail, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return np.asarray(np.clip(1.0 + resized, _LEAST, _MOST))

    def fit(self, detail: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float64]:
        """δ in standard deviations, (C,), under its prior and within a limit, of detail that was found.

        Args:
            detail: (size, size, 3) relative to the albedo, as the mean is.
            weight: (size, size) in [0, 1], how far each texel counts.
        """
        side = len(self.mean)
        found = cv2.resize(detail * weight[..., None], (side, side), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(weight, (side, side), interpolation=cv2.INTER_AREA)[..., None]
        precision = 1.0 / (_NOISE * _PATCH) ** 2
        columns = self.basis.reshape(len(self.basis), -1)
        weighted = (seen * self.basis).reshape(columns.shape)
        H = precision * (weighted @ columns.T).astype(np.float64)
        g = precision * (columns @ (found - seen * self.mean).ravel()).astype(np.float64)
        return np.clip(np.linalg.solve(H + np.eye(len(H)), g), -_REACH, _REACH)
