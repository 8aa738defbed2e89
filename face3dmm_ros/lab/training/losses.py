"""The losses of regressors: pure functions of tensors, each the mean over the faces of a batch.

Two kinds of arguments. Vectors, (B, D), are in a network's units (whitened). Points are (B, L, 3) in mm of the model or
(B, L, 2 or 3) in px of the crop; `FaceBases` makes them from parameters. Compute losses in float32, outside autocast:
pixels and millimetres do not fit into half precision. The loss of an empty batch is 0.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model.model import MorphableModel, SurfacePoints
from face3dmm_ros.regressor.parameter_layout import ParameterBatch, ParameterLayout, Whitening

_LEAST_TURN = 1e-8
"""radians², added before a root is taken, so that no turn at all has a finite gradient."""


@dataclass(frozen=True, eq=False)
class FaceBases:
    """L points of a face model as tensors: S = S̄ + Σ αᵢSᵢ + Σ βᵢEᵢ.

    Attributes:
        mean: S̄, (L, 3) mm.
        shape: S, (n, L, 3) mm per unit of α.
        expression: E, (m, L, 3) mm per unit of β.
        shape_sigma: (n,) standard deviation of α.
        expression_sigma: (m,) standard deviation of β.
    """

    mean: Tensor
    shape: Tensor
    expression: Tensor
    shape_sigma: Tensor
    expression_sigma: Tensor

    def vertices(self, alpha: Tensor, beta: Tensor) -> Tensor:
        """S of (B, ≤ n) and (B, ≤ m) leading coefficients, (B, L, 3) mm."""
        shape, expression = self.shape[: alpha.shape[1]].flatten(1), self.expression[: beta.shape[1]].flatten(1)
        offsets = alpha @ shape + beta @ expression
        return self.mean + offsets.view(-1, *self.mean.shape)

    def in_camera(self, faces: ParameterBatch) -> Tensor:
        """s·R·S + (t, 0), (B, L, 3) px: the projected points, and their depth behind the model's origin."""
        turned = self.vertices(faces.alpha, faces.beta) @ (faces.scale[:, None, None] * faces.rotation).mT
        return turned + functional.pad(faces.translation, (0, 1))[:, None]

    def projected(self, faces: ParameterBatch) -> Tensor:
        """s·P·R·S + t, (B, L, 2) px."""
        return self.in_camera(faces)[..., :2]

    def to(self, device: torch.device | str) -> "FaceBases":
        """The same on another device."""
        tensors = (self.mean, self.shape, self.expression, self.shape_sigma, self.expression_sigma)
        return FaceBases(*(tensor.to(device) for tensor in tensors))


def face_bases(model: MorphableModel, points: SurfacePoints) -> FaceBases:
    """A model restricted to points of its surface, such as `model.scheme("ibug68")`, float32."""
    at = model.at_points(points)
    arrays = (
        at.mean,
        at.shape.transpose(2, 0, 1),
        at.expression.transpose(2, 0, 1),
        model.shape_sigma,
        model.expression_sigma,
    )
    return FaceBases(*(torch.from_numpy(np.array(array, np.float32, order="C")) for array in arrays))


def asymmetric_euclidean(prediction: Tensor, target: Tensor, over: float = 1.0, under: float = 3.0) -> Tensor:
    """λ₁‖γ⁺ − γmax‖² + λ₂‖γp⁺ − γmax‖², γ⁺ = |γ|, γp⁺ = sign(γ)·γp, γmax = max(γ⁺, γp⁺).

    Tran et al., Regressing Robust and Discriminative 3D Morphable Models with a Very Deep Neural Network, CVPR 2017,
    equations 3 to 5: λ₁ weighs a coefficient farther from the origin than its label, λ₂ one that is nearer, as
    regressed faces tend to be. Where a label is 0, every deviation is an over-estimate; the paper's sign(0) = 0 would
    forgive it. With λ₁ = λ₂ = 1 it is the squared Euclidean distance.

    Args:
        prediction: γp, (B, D).
        target: γ, (B, D).
        over: λ₁.
        under: λ₂.
    """
    excess = torch.where(target == 0, prediction.abs(), torch.sign(target) * prediction) - target.abs()
    weight = torch.where(excess > 0, over, under)
    return _over_faces((weight * excess.square()).sum(1))


