"""The vector that a network regresses: which number means what, in which unit, and how it is whitened.

All is in pixels of a crop of SIDE × SIDE, (0, 0) the centre of its top-left pixel, and in the conventions of
`face3dmm_ros.core.camera`: R turns model into camera, x = s·P·R·X + t, y points down.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import accumulate

import torch
from torch import Tensor

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.regressor.crops import SIDE
from face3dmm_ros.regressor.rotations import nearest_rotation, rotation_6d, rotation_from_6d

MIDDLE = (SIDE - 1) / 2.0
"""Of the crop, px, in x and y: translations and landmarks count from here."""
ROTATION_SIZES = {"6d": 6, "matrix": 9, "none": 0}
"""How many numbers each form of a rotation has; with ``none`` there is no scale and no translation either."""

_LARGEST_COUNT = 1000
"""Of coefficients or landmarks; chosen by hand, far above any model's."""
_SMALLEST_SCALE = 1e-6
"""px/mm; gives a face without a known scale (s = 0) a finite logarithm."""
_FRONTAL = torch.diag(torch.tensor([1.0, -1.0, -1.0]))


@dataclass(frozen=True, eq=False)
class ParameterBatch:
    """B faces as the model sees them in their crops.

    Attributes:
        scale: s, (B,) px/mm.
        rotation: R, (B, 3, 3), model → camera.
        translation: t, (B, 2) px of the crop.
        alpha: (B, n) identity coefficients, raw.
        beta: (B, m) expression coefficients, raw.
        gamma: (B, l) albedo coefficients, raw; l may be 0.
        landmarks: (B, N, 2) px of the crop, or None.
        deviation: (B, N) standard deviation of each landmark's coordinates, px, or None.
    """

    scale: Tensor
    rotation: Tensor
    translation: Tensor
    alpha: Tensor
    beta: Tensor
    gamma: Tensor
    landmarks: Tensor | None = None
    deviation: Tensor | None = None

    def __len__(self) -> int:
        """B."""
        return len(self.scale)

    def at(self, index: Tensor | slice) -> "ParameterBatch":
        """Some of the faces, by a mask, indices or a slice."""
        return self._each(lambda values: values[index])

    def to(self, device: torch.device | str) -> "ParameterBatch":
        """The same faces on another device."""
        return self._each(lambda values: values.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "ParameterBatch":
        values = (getattr(self, field.name) for field in fields(self))
        return ParameterBatch(*(None if value is None else change(value) for value in values))


def _part(index: int) -> property:
    """A property of a `ParameterLayout`: where the part of that index lies in the vector, a slice."""
    return property(lambda layout: slice((0, *layout._ends)[index], layout._ends[index]))


@dataclass(frozen=True)
class ParameterLayout:
    """Rotation, log s, t, α, β, γ and, where there are any, landmarks and their log σ, in this order in one vector.

    t and the landmarks count from the middle of the crop, the rest is as in `ParameterBatch`: coefficients are raw, and
    `Whitening` gives them a network's units.

    Attributes:
        rotation: ``6d`` (`rotation_from_6d`) or ``matrix``: nine numbers, row by row, of which the nearest rotation
            counts, as in 2DASL (Tu et al., 2019); or ``none``: neither rotation nor log s nor t, only who somebody is,
            wherever the face is, as in Tran et al., CVPR 2017, whose 198 numbers are 99 α and 99 γ.
        shape_count: n, the leading identity coefficients that are regressed.
        expression_count: m, the leading expression coefficients that are regressed.
        landmark_count: N, 0 for none.
        texture_count: l, the leading albedo coefficients that are regressed.
    """

    rotation: str
    shape_count: int
    expression_count: int
    landmark_count: int = 0
    texture_count: int = 0

    def __post_init__(self) -> None:
        """Check the counts.

        Raises:
            Face3DMMError: an unknown form of rotation, a count that none can have, or landmarks without a pose.
        """
        if self.rotation not in ROTATION_SIZES:
            raise Face3DMMError(f"a rotation is regressed as one of {list(ROTATION_SIZES)}, not as {self.rotation!r}")
        if not all(0 <= count <= _LARGEST_COUNT for count in self.counts):
            raise Face3DMMError(f"the counts of a layout lie between 0 and {_LARGEST_COUNT}: {self}")
        if self.landmark_count and not self.has_pose:
            raise Face3DMMError(f"landmarks need a pose: found {self.landmark_count} of them without a rotation")

    @property
    def counts(self) -> list[int]:
        """Of α, β, γ and landmarks, in the vector's order."""
        return [self.shape_count, self.expression_count, self.texture_count, self.landmark_count]

    @property
    def has_pose(self) -> bool:
        """Whether there are rotation, log s and t."""
        return ROTATION_SIZES[self.rotation] > 0

    @property
    def _ends(self) -> tuple[int, ...]:
        """Where each part of the vector ends."""
        pose = (ROTATION_SIZES[self.rotation], self.has_pose, 2 * self.has_pose)
        *coefficients, landmarks = self.counts
        return tuple(accumulate((*pose, *coefficients, 2 * landmarks, landmarks)))

    rotation_slice = _part(0)
    scale_slice = _part(1)
    """Of log s."""
    translation_slice = _part(2)
    shape_slice = _part(3)
    expression_slice = _part(4)
    texture_slice = _part(5)
    landmark_slice = _part(6)
    """Of x₀ y₀ x₁ y₁ …."""
    log_deviation_slice = _part(7)

    @property
    def parameter_slice(self) -> slice:
        """Where the face's parameters are: all but the landmarks and their log σ."""
        return slice(0, self._ends[5])

    @property
    def size(self) -> int:
        """The length of the vector."""
        return self._ends[-1]

    def encode(self, batch: ParameterBatch) -> Tensor:
        """The vectors of B faces, (B, size), not whitened. Without deviations log σ is 0.

        Raises:
            Face3DMMError: other counts of coefficients or landmarks than the layout's.
        """
        B = len(batch)
        found = [batch.alpha.shape[1], batch.beta.shape[1], batch.gamma.shape[1]]
        if found != self.counts[:3]:
            raise Face3DMMError(
                f"the layout has {self.shape_count} shape, {self.expression_count} expression and {self.texture_count} "
                f"texture coefficients, the faces have {found[0]}, {found[1]} and {found[2]}"
            )
        parts = [batch.alpha, batch.beta, batch.gamma]
        if self.has_pose:
            rotation = rotation_6d(batch.rotation) if self.rotation == "6d" else batch.rotation.flatten(1)
            log_scale = batch.scale.clamp(min=_SMALLEST_SCALE).log()[:, None]
            parts = [rotation, log_scale, batch.translation - MIDDLE, *parts]
        if self.landmark_count:
            if batch.landmarks is None or batch.landmarks.shape[1] != self.landmark_count:
                what = "none" if batch.landmarks is None else str(batch.landmarks.shape[1])
                raise Face3DMMError(f"the layout has {self.landmark_count} landmarks, the faces have {what}")
            deviation = batch.deviation
            log_deviation = batch.scale.new_zeros(B, self.landmark_count) if deviation is None else deviation.log()
            parts += [(batch.landmarks - MIDDLE).flatten(1), log_deviation]
        return torch.cat(parts, dim=1)

    def decode(self, raw: Tensor) -> ParameterBatch:
        """The faces of (B, size) vectors that are not whitened: the inverse of `encode`, differentiable.

        Vectors of the parameters alone, (B, parameter_slice.stop), decode too, to faces without landmarks. What has no
        pose decodes to faces seen from the front, of s = 1, in the middle of the crop.
        """
        count = self.landmark_count if raw.shape[1] > self.parameter_slice.stop else 0
        values = decode_vector(raw, self.rotation, [*self.counts[:3], count])
        return ParameterBatch(*values) if count else ParameterBatch(*values[:6])


def decode_vector(
    raw: Tensor, form: str, counts: list[int], middle: float = MIDDLE
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`ParameterLayout.decode` in the words that TorchScript knows: `ParameterBatch`'s tensors, empty ones for None."""
    B = raw.shape[0]
    pose_size = 0 if form == "none" else 9 if form == "6d" else 12
    landmark_count = counts[3]
    sizes = [pose_size, counts[0], counts[1], counts[2], 2 * landmark_count, landmark_count]
    pose, alpha, beta, gamma, landmarks, log_deviation = raw.split(sizes, dim=1)
    if form == "none":
        scale = raw.new_ones(B)
        rotation = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=raw.dtype, device=raw.device)).repeat(B, 1, 1)
        translation = raw.new_full((B, 2), middle)
    else:
        scale = pose[:, -3].exp()
        rotation = rotation_from_6d(pose[:, :6]) if form == "6d" else nearest_rotation(pose[:, :9].reshape(-1, 3, 3))
        translation = pose[:, -2:] + middle
    landmarks = landmarks.reshape(B, landmark_count, 2) + middle
    return scale, rotation, translation, alpha, beta, gamma, landmarks, log_deviation.exp()


