"""What travels with a network: its vector's layout and units, its crops' normalisation, and the way to the image."""

import math
import warnings

import numpy as np
import pytest

from face3dmm_ros.core.rotations import FRONTAL, rotation_from_pose_angles
from face3dmm_ros.core.rotations import nearest_rotation as nearest_by_svd

torch = pytest.importorskip("torch", reason="needs torch: make torch")

from face3dmm_ros.core.errors import Face3DMMError  # noqa: E402
from face3dmm_ros.regressor.face_regressor import FaceRegressor, parameter_batch  # noqa: E402
from face3dmm_ros.regressor.networks import build_network  # noqa: E402
from face3dmm_ros.regressor.parameter_layout import (  # noqa: E402
    MIDDLE,
    ParameterBatch,
    ParameterLayout,
    Whitening,
)
from face3dmm_ros.regressor.rotations import nearest_rotation, rotation_6d, rotation_from_6d  # noqa: E402

LAYOUT = ParameterLayout("6d", shape_count=4, expression_count=3, landmark_count=5, texture_count=2)
FORMS = ["6d", "matrix"]
WHO = ParameterLayout("none", shape_count=4, expression_count=3, texture_count=2)
"""Of a network that tells who somebody is, and nothing of where the face is."""


def random_faces(count: int = 6, landmark_count: int = 5, texture_count: int = 2) -> ParameterBatch:
    rng = np.random.default_rng(0)
    rotations = np.array([rotation_from_pose_angles(*rng.normal(size=3)) for _ in range(count)])
    arrays = (
        rng.uniform(0.3, 0.9, count),
        rotations,
        rng.normal(60, 5, (count, 2)),
        rng.normal(size=(count, 4)),
        rng.uniform(size=(count, 3)),
        rng.normal(size=(count, texture_count)),
        rng.uniform(0, 119, (count, landmark_count, 2)),
        rng.uniform(0.5, 3, (count, landmark_count)),
    )
    return ParameterBatch(*(torch.tensor(array, dtype=torch.float32) for array in arrays))


def identity(size: int) -> Whitening:
    return Whitening(torch.zeros(size), torch.ones(size))


def random_regressor(layout: ParameterLayout, inputs: int = 3) -> FaceRegressor:
    """As if it were trained: every normalisation has weights and statistics of its own."""
    torch.manual_seed(0)
    raw = layout.encode(random_faces(20, max(layout.landmark_count, 1), layout.texture_count))
    regressor = FaceRegressor(build_network("light", inputs, layout.size), layout, Whitening.measured(layout, raw))
    for module in regressor.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
            torch.nn.init.normal_(module.bias, 0.0, 0.1)
            module.momentum = 1.0
    with torch.no_grad():
        regressor.network(torch.randn(4, inputs, 120, 120))
    return regressor.eval()