def weighted_coefficient(
    prediction: Tensor, target: Tensor, layout: ParameterLayout, whitening: Whitening, bases: FaceBases
) -> Tensor:
    """(α* − α̂)ᵀ W (α* − α̂), W = diag(w), wᵢ = ‖H(α̂ᵢ) − H(α*)‖ / Σⱼ wⱼ.

    2DASL's supervision (Tu et al., 2019): H projects the face, and α̂ᵢ is the label but for its i-th number, which is
    the prediction's. What moves the projection most is learnt first. The weights are constants to the gradient.

    Args:
        prediction: α̂, (B, ≥ D) whitened, the face's parameters first.
        target: α*, (B, ≥ D) whitened.
        layout: what the D = `layout.parameter_slice.stop` numbers are.
        whitening: their units.
        bases: the points that H projects, such as the 68 landmarks.
    """
    influence = _influence(prediction, target, layout, whitening, bases)
    # Of a prediction without error 0.
    weights = influence / influence.sum(1, keepdim=True).clamp(min=torch.finfo(influence.dtype).tiny)
    parameters = layout.parameter_slice
    return _over_faces((weights * (prediction[:, parameters] - target[:, parameters]).square()).sum(1))


def vertex_distance(prediction: ParameterBatch, target: ParameterBatch, bases: FaceBases, power: float = 2.0) -> Tensor:
    """Σᵢ ‖Vᵢ(p̂) − Vᵢ(p*)‖² / L, px²: VDC, over L vertices in the camera, their depth included.

    Zhu et al., CVPR 2016; with depth Guo et al., Towards Fast, Accurate and Stable 3D Dense Face Alignment, ECCV 2020.

    Args:
        prediction: p̂.
        target: p*.
        bases: the vertices V.
        power: of each distance. With 1 in place of 2, px, faces that nobody could tell, hidden or cut off, do not
            outweigh those that are seen.
    """
    distance = torch.linalg.vector_norm(bases.in_camera(prediction) - bases.in_camera(target), dim=2)
    return _over_faces((distance**power).mean(1))


def shape_distance(prediction: ParameterBatch, target: ParameterBatch, bases: FaceBases) -> Tensor:
    """Σᵢ (‖S·(α̂ − α*)‖ᵢ + ‖E·(β̂ − β*)‖ᵢ) / L, mm: over L vertices in the model's own space, whatever the pose.

    In the camera the errors of the pose are the larger ones for long, and the gradient of a vertex's distance points
    along them, so that coefficients would hardly learn. Here each half is judged by itself.
    """

    def moved(change: Tensor, basis: Tensor) -> Tensor:
        offsets = change @ basis[: change.shape[1]].flatten(1)
        return torch.linalg.vector_norm(offsets.view(-1, *basis.shape[1:]), dim=2)

    identity = moved(prediction.alpha - target.alpha, bases.shape)
    expression = moved(prediction.beta - target.beta, bases.expression)
    return _over_faces((identity + expression).mean(1))


def rotation_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """2·asin(‖R̂ − R‖ / √8), degrees: the angle of the rotation from R to R̂.

    Huynh, Metrics for 3D Rotations, Journal of Mathematical Imaging and Vision 2009. Vertices tell a rotation only as
    far as it moves them, and a face is shallow.

    Args:
        prediction: R̂, (B, 3, 3).
        target: R, (B, 3, 3).
    """
    chord = torch.linalg.vector_norm(prediction - target, dim=(1, 2)) / 8.0**0.5
    return _over_faces(torch.rad2deg(2.0 * torch.asin(chord.clamp(max=1.0 - 1e-6))))


def landmark_distance(points: Tensor, target: Tensor) -> Tensor:
    """Σᵢ ‖xᵢ − x̂ᵢ‖: 2DASL's consistencies (Tu et al., 2019), in the unit of the points.

    In 2D, px, the points are projections of the regressed face, and the target is what the network was given, detected
    or true; of a face regressed once more, with the map of the first one's projections, this is the cycle consistency.
    In 3D, mm, they are landmarks of the regressed face in the model's space, and of that regressed once more.

    Args:
        points: x̂, (B, L, 2 or 3).
        target: x, of the same shape.
    """
    return _over_faces(torch.linalg.vector_norm(points - target, dim=2).sum(1))


