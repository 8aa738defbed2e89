"""Each loss has the value that its formula has by hand, and leads a small network to its faces."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import nearest_rotation, rotation_from_pose_angles, rotation_from_vector
from face3dmm_ros.morphable_model import MorphableModel

torch = pytest.importorskip("torch", reason="needs torch: make torch")

from face3dmm_ros.core.errors import Face3DMMError  # noqa: E402
from face3dmm_ros.lab.training import losses  # noqa: E402
from face3dmm_ros.lab.training.losses import FaceBases, face_bases  # noqa: E402
from face3dmm_ros.regressor.parameter_layout import (  # noqa: E402
    MIDDLE,
    ParameterBatch,
    ParameterLayout,
    Whitening,
)

FRONTAL = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0]
PLAIN = ParameterLayout("6d", shape_count=1, expression_count=1)
UNCHANGED = Whitening(torch.zeros(PLAIN.size), torch.ones(PLAIN.size))


@pytest.fixture
def two_points() -> FaceBases:
    """Two points that α lifts in y by 1 mm, and β brings forward in z by 1 mm."""
    up, forward = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    mean = torch.tensor([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
    return FaceBases(mean, up.expand(1, 2, 3), forward.expand(1, 2, 3), torch.ones(1), torch.ones(1))


def vector(t: tuple[float, float] = (0.0, 0.0), alpha: float = 0.0, beta: float = 0.0) -> torch.Tensor:
    """A frontal face of s = 1, encoded with `PLAIN`."""
    return torch.tensor([[*FRONTAL, 0.0, *t, alpha, beta]])


def random_faces(count: int, layout: ParameterLayout, seed: int = 0) -> ParameterBatch:
    rng = np.random.default_rng(seed)
    rotations = [rotation_from_pose_angles(*rng.normal(size=3) * 0.3) for _ in range(count)]

    def tensor(values: object) -> torch.Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float32)

    return ParameterBatch(
        tensor(rng.uniform(0.5, 0.7, count)),
        tensor(rotations),
        tensor(rng.normal(MIDDLE, 4.0, (count, 2))),
        tensor(rng.normal(size=(count, layout.shape_count))),
        tensor(rng.uniform(size=(count, layout.expression_count))),
        tensor(rng.normal(size=(count, layout.texture_count))),
        tensor(rng.uniform(20, 100, (count, layout.landmark_count, 2))),
    )


def random_bases(points: int, layout: ParameterLayout) -> FaceBases:
    generator = torch.Generator().manual_seed(1)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    n, m = layout.shape_count, layout.expression_count
    return FaceBases(
        40 * normal(points, 3), 4 * normal(n, points, 3), 4 * normal(m, points, 3), *map(torch.ones, (n, m))
    )


def test_bases_restrict_the_model_to_its_landmarks(default_model: MorphableModel) -> None:
    rng = np.random.default_rng(0)
    alpha, beta = rng.normal(size=40) * default_model.shape_sigma[:40], rng.uniform(size=10)
    camera = WeakPerspective(0.6, rotation_from_pose_angles(0.1, 0.5, -0.2), np.array([61.0, 57.0]))
    points = default_model.scheme("ibug68")
    truth = points.interpolate(default_model.vertices(alpha, beta))

    bases = face_bases(default_model, points)
    face = ParameterBatch(
        *(
            torch.as_tensor(value, dtype=torch.float32)[None]
            for value in (camera.scale, camera.rotation, camera.translation, alpha, beta, np.zeros(0))
        )
    )

    assert bases.vertices(face.alpha, face.beta)[0].numpy() == pytest.approx(truth, abs=1e-3)
    assert bases.projected(face)[0].numpy() == pytest.approx(camera.project(truth), abs=1e-3)
    assert bases.in_camera(face)[0, :, 2].numpy() == pytest.approx(camera.depth(truth), abs=1e-3)
    assert bases.shape_sigma.numpy() == pytest.approx(default_model.shape_sigma)


@pytest.mark.parametrize(
    ("prediction", "target", "loss"),
    [
        (3.0, 2.0, 1.0 * 1.0),  # farther from the origin: λ₁
        (1.0, 2.0, 3.0 * 1.0),  # nearer: λ₂
        (-3.0, -2.0, 1.0 * 1.0),
        (-1.0, -2.0, 3.0 * 1.0),
        (-1.0, 2.0, 3.0 * 9.0),  # on the other side
        (-2.0, 0.0, 1.0 * 4.0),  # the paper's sign(0) would make this 0
        (2.0, 2.0, 0.0),
    ],
)
def test_asymmetric_euclidean_weighs_what_is_nearer_to_the_origin(
    prediction: float, target: float, loss: float
) -> None:
    assert float(losses.asymmetric_euclidean(torch.tensor([[prediction]]), torch.tensor([[target]]))) == loss


def test_asymmetric_euclidean_sums_over_coefficients_and_averages_over_faces() -> None:
    prediction, target = torch.tensor([[3.0, 1.0], [2.0, 2.0]]), torch.full((2, 2), 2.0)
    assert float(losses.asymmetric_euclidean(prediction, target, over=5.0, under=7.0)) == (5.0 + 7.0) / 2


def test_asymmetric_euclidean_with_equal_weights_is_the_squared_distance() -> None:
    prediction, target = torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(0))
    squared = (prediction - target).square().sum(1).mean()
    assert float(losses.asymmetric_euclidean(prediction, target, 1.0, 1.0)) == pytest.approx(float(squared))


def test_weighted_coefficient_weighs_by_what_moves_the_projection(two_points: FaceBases) -> None:
    # t moves both points by 3 px and α by 2 px, so that the weights are 3/5 and 2/5; β is not seen from the front.
    prediction = vector(t=(3.0, 0.0), alpha=2.0, beta=7.0)
    loss = losses.weighted_coefficient(prediction, vector(), PLAIN, UNCHANGED, two_points)
    assert float(loss) == pytest.approx(0.6 * 9 + 0.4 * 4)


def test_the_weights_are_constants_to_the_gradient(two_points: FaceBases) -> None:
    prediction = vector(t=(3.0, 0.0), alpha=2.0).requires_grad_()
    losses.weighted_coefficient(prediction, vector(), PLAIN, UNCHANGED, two_points).backward()
    assert prediction.grad is not None
    found = prediction.grad[0, [PLAIN.translation_slice.start, PLAIN.shape_slice.start]]
    assert found.tolist() == pytest.approx([2 * 0.6 * 3, 2 * 0.4 * 2])


@pytest.mark.parametrize("rotation", ["6d", "matrix"])
def test_weights_are_computed_with_one_coefficient_exchanged_at_a_time(rotation: str) -> None:
    layout = ParameterLayout(rotation, 3, 2)
    bases = random_bases(5, layout)
    target, prediction = (layout.encode(random_faces(1, layout, seed)) for seed in (0, 1))
    whitening = Whitening(torch.full((layout.size,), 0.1), torch.linspace(0.5, 2.0, layout.size))

    def on_image(raw: np.ndarray) -> np.ndarray:
        size = layout.scale_slice.start
        if rotation == "matrix":
            R = nearest_rotation(raw[:9].reshape(3, 3))
        else:
            Q, T = np.linalg.qr(raw[:6].reshape(2, 3).T)
            r1, r2 = (Q * np.sign(np.diag(T))).T
            R = np.stack([r1, r2, np.cross(r1, r2)])
        alpha, beta = raw[size + 3 : size + 6], raw[size + 6 :]
        points = bases.mean.numpy() + np.einsum("i,ilk->lk", alpha, bases.shape.numpy())
        points = points + np.einsum("i,ilk->lk", beta, bases.expression.numpy())
        camera = WeakPerspective(np.exp(raw[size]), R, raw[size + 1 : size + 3])
        return camera.project(points)

    true, found = (raw[0].double().numpy() for raw in (target, prediction))
    flat = np.empty(layout.size)
    for i in range(layout.size):
        mixed = true.copy()
        mixed[i] = found[i]
        flat[i] = np.linalg.norm(on_image(mixed) - on_image(true))
    squares = ((found - true) / whitening.deviation.numpy()) ** 2

    arguments = whitening.whiten(prediction), whitening.whiten(target), layout, whitening, bases
    by_hand = float(flat / flat.sum() @ squares)
    assert float(losses.weighted_coefficient(*arguments)) == pytest.approx(by_hand, rel=1e-3)


def test_the_weighted_loss_of_a_perfect_prediction_is_zero(two_points: FaceBases) -> None:
    prediction = vector().requires_grad_()
    value = losses.weighted_coefficient(prediction, vector(), PLAIN, UNCHANGED, two_points)
    value.backward()
    assert value.item() == 0.0
    assert prediction.grad is not None
    assert not prediction.grad.any()


def test_the_weighted_loss_leaves_the_landmarks_behind_the_parameters_alone(two_points: FaceBases) -> None:
    layout = ParameterLayout("6d", 1, 1, landmark_count=2)
    whitening = Whitening(torch.zeros(layout.size), torch.ones(layout.size))
    longer = [torch.cat([face, torch.randn(1, 6)], dim=1) for face in (vector(alpha=2.0), vector())]
    assert float(losses.weighted_coefficient(*longer, layout, whitening, two_points)) == pytest.approx(4.0)


def test_the_weighted_loss_leaves_albedo_which_moves_no_point_alone(two_points: FaceBases) -> None:
    layout = ParameterLayout("6d", 1, 1, texture_count=2)
    whitening = Whitening(torch.zeros(layout.size), torch.ones(layout.size))
    plain = vector(t=(3.0, 0.0), alpha=2.0), vector()
    colored = [torch.cat([face, torch.randn(1, 2)], dim=1).requires_grad_() for face in plain]
    value = losses.weighted_coefficient(*colored, layout, whitening, two_points)
    value.backward()
    assert value.item() == pytest.approx(float(losses.weighted_coefficient(*plain, PLAIN, UNCHANGED, two_points)))
    assert colored[0].grad is not None
    assert not colored[0].grad[:, layout.texture_slice].any()


def test_weighted_losses_refuse_vectors_of_another_layout(two_points: FaceBases) -> None:
    with pytest.raises(Face3DMMError, match="11 parameters"):
        losses.weighted_coefficient(torch.zeros(2, 9), torch.zeros(2, 9), PLAIN, UNCHANGED, two_points)


def test_vertex_distance_is_the_mean_square_in_the_camera(two_points: FaceBases) -> None:
    # Both points move by (3, 0, 0) px and by 4 px in depth.
    prediction, target = PLAIN.decode(vector(t=(3.0, 0.0), beta=4.0)), PLAIN.decode(vector())
    assert float(losses.vertex_distance(prediction, target, two_points)) == pytest.approx(9.0 + 16.0)


def test_vertex_distance_of_power_1_is_the_mean_distance(two_points: FaceBases) -> None:
    prediction, target = PLAIN.decode(vector(t=(3.0, 0.0), beta=4.0)), PLAIN.decode(vector())
    assert float(losses.vertex_distance(prediction, target, two_points, power=1.0)) == pytest.approx(5.0)


def test_shape_distance_judges_identity_and_expression_apart_and_no_pose(two_points: FaceBases) -> None:
    # The changes by α and by β, 3 mm up and 4 mm forward, would make 5 mm together.
    prediction, target = PLAIN.decode(vector(t=(9.0, 9.0), alpha=3.0, beta=-4.0)), PLAIN.decode(vector())
    assert float(losses.shape_distance(prediction, target, two_points)) == pytest.approx(3.0 + 4.0)


def test_rotation_distance_is_the_angle_in_degrees() -> None:
    turn = torch.tensor(rotation_from_vector([0.0, 0.0, math.radians(30.0)]), dtype=torch.float32)
    start = torch.tensor(rotation_from_vector([0.3, -0.2, 0.1]), dtype=torch.float32)
    predictions, targets = torch.stack([turn @ start, start]), torch.stack([start, start])
    assert float(losses.rotation_distance(predictions, targets)) == pytest.approx((30.0 + 0.0) / 2, abs=1e-3)


def test_the_gradient_of_rotation_distance_is_finite_where_nothing_is_wrong_and_at_half_a_turn() -> None:
    for target in (torch.eye(3), torch.diag(torch.tensor([1.0, -1.0, -1.0]))):
        prediction = torch.eye(3)[None].clone().requires_grad_()
        losses.rotation_distance(prediction, target[None]).backward()
        assert torch.isfinite(prediction.grad).all()


def test_the_distance_of_landmarks_in_2d_is_the_sum_over_them() -> None:
    points, target = torch.tensor([[[3.0, 4.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 2.0]]]), torch.zeros(2, 2, 2)
    assert float(losses.landmark_distance(points, target)) == pytest.approx((5 + math.sqrt(2) + 2) / 2)


def test_the_distance_of_landmarks_in_3d_is_the_sum_over_them() -> None:
    assert (
        float(losses.landmark_distance(torch.tensor([[[1.0, 2.0, 2.0], [0.0, 0.0, 4.0]]]), torch.zeros(1, 2, 3))) == 7.0
    )


def test_distances_of_perfect_predictions_have_no_gradient_that_is_not_a_number() -> None:
    points = torch.ones(1, 3, 2, requires_grad=True)
    losses.landmark_distance(points, torch.ones(1, 3, 2)).backward()
    assert points.grad is not None
    assert not points.grad.any()


def test_landmark_likelihood_is_that_of_circular_gaussians() -> None:
    points, target = torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1, 2)
    # log σ² = 1, so that σ² = e.
    value = float(losses.landmark_likelihood(points, torch.tensor([[0.5]]), target))
    assert value == pytest.approx(1 + 25 / (2 * math.e))
    density = math.exp(-25 / (2 * math.e)) / (2 * math.pi * math.e)
    assert value + math.log(2 * math.pi) == pytest.approx(-math.log(density))


def test_landmark_likelihood_is_best_where_the_deviation_is_the_error() -> None:
    # Over x and y: σ² = ‖d‖² / 2.
    log_deviation = torch.tensor([[0.5 * math.log(25 / 2)]], requires_grad=True)
    losses.landmark_likelihood(torch.tensor([[[3.0, 4.0]]]), log_deviation, torch.zeros(1, 1, 2)).backward()
    assert log_deviation.grad is not None
    assert float(log_deviation.grad) == pytest.approx(0.0, abs=1e-6)


def test_an_empty_batch_loses_nothing() -> None:
    assert float(losses.landmark_distance(torch.zeros(0, 68, 2), torch.zeros(0, 68, 2))) == 0.0
    assert float(losses.asymmetric_euclidean(torch.zeros(0, 9), torch.zeros(0, 9))) == 0.0


LAYOUT = ParameterLayout("6d", shape_count=4, expression_count=3, landmark_count=6)
BASES = random_bases(6, LAYOUT)
TRUTH = random_faces(32, LAYOUT)
WHITENING = Whitening.measured(LAYOUT, LAYOUT.encode(TRUTH))
TARGET = WHITENING.whiten(LAYOUT.encode(TRUTH))


def _points(white: torch.Tensor) -> torch.Tensor:
    return BASES.projected(LAYOUT.decode(WHITENING.unwhiten(white)))


def _mm(white: torch.Tensor) -> torch.Tensor:
    face = LAYOUT.decode(WHITENING.unwhiten(white))
    return BASES.vertices(face.alpha, face.beta)


def _likelihood(white: torch.Tensor) -> torch.Tensor:
    face = LAYOUT.decode(WHITENING.unwhiten(white))
    return losses.landmark_likelihood(face.landmarks, white[:, LAYOUT.log_deviation_slice], TRUTH.landmarks)


SUPERVISED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "asymmetric_euclidean": lambda white: losses.asymmetric_euclidean(white, TARGET),
    "weighted_coefficient": lambda white: losses.weighted_coefficient(white, TARGET, LAYOUT, WHITENING, BASES),
    "vertex_distance": lambda white: losses.vertex_distance(LAYOUT.decode(WHITENING.unwhiten(white)), TRUTH, BASES),
    "shape_distance": lambda white: losses.shape_distance(LAYOUT.decode(WHITENING.unwhiten(white)), TRUTH, BASES),
    "rotation_distance": lambda white: losses.rotation_distance(
        LAYOUT.decode(WHITENING.unwhiten(white)).rotation, TRUTH.rotation
    ),
    "landmark_2d": lambda white: losses.landmark_distance(_points(white), _points(TARGET)),
    "landmark_3d": lambda white: losses.landmark_distance(_mm(white), _mm(TARGET)),
    "landmark_likelihood": _likelihood,
}


@pytest.mark.parametrize("name", SUPERVISED)
def test_each_supervised_loss_overfits_32_faces(name: str) -> None:
    torch.manual_seed(0)
    crops, loss = torch.randn(32, 3, 8, 8), SUPERVISED[name]
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(288, 128), torch.nn.Tanh(),
        torch.nn.Linear(128, LAYOUT.size),
    )  # fmt: skip
    steps = 200
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    start = loss(network(crops)).item()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(network(crops)).backward()
        optimizer.step()
        schedule.step()
    assert loss(network(crops)).item() < 0.02 * start