def random_crops(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 120, 120, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


# Rotations


def test_six_numbers_become_a_rotation_by_gram_schmidt() -> None:
    found = rotation_from_6d(torch.tensor([[2.0, 0.0, 0.0, 5.0, -3.0, 0.0]]))[0]
    assert found.numpy() == pytest.approx(FRONTAL)


def test_six_numbers_come_back_from_a_rotation() -> None:
    rotation = random_faces().rotation
    assert rotation_from_6d(rotation_6d(rotation)).numpy() == pytest.approx(rotation.numpy(), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_nearest_rotation_is_that_of_a_singular_value_decomposition(scale: float) -> None:
    matrices = scale * np.random.default_rng(0).normal(size=(200, 3, 3))  # half of them mirror
    found = nearest_rotation(torch.tensor(matrices, dtype=torch.float32)).numpy()
    assert found == pytest.approx(np.array([nearest_by_svd(matrix) for matrix in matrices]), abs=1e-4)


def test_a_rotation_is_nearest_to_itself_and_has_a_derivative_there() -> None:
    rotation = random_faces(2).rotation.double().requires_grad_()
    assert nearest_rotation(rotation).detach().numpy() == pytest.approx(rotation.detach().numpy(), abs=1e-6)
    assert torch.autograd.gradcheck(nearest_rotation, rotation)


@pytest.mark.parametrize("diagonal", [[1.0, 0.5, -0.5], [1.0, 0.0, 0.0], [-1.0, -1.0, -1.0], [0.0, 0.0, 0.0]])
def test_a_matrix_between_rotations_becomes_one_of_the_nearest(diagonal: list[float]) -> None:
    matrix = torch.diag(torch.tensor(diagonal))
    found = nearest_rotation(matrix[None])[0]
    assert (found @ found.T).numpy() == pytest.approx(np.eye(3), abs=1e-5)
    assert float(torch.det(found)) == pytest.approx(1.0, abs=1e-5)
    sizes = sorted(np.abs(diagonal), reverse=True)
    farthest = sizes[0] + sizes[1] + np.sign(np.prod(diagonal)) * sizes[2]
    assert float((found * matrix).sum()) == pytest.approx(farthest, abs=1e-5)


# The layout


def test_a_vector_holds_its_numbers_in_the_order_of_the_layout() -> None:
    face = ParameterBatch(
        torch.tensor([math.e]),
        torch.diag(torch.tensor([1.0, -1.0, -1.0]))[None],
        torch.tensor([[60.5, 57.5]]),
        torch.tensor([[7.0, 8.0]]),
        torch.tensor([[9.0]]),
        torch.tensor([[11.0, 12.0]]),
        torch.tensor([[[59.5, 49.5], [69.5, 0.0]]]),
        torch.tensor([[1.0, math.e]]),
    )
    pose = [1.0, 1.0, -2.0]
    coefficients = [7.0, 8.0, 9.0, 11.0, 12.0]
    landmarks = [0.0, -10.0, 10.0, -59.5, 0.0, 1.0]
    for form, rotation in (("6d", [1, 0, 0, 0, -1, 0]), ("matrix", [1, 0, 0, 0, -1, 0, 0, 0, -1])):
        layout = ParameterLayout(form, 2, 1, 2, 2)
        assert layout.encode(face)[0].tolist() == pytest.approx([*rotation, *pose, *coefficients, *landmarks])
        assert layout.size == len(rotation) + 14
    assert ParameterLayout("none", 2, 1, 0, 2).encode(face)[0].tolist() == coefficients


def test_each_part_of_a_vector_is_where_the_layout_says() -> None:
    names = ("rotation", "scale", "translation", "shape", "expression", "texture", "landmark", "log_deviation")
    for layout in (LAYOUT, WHO):
        parts = [getattr(layout, f"{name}_slice") for name in names]
        assert [index for part in parts for index in range(part.start, part.stop)] == list(range(layout.size))
        assert layout.parameter_slice == slice(0, layout.texture_slice.stop)


def test_the_layout_of_2dasl_has_62_numbers() -> None:
    layout = ParameterLayout("matrix", 40, 10)
    assert (layout.size, layout.shape_slice, layout.expression_slice) == (62, slice(12, 52), slice(52, 62))


def test_the_layout_of_tran_et_al_has_198_numbers() -> None:
    layout = ParameterLayout("none", 99, 0, texture_count=99)
    assert (layout.size, layout.shape_slice, layout.texture_slice) == (198, slice(0, 99), slice(99, 198))


@pytest.mark.parametrize("form", FORMS)
def test_decoding_returns_what_was_encoded(form: str) -> None:
    layout = ParameterLayout(form, 4, 3, 5, 2)
    faces = random_faces()
    back = layout.decode(layout.encode(faces))
    for name in ("scale", "rotation", "translation", "alpha", "beta", "gamma", "landmarks", "deviation"):
        assert getattr(back, name).numpy() == pytest.approx(getattr(faces, name).numpy(), abs=1e-4), name


def test_a_face_without_a_pose_decodes_to_one_seen_from_the_front() -> None:
    faces = random_faces()
    back = WHO.decode(WHO.encode(faces))
    for name in ("alpha", "beta", "gamma"):
        assert torch.equal(getattr(back, name), getattr(faces, name)), name
    assert back.scale.tolist() == [1.0] * 6
    assert back.translation.tolist() == [[MIDDLE, MIDDLE]] * 6
    assert back.rotation.numpy() == pytest.approx(np.broadcast_to(FRONTAL, (6, 3, 3)))
    assert back.landmarks is None


@pytest.mark.parametrize("form", FORMS)
def test_any_vector_decodes_to_a_proper_rotation_and_a_positive_scale(form: str) -> None:
    layout = ParameterLayout(form, 4, 3)
    faces = layout.decode(3 * torch.randn(50, layout.size, generator=torch.Generator().manual_seed(0)))
    products = (faces.rotation @ faces.rotation.mT).numpy()
    assert products == pytest.approx(np.broadcast_to(np.eye(3), products.shape), abs=1e-5)
    assert torch.linalg.det(faces.rotation).numpy() == pytest.approx(np.ones(50), abs=1e-5)
    assert bool((faces.scale > 0).all())
    assert faces.landmarks is None
    assert faces.deviation is None


def test_a_face_without_a_known_scale_encodes_to_finite_numbers() -> None:
    faces = random_faces()
    unknown = ParameterBatch(0 * faces.scale, *(getattr(faces, name) for name in ("rotation", "translation")),
                             faces.alpha, faces.beta, faces.gamma, faces.landmarks)  # fmt: skip
    assert bool(torch.isfinite(LAYOUT.encode(unknown)).all())


def test_a_layout_refuses_faces_of_other_counts() -> None:
    with pytest.raises(Face3DMMError, match=r"40 shape, 3 expression and 2 texture.* 4, 3 and 2"):
        ParameterLayout("6d", 40, 3, texture_count=2).encode(random_faces())
    with pytest.raises(Face3DMMError, match=r"4 shape, 3 expression and 0 texture.* 4, 3 and 2"):
        ParameterLayout("none", 4, 3).encode(random_faces())
    with pytest.raises(Face3DMMError, match="68 landmarks, the faces have 5"):
        ParameterLayout("6d", 4, 3, 68, 2).encode(random_faces())


def test_a_layout_refuses_forms_and_counts_that_it_cannot_have() -> None:
    with pytest.raises(Face3DMMError, match="'euler'"):
        ParameterLayout("euler", 40, 10)
    with pytest.raises(Face3DMMError, match="negative"):
        ParameterLayout("6d", -1, 10)
    with pytest.raises(Face3DMMError, match="negative"):
        ParameterLayout("none", 99, 0, texture_count=-1)


def test_landmarks_need_a_pose() -> None:
    with pytest.raises(Face3DMMError, match="found 68 of them without a rotation"):
        ParameterLayout("none", 40, 10, 68)


def test_some_faces_of_a_batch_are_a_batch() -> None:
    faces = random_faces(6)
    some = faces.at(faces.scale > faces.scale.median())
    assert len(some) == 3
    assert some.landmarks is not None
    assert some.landmarks.shape == (3, 5, 2)


# Whitening


def test_measured_whitening_brings_each_number_to_mean_0_and_deviation_1() -> None:
    raw = LAYOUT.encode(random_faces(50))
    white = Whitening.measured(LAYOUT, raw).whiten(raw)[:, LAYOUT.scale_slice.start : LAYOUT.landmark_slice.stop]
    assert white.mean(0).numpy() == pytest.approx(np.zeros(white.shape[1]), abs=1e-4)
    assert white.std(0).numpy() == pytest.approx(np.ones(white.shape[1]), abs=1e-4)


def test_coefficients_are_whitened_without_a_pose_too() -> None:
    raw = WHO.encode(random_faces(50))
    white = Whitening.measured(WHO, raw).whiten(raw)
    assert white.mean(0).numpy() == pytest.approx(np.zeros(WHO.size), abs=1e-4)
    assert white.std(0).numpy() == pytest.approx(np.ones(WHO.size), abs=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_rotations_keep_their_unit(form: str) -> None:
    layout = ParameterLayout(form, 4, 3, 5, 2)
    whitening = Whitening.measured(layout, layout.encode(random_faces(50)))
    assert set(whitening.deviation[layout.rotation_slice].tolist()) == {1.0}


@pytest.mark.parametrize("form", FORMS)
def test_a_network_that_answers_0_sees_the_average_face_from_the_front(form: str) -> None:
    layout = ParameterLayout(form, 4, 3, 5, 2)
    faces = random_faces(50)
    whitening = Whitening.measured(layout, layout.encode(faces))
    face = layout.decode(whitening.unwhiten(torch.zeros(1, layout.size)))
    assert face.rotation[0].numpy() == pytest.approx(FRONTAL)
    assert face.alpha[0].numpy() == pytest.approx(faces.alpha.mean(0).numpy(), abs=1e-5)
    assert face.deviation is not None
    assert face.deviation[0].numpy() == pytest.approx(np.ones(5))


def test_a_number_that_does_not_vary_keeps_its_unit() -> None:
    faces = random_faces()
    faces.beta[:, 1] = 0.25
    whitening = Whitening.measured(LAYOUT, LAYOUT.encode(faces))
    index = LAYOUT.expression_slice.start + 1
    assert (float(whitening.mean[index]), float(whitening.deviation[index])) == (0.25, 1.0)


@pytest.mark.parametrize(
    ("mean", "deviation", "complaint"),
    [
        (torch.zeros(3), torch.ones(4), "one length"),
        (torch.zeros(3), torch.tensor([1.0, 0.0, 1.0]), "positive"),
        (torch.tensor([0.0, math.nan, 0.0]), torch.ones(3), "finite"),
    ],
)
def test_whitening_that_cannot_be_is_refused(mean: torch.Tensor, deviation: torch.Tensor, complaint: str) -> None:
    with pytest.raises(Face3DMMError, match=complaint):
        Whitening(mean, deviation)


def test_whitening_is_measured_on_at_least_two_faces_of_the_layout() -> None:
    with pytest.raises(Face3DMMError, match="F ≥ 2, 33"):
        Whitening.measured(LAYOUT, torch.zeros(1, LAYOUT.size))


# The regressor


def test_crops_are_bgr_and_networks_see_rgb_from_minus_1_to_1() -> None:
    regressor = random_regressor(LAYOUT)
    crop = torch.zeros(1, 120, 120, 3, dtype=torch.uint8)
    crop[..., 0] = 255  # blue
    channels = regressor.normalise(crop)[0].flatten(1)
    assert channels.unique(dim=1).flatten().tolist() == [-1.0, -1.0, 1.0]


def test_each_channel_is_normalised_by_its_own_mean_and_deviation() -> None:
    regressor = FaceRegressor(
        build_network("light", 3, LAYOUT.size), LAYOUT, identity(LAYOUT.size), (1, 2, 3), (2, 4, 8)
    )
    crop = torch.tensor([11, 10, 9], dtype=torch.uint8).expand(1, 120, 120, 3)
    assert regressor.normalise(crop)[0, :, 0, 0].tolist() == [(9 - 1) / 2, (10 - 2) / 4, (11 - 3) / 8]


def test_a_landmark_map_is_the_fourth_channel() -> None:
    landmark_map = torch.full((2, 120, 120), -1.0)
    landmark_map[:, 30, 40] = 1.0
    inputs = random_regressor(LAYOUT, inputs=4).normalise(random_crops(2), landmark_map)
    assert inputs.shape == (2, 4, 120, 120)
    assert torch.equal(inputs[:, 3], landmark_map)


@pytest.mark.parametrize("form", FORMS)
def test_a_regressor_unwhitens_and_decodes_what_its_network_says(form: str) -> None:
    layout = ParameterLayout(form, 4, 3, 5, 2)
    truth = random_faces()
    whitening = Whitening.measured(layout, layout.encode(truth))

    class Oracle(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return whitening.whiten(layout.encode(truth))

    found = parameter_batch(FaceRegressor(Oracle(), layout, whitening)(random_crops(6)))
    assert found.translation.numpy() == pytest.approx(truth.translation.numpy(), abs=1e-4)
    assert found.rotation.numpy() == pytest.approx(truth.rotation.numpy(), abs=1e-5)
    assert found.gamma.numpy() == pytest.approx(truth.gamma.numpy(), abs=1e-5)
    assert found.landmarks is not None
    assert found.landmarks.numpy() == pytest.approx(truth.landmarks.numpy(), abs=1e-3)


def test_a_regressor_without_landmarks_gives_empty_tensors_that_become_none() -> None:
    outputs = random_regressor(ParameterLayout("6d", 4, 3))(random_crops(2))
    assert (outputs[6].shape, outputs[7].shape) == ((2, 0, 2), (2, 0))
    assert parameter_batch(outputs).landmarks is None


def test_a_regressor_without_albedo_gives_an_empty_gamma() -> None:
    faces = parameter_batch(random_regressor(ParameterLayout("6d", 4, 3, 5))(random_crops(2)))
    assert faces.gamma.shape == (2, 0)


def test_a_face_comes_out_the_same_alone_and_in_a_batch() -> None:
    regressor, crops = random_regressor(LAYOUT), random_crops(3)
    with torch.inference_mode():
        for together, alone in zip(regressor(crops), regressor(crops[1:2]), strict=True):
            assert together[1].numpy() == pytest.approx(alone[0].numpy(), abs=1e-4)


@pytest.mark.parametrize(("layout", "inputs"), [(LAYOUT, 3), (ParameterLayout("matrix", 4, 3), 4), (WHO, 3), (WHO, 4)])
def test_torchscript_equals_eager(layout: ParameterLayout, inputs: int) -> None:
    regressor = random_regressor(layout, inputs)
    crops = random_crops(2)
    landmark_map = torch.rand(2, 120, 120) if inputs == 4 else None
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.script(regressor)))
        for eager, compiled in zip(regressor(crops, landmark_map), scripted(crops, landmark_map), strict=True):
            assert compiled.shape == eager.shape
            assert compiled.numpy() == pytest.approx(eager.numpy(), abs=1e-4)


def test_units_and_normalisation_travel_in_the_state() -> None:
    trained = random_regressor(LAYOUT)
    copy = FaceRegressor(
        build_network("light", 3, LAYOUT.size), LAYOUT, identity(LAYOUT.size), (1, 2, 3), (4, 5, 6)
    ).eval()
    copy.load_state_dict(trained.state_dict())
    with torch.inference_mode():
        for original, copied in zip(trained(random_crops(1)), copy(random_crops(1)), strict=True):
            assert torch.equal(original, copied)


@pytest.mark.parametrize("layout", [LAYOUT, ParameterLayout("matrix", 4, 3), WHO])
def test_a_regressor_tells_its_layout_and_units(layout: ParameterLayout) -> None:
    regressor = random_regressor(layout)
    assert regressor.layout == layout
    assert torch.equal(regressor.whitening.mean, regressor.state_dict()["whitening_mean"])


def test_a_regressor_refuses_the_units_of_another_layout() -> None:
    with pytest.raises(Face3DMMError, match="33 numbers"):
        FaceRegressor(torch.nn.Identity(), LAYOUT, identity(7))


@pytest.mark.parametrize(
    ("mean", "deviation"), [((0, 0), (1, 1)), ((0, 0, 0), (1, 0, 1)), ((0, 0, math.nan), (1, 1, 1))]
)
def test_a_regressor_refuses_a_normalisation_that_cannot_be(mean: tuple, deviation: tuple) -> None:
    with pytest.raises(Face3DMMError, match="three finite means and three positive deviations"):
        FaceRegressor(torch.nn.Identity(), LAYOUT, identity(LAYOUT.size), mean, deviation)