def landmark_likelihood(points: Tensor, log_deviation: Tensor, target: Tensor) -> Tensor:
    """Σᵢ log σᵢ² + ‖μᵢ − μ*ᵢ‖² / (2σᵢ²): the negative log-likelihood of circular Gaussians, less its constant.

    Wood et al., 3D Face Reconstruction with Dense Landmarks, ECCV 2022: a network learns where a landmark is and how
    sure it is of that. It falls below zero as the network becomes sure.

    Args:
        points: μ, (B, L, 2) px.
        log_deviation: log σ, (B, L), σ in px.
        target: μ*, (B, L, 2) px.
    """
    squares = (points - target).square().sum(2)
    return _over_faces((2.0 * log_deviation + 0.5 * squares * torch.exp(-2.0 * log_deviation)).sum(1))


def nme_percent(points: Tensor, target: Tensor) -> Tensor:
    """Mean distance of each face's points (B, L, 2) in percent of √(w·h) of the true ones' box, (B,)."""
    width, height = (target.amax(1) - target.amin(1)).unbind(1)
    distance = torch.linalg.vector_norm(points - target, dim=2).mean(1)
    return 100 * distance / (width * height).sqrt().clamp(min=1e-6)


def points_rotation_degrees(points: Tensor, target: Tensor) -> Tensor:
    """By how far points (B, N, 3) are turned against the true ones about their mean, degrees, (B,).

    For small turns: the ω of least squares of p + ω × p, of which moving and growing make nothing.
    """
    about = target - target.mean(dim=1, keepdim=True)
    moment = torch.linalg.cross(about, points - target).sum(dim=1)
    squared = about.square().sum(dim=(1, 2))
    inertia = squared[:, None, None] * torch.eye(3, device=about.device) - about.mT @ about
    turn = torch.linalg.solve(inertia, moment)
    return (turn.square().sum(dim=1) + _LEAST_TURN).sqrt() * (180.0 / math.pi)


def _over_faces(losses: Tensor) -> Tensor:
    """Mean of (B,), 0 if there are none."""
    return losses.sum() / max(len(losses), 1)


@torch.no_grad()
def _influence(
    prediction: Tensor, target: Tensor, layout: ParameterLayout, whitening: Whitening, bases: FaceBases
) -> Tensor:
    """How far each number, taken alone from the prediction, moves the true face's projected points, (B, D) px.

    It is the norm over all points. γ colors the points and moves none.
    """
    D, P = layout.parameter_slice.stop, layout.translation_slice.stop
    if prediction.shape[1] < D or prediction.shape != target.shape:
        raise Face3DMMError(
            f"the layout has {D} parameters, found vectors of {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    B = len(target)
    truth = target[:, :D] * whitening.deviation[:D] + whitening.mean[:D]
    change = (prediction - target)[:, :D] * whitening.deviation[:D]

    face = layout.decode(truth)
    A = face.scale[:, None, None] * face.rotation[:, :2]
    exchanged = truth[:, None].repeat(1, P, 1)
    exchanged.diagonal(dim1=1, dim2=2).add_(change[:, :P])
    each = layout.decode(exchanged.view(B * P, D))
    turn = (each.scale[:, None, None] * each.rotation[:, :2]).view(B, P, 2, 3) - A[:, None]
    shift = each.translation.view(B, P, 2) - face.translation[:, None]
    points = bases.vertices(face.alpha, face.beta)
    moved = torch.einsum("bld,bpkd->bplk", points, turn) + shift[:, :, None]
    by_pose = torch.linalg.vector_norm(moved, dim=(2, 3))
    # A coefficient moves the points by A·S times its change, and over the points Σ ‖A·S‖² = tr(A·(Σ S·Sᵀ)·Aᵀ).
    basis = torch.cat([bases.shape[: layout.shape_count], bases.expression[: layout.expression_count]])
    squares = torch.einsum("bkd,ide,bke->bi", A, basis.mT @ basis, A)
    by_coefficients = change[:, P : layout.expression_slice.stop].abs() * squares.clamp(min=0.0).sqrt()
    return torch.cat([by_pose, by_coefficients, change.new_zeros(B, layout.texture_count)], dim=1)
