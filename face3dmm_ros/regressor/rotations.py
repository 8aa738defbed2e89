"""Rotations from what a network can regress, batched: six numbers, or nine."""

import torch
from torch import Tensor
from torch.nn import functional


def rotation_from_6d(numbers: Tensor) -> Tensor:
    """Gram–Schmidt of two vectors: (B, 6) → (B, 3, 3) proper rotations.

    Zhou et al., On the Continuity of Rotation Representations in Neural Networks, CVPR 2019. The six numbers are R's
    first two rows, those that project: r₁ = a/‖a‖, r₂ = the part of b across r₁, to unit length, r₃ = r₁ × r₂.
    """
    a, b = numbers[:, :3], numbers[:, 3:]
    r1 = functional.normalize(a, dim=1)
    r2 = functional.normalize(b - (r1 * b).sum(1, keepdim=True) * r1, dim=1)
    return torch.stack([r1, r2, torch.linalg.cross(r1, r2, dim=1)], dim=1)


def rotation_6d(rotation: Tensor) -> Tensor:
    """The six numbers of rotations, (B, 3, 3) → (B, 6): the inverse of `rotation_from_6d`."""
    return rotation[:, :2].reshape(-1, 6)


def nearest_rotation(matrix: Tensor, squarings: int = 10) -> Tensor:
    """The rotation nearest to each matrix in the Frobenius norm, (B, 3, 3) → (B, 3, 3): maximises tr(RᵀM).

    Davenport's q-method (in Markley & Mortari, Quaternion Attitude Estimation Using Vector Observations, 2000): the
    unit quaternion of R is the eigenvector of the largest eigenvalue of a symmetric K(M), and K, moved above zero and
    squared again and again, keeps nothing else. It equals U·diag(1, 1, det UVᵀ)·Vᵀ of an SVD, whose derivative torch
    cannot take just at rotations, where the singular values are equal, and which ONNX lacks. Where several rotations
    are equally near it is one of them. Ten squarings are a power of 1,024: of an eigenvalue that is
    1 % smaller 3·10⁻⁵ remains.
    """
    m = matrix.flatten(1)
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = m.unbind(1)
    K = torch.stack(
        [
            m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01,
            m21 - m12, m00 - m11 - m22, m01 + m10, m02 + m20,
            m02 - m20, m01 + m10, m11 - m00 - m22, m12 + m21,
            m10 - m01, m02 + m20, m12 + m21, m22 - m00 - m11,
        ],
        dim=1,
    ).view(-1, 4, 4)  # fmt: skip
    # No eigenvalue is below −√3·‖M‖: with as much added the largest is also the largest in size.
    lift = 3.0**0.5 * torch.linalg.vector_norm(m, dim=1) + 1e-12
    identity = torch.eye(4, dtype=K.dtype, device=K.device)
    power = K + lift[:, None, None] * identity
    for _ in range(squarings):
        power = power / (power * identity).sum((1, 2), keepdim=True)
        power = power @ power
    # Each column is now a multiple of the quaternion; the one with the largest diagonal is not a small one.
    longest = functional.one_hot((power * identity).sum(2).argmax(1), 4)
    return _rotation_from_quaternion((power * longest[:, None]).sum(2))


def _rotation_from_quaternion(quaternion: Tensor) -> Tensor:
    """(B, 4) quaternions, w first, of any length but 0 → (B, 3, 3)."""
    w, x, y, z = functional.normalize(quaternion, dim=1).unbind(1)
    return torch.stack(
        [
            1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y),
            2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x),
            2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y),
        ],
        dim=1,
    ).view(-1, 3, 3)  # fmt: skip
