"""The differentiable renderer: it draws what the model says, and its gradients are those of finite differences."""

import numpy as np
import pytest

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.spherical_harmonics import SphericalHarmonicsLight

torch = pytest.importorskip("torch", reason="needs torch: make torch")

from face3dmm_ros.photometric.differentiable import DifferentiableRenderer, encoded  # noqa: E402

SIZE = (96, 100)
CAMERA = WeakPerspective(0.4, rotation_from_pose_angles(0.1, 0.4, 0.05), np.array([48.0, 46.0]))


@pytest.fixture(scope="module")
def renderer(default_model: MorphableModel) -> DifferentiableRenderer:
    return DifferentiableRenderer(default_model, dtype=torch.float64)


@pytest.fixture
def arguments(renderer: DifferentiableRenderer) -> dict:
    """A face's parameters as tensors."""
    rng = np.random.default_rng(0)
    model = renderer.model
    light = SphericalHarmonicsLight.even(0.6).coefficients + 0.1 * rng.normal(size=(9, 3))
    values = {
        "scale": np.array(CAMERA.scale),
        "rotation": CAMERA.rotation,
        "translation": CAMERA.translation,
        "alpha": rng.normal(size=model.shape_count) * model.shape_sigma,
        "beta": np.full(model.expression_count, 0.05),
        "gamma": 0.3 * rng.normal(size=len(model.albedo_sigma)),
        "light": light,
    }
    return {name: renderer.tensor(value) for name, value in values.items()}


def test_it_draws_the_lit_albedo_under_each_pixel(renderer: DifferentiableRenderer, arguments: dict) -> None:
    picture = renderer.render(**arguments, image_size=SIZE)
    model = renderer.model
    vertices = model.vertices(arguments["alpha"].numpy(), arguments["beta"].numpy())
    light = SphericalHarmonicsLight(arguments["light"].numpy())
    colors = light.shade(model.albedo(arguments["gamma"].numpy()), model.normals(vertices) @ CAMERA.rotation.T)
    cheek = np.argmin(np.linalg.norm(model.mean - [40.0, -40.0, 20.0], axis=1))
    column, row = np.round(CAMERA.project(vertices)[cheek]).astype(int)
    np.testing.assert_allclose(255.0 * picture.rgb[row, column].numpy(), colors[cheek], atol=6.0)


def test_what_a_pixel_shows_lies_under_its_centre(renderer: DifferentiableRenderer, arguments: dict) -> None:
    """Under light from everywhere alike only the albedo counts, and the rasteriser tells where on the surface it is."""
    arguments = arguments | {"light": renderer.tensor(SphericalHarmonicsLight.even(0.7).coefficients)}
    model, picture = renderer.model, renderer.render(**arguments, image_size=SIZE)
    vertices = renderer.vertices(arguments["alpha"], arguments["beta"])
    at = renderer.visible(vertices, CAMERA, SIZE).surface_points(model.triangles, picture.mask.numpy())
    albedo = at.interpolate(renderer.albedo(arguments["gamma"]).numpy())
    shown = picture.rgb[picture.mask].numpy()
    np.testing.assert_allclose(shown, encoded(renderer.tensor(0.7 * albedo)).numpy(), atol=1e-4)


def test_pixels_without_a_face_are_empty(renderer: DifferentiableRenderer, arguments: dict) -> None:
    picture = renderer.render(**arguments, image_size=SIZE)
    assert not picture.mask[0, 0]
    assert picture.mask[46, 48]
    assert (picture.rgb[~picture.mask] == 0.0).all()


@pytest.mark.parametrize("name", ["scale", "rotation", "translation", "alpha", "beta", "gamma", "light"])
def test_gradients_are_those_of_finite_differences(
    renderer: DifferentiableRenderer, arguments: dict, name: str
) -> None:
    vertices = renderer.vertices(arguments["alpha"], arguments["beta"])
    fragments = renderer.visible(vertices, CAMERA, SIZE)
    weights = torch.as_tensor(np.random.default_rng(1).normal(size=(SIZE[1], SIZE[0], 3)))

    def value(tensor: torch.Tensor) -> torch.Tensor:
        picture = renderer.render(**(arguments | {name: tensor}), image_size=SIZE, fragments=fragments)
        return (picture.rgb * weights).sum()

    tensor = arguments[name].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(tensor), tensor)
    assert float(gradient.abs().max()) > 0.0
    for index in list(np.ndindex(tuple(tensor.shape)))[:: max(1, tensor.numel() // 5)]:
        step = torch.zeros_like(arguments[name])
        # Small, as triangles that are seen nearly edge-on bend the value strongly.
        step[index] = 1e-7
        with torch.no_grad():
            difference = (value(arguments[name] + step) - value(arguments[name] - step)) / 2e-7
        tolerance = 1e-3 * float(gradient.abs().max())
        assert float(difference) == pytest.approx(float(gradient[index]), rel=1e-3, abs=tolerance)


@pytest.mark.slow
def test_a_picture_is_matched_by_descent(renderer: DifferentiableRenderer, arguments: dict) -> None:
    with torch.no_grad():
        wanted = renderer.render(**arguments, image_size=SIZE).rgb
    light = torch.zeros(9, 3, dtype=torch.float64).index_fill(0, torch.tensor([0]), 2.0).requires_grad_()

    def loss(light: torch.Tensor) -> torch.Tensor:
        return (renderer.render(**(arguments | {"light": light}), image_size=SIZE).rgb - wanted).square().mean()

    optimizer = torch.optim.Adam([light], lr=0.05)
    first = loss(light).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss(light).backward()
        optimizer.step()
    assert loss(light).item() < 0.05 * first