@dataclass(frozen=True, eq=False)
class Whitening:
    """A network's units: (raw − mean) / deviation.

    Attributes:
        mean: (size,).
        deviation: (size,), positive.
    """

    mean: Tensor
    deviation: Tensor

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            Face3DMMError: shapes that disagree, values that are not finite, or a deviation that is not positive.
        """
        if self.mean.ndim != 1 or self.mean.shape != self.deviation.shape:
            raise Face3DMMError(
                f"whitening needs two vectors of one length, found {tuple(self.mean.shape)} and "
                f"{tuple(self.deviation.shape)}"
            )
        if not (bool(torch.isfinite(self.mean).all()) and bool(torch.isfinite(self.deviation).all())):
            raise Face3DMMError("whitening holds values that are not finite")
        if not bool((self.deviation > 0).all()):
            raise Face3DMMError("whitening needs positive deviations")

    @staticmethod
    def measured(layout: ParameterLayout, raw: Tensor) -> "Whitening":
        """That of (F, size) encoded faces, F ≥ 2, so that each number has mean 0 and deviation 1 over them.

        A rotation's numbers, which are of order one, count from a frontal face's with deviation 1; log σ stays as it
        is, and so does the deviation of what does not vary.

        Raises:
            Face3DMMError: fewer than two faces, another layout's, or values that are not finite.
        """
        if raw.ndim != 2 or raw.shape[1] != layout.size or len(raw) < 2:
            raise Face3DMMError(f"whitening is measured on (F ≥ 2, {layout.size}) vectors, found {tuple(raw.shape)}")
        mean, deviation = raw.mean(0), raw.std(0)
        deviation = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))
        if layout.has_pose:
            frontal = rotation_6d(_FRONTAL[None])[0] if layout.rotation == "6d" else _FRONTAL.flatten()
            mean[layout.rotation_slice] = frontal.to(mean)
            deviation[layout.rotation_slice] = 1.0
        mean[layout.log_deviation_slice] = 0.0
        deviation[layout.log_deviation_slice] = 1.0
        return Whitening(mean, deviation)

    def whiten(self, raw: Tensor) -> Tensor:
        """(B, size) vectors in a network's units."""
        return (raw - self.mean) / self.deviation

    def unwhiten(self, white: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        return white * self.deviation + self.mean

    def to(self, device: torch.device | str) -> "Whitening":
        """The same on another device."""
        return Whitening(self.mean.to(device), self.deviation.to(device))
