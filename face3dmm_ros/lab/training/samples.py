"""Training samples: crops of faces with their parameters, from rendered faces, data sets or photographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.regressor.parameter_layout import ParameterBatch


@dataclass(frozen=True, eq=False)
class FaceSample:
    """A face in a crop with its ground truth: x = s·P·R·(S̄ + Σ αᵢSᵢ + Σ βᵢEᵢ) + t in pixels of the crop.

    Attributes:
        crop: (side, side, 3) uint8 BGR.
        scale: s, px/mm.
        rotation: R, (3, 3), model → camera.
        translation: t, (2,), px of the crop, (0, 0) the centre of its top-left pixel.
        alpha: (n,) the leading identity coefficients.
        beta: (m,) the leading expression coefficients.
        gamma: (l,) the leading albedo coefficients.
        landmarks: (68, 2) iBUG's points, px of the crop.
        labelled: False where the landmarks alone are known: the second branch of 2DASL (Tu et al., IEEE Transactions on
            Multimedia 2021). s is then 1, R the identity, and the rest zero.
    """

    crop: NDArray[np.uint8]
    scale: float
    rotation: NDArray[np.floating]
    translation: NDArray[np.floating]
    alpha: NDArray[np.floating]
    beta: NDArray[np.floating]
    gamma: NDArray[np.floating]
    landmarks: NDArray[np.floating]
    labelled: bool = True


@dataclass(frozen=True, eq=False)
class SampleBatch:
    """B samples as tensors.

    Attributes:
        crops: (B, side, side, 3) uint8 BGR.
        parameters: float32; `deviation` is None.
        labelled: (B,) bool.
    """

    crops: torch.Tensor
    parameters: ParameterBatch
    labelled: torch.Tensor


@dataclass(frozen=True)
class SampleForm:
    """Which coefficients a sample holds, and how it is cropped.

    Attributes:
        shape_count: leading α, None for all that the model has.
        expression_count: leading β, None for all that the model has.
        texture_count: leading γ, None for all that the model has.
        dense: in the crop of the dense landmark network, 160 px; else in that of a regressor, 120 px.
    """

    shape_count: int | None = None
    expression_count: int | None = None
    texture_count: int | None = None
    dense: bool = False


class FaceDataset(Protocol):
    """A set of faces to learn from. A sample depends on its index and the state of the generator alone."""

    def __len__(self) -> int:
        """How many faces there are."""

    def sample(self, index: int, rng: np.random.Generator, augment: bool) -> FaceSample:
        """A face, cropped; with `augment` as a detector might crop it, and disturbed as photographs are."""


def collate(samples: Sequence[FaceSample]) -> SampleBatch:
    """Samples stacked to tensors.

    Raises:
        Face3DMMError: there is no sample, or samples differ in their numbers of coefficients.
    """
    if not samples:
        raise Face3DMMError("a batch holds at least one sample, found none")
    counts = {(len(sample.alpha), len(sample.beta), len(sample.gamma)) for sample in samples}
    if len(counts) > 1:
        raise Face3DMMError(
            f"samples with different numbers of (alpha, beta, gamma) cannot share a batch: {sorted(counts)}; open all "
            "data sets with the same form"
        )

    def stacked(name: str) -> torch.Tensor:
        values = [np.asarray(getattr(sample, name), dtype=np.float32) for sample in samples]
        return torch.from_numpy(np.stack(values))

    told = ("scale", "rotation", "translation", "alpha", "beta", "gamma", "landmarks")
    return SampleBatch(
        crops=torch.from_numpy(np.stack([sample.crop for sample in samples])),
        parameters=ParameterBatch(**{name: stacked(name) for name in told}),
        labelled=torch.tensor([sample.labelled for sample in samples]),
    )
