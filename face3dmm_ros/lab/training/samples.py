"""What a network learns from: crops of faces with their parameters, from rendered faces, data sets or photographs."""

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
    """A face in a crop, and what is true of it: x = s·P·R·(S̄ + Σ αᵢSᵢ + Σ βᵢEᵢ) + t in pixels of the crop.

    Attributes:
        crop: (120, 120, 3) uint8 BGR.
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
        crops: (B, 120, 120, 3) uint8 BGR.
        parameters: float32; `deviation` is None.
        labelled: (B,) bool.
    """

    crops: torch.Tensor
    parameters: ParameterBatch
    labelled: torch.Tensor


class FaceDataset(Protocol):
    """A set of faces to learn from. A sample depends on its index and the state of the generator alone."""

    @property
    def shape_count(self) -> int:
        """How many coefficients α of its samples have."""
        ...

    @property
    def expression_count(self) -> int:
        """How many coefficients β of its samples have."""
        ...

    @property
    def texture_count(self) -> int:
        """How many coefficients γ of its samples have."""
        ...

    def __len__(self) -> int:
        """How many faces there are."""
        ...

    def sample(self, index: int, rng: np.random.Generator, augment: bool) -> FaceSample:
        """A face, cropped; with `augment` as a detector might crop it, and disturbed as photographs are."""
        ...


def collate(samples: Sequence[FaceSample]) -> SampleBatch:
    """Samples stacked to tensors.

    Raises:
        Face3DMMError: no sample, or samples of different coefficient counts.
    """
    if not samples:
        raise Face3DMMError("a batch holds at least one sample, found none")
    counts = {(len(sample.alpha), len(sample.beta), len(sample.gamma)) for sample in samples}
    if len(counts) > 1:
        raise Face3DMMError(
            f"samples with different numbers of (alpha, beta, gamma) cannot share a batch: {sorted(counts)}; open all "
            "data sets with the same shape_count, expression_count and texture_count"
        )

    def stacked(values: Sequence[object]) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.asarray(value, dtype=np.float32) for value in values]))

    return SampleBatch(
        crops=torch.from_numpy(np.stack([sample.crop for sample in samples])),
        parameters=ParameterBatch(
            scale=stacked([sample.scale for sample in samples]),
            rotation=stacked([sample.rotation for sample in samples]),
            translation=stacked([sample.translation for sample in samples]),
            alpha=stacked([sample.alpha for sample in samples]),
            beta=stacked([sample.beta for sample in samples]),
            gamma=stacked([sample.gamma for sample in samples]),
            landmarks=stacked([sample.landmarks for sample in samples]),
            deviation=None,
        ),
        labelled=torch.tensor([sample.labelled for sample in samples]),
    )
