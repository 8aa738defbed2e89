"""The files of a regressor: weights, TorchScript archives, ONNX. What is not ours is refused, and nothing is run."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")
import torch
from safetensors.torch import load_file, save_file
from small_training import tiny_network

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.regressor import export, networks
from face3dmm_ros.regressor.export import (
    INPUTS,
    OUTPUTS,
    cached_archive,
    example_inputs,
    load_archive,
    load_torchscript,
    regressed_outputs,
    save_onnx,
    save_torchscript,
)
from face3dmm_ros.regressor.face_regressor import FaceRegressor
from face3dmm_ros.regressor.networks import build_network
from face3dmm_ros.regressor.parameter_layout import ParameterLayout, Whitening
from face3dmm_ros.regressor.weights_file import (
    FORMAT,
    RegressorDescription,
    digest_of,
    load_regressor,
    read_description,
    save_weights,
)

DIGEST = "ab" * 32
FORMS = {
    "6d with landmarks": (ParameterLayout("6d", 5, 3, 68), 3),
    "matrix with landmark map": (ParameterLayout("matrix", 5, 3), 4),
    "6d with albedo": (ParameterLayout("6d", 5, 3, texture_count=2), 3),
    "shape and albedo alone": (ParameterLayout("none", 5, 0, texture_count=4), 3),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(networks.NETWORKS, "tiny", tiny_network)


def described(form: str, network: str) -> RegressorDescription:
    layout, inputs = FORMS[form]
    return RegressorDescription(network, inputs, layout, "default", DIGEST)


def random_regressor(
    form: str = "6d with landmarks", network: str = "tiny"
) -> tuple[FaceRegressor, RegressorDescription]:
    layout, inputs = FORMS[form]
    torch.manual_seed(0)
    whitening = Whitening(torch.randn(layout.size), torch.rand(layout.size) + 0.5)
    regressor = FaceRegressor(build_network(network, inputs, layout.size), layout, whitening).eval()
    return regressor, described(form, network)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "face.safetensors"
    save_weights(path, *random_regressor())
    return path


# Weights


@pytest.mark.parametrize("form", FORMS)
def test_weights_come_back_as_they_were(tmp_path: Path, form: str) -> None:
    regressor, description = random_regressor(form)
    path = tmp_path / "face.safetensors"
    save_weights(path, regressor, description, half=False)
    assert read_description(path) == description
    inputs = example_inputs(description, 2)
    for expected, found in zip(regressor(*inputs), load_regressor(path, DIGEST)(*inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_weights_in_16_bits_take_half_the_room_and_hardly_change_a_face(tmp_path: Path) -> None:
    regressor, description = random_regressor(network="light")
    half, full = tmp_path / "half.safetensors", tmp_path / "full.safetensors"
    save_weights(half, regressor, description)
    save_weights(full, regressor, description, half=False)
    assert half.stat().st_size < 0.55 * full.stat().st_size
    inputs = example_inputs(description, 2)
    rotation, again = (load_regressor(path)(*inputs)[1] for path in (half, full))
    torch.testing.assert_close(rotation, again, rtol=0, atol=0.01)


def test_weights_are_for_one_face_model(weights: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"abababab.*model in use has the digest cdcdcdcd"):
        load_regressor(weights, "cd" * 32)


def changed(weights: Path, **changes: str) -> Path:
    """The file with other metadata."""
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        metadata = json.loads(file.read(length))["__metadata__"]
    save_file(load_file(weights), weights, metadata | changes)
    return weights


LAYOUT = {"rotation": "6d", "shape_count": 5, "expression_count": 3, "landmark_count": 68, "texture_count": 0}


def description_with(**changes: object) -> str:
    return json.dumps(json.loads(described("6d with landmarks", "tiny").to_json()) | changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": "stable diffusion"}, f"something else.*expected a {FORMAT}"),
        ({"format_version": "2"}, "format version 2, this package reads 1"),
        ({"description": "{"}, "does not say what its regressor is"),
        ({"description": "[]"}, "does not say what its regressor is"),
        ({"description": "[" * 100_000}, "does not say what its regressor is"),
        ({"description": description_with(inputs=7)}, "inputs: found 7, expected less than or equal to 4"),
        ({"description": description_with(network=["light"])}, r"network: found \['light'\], expected a text"),
        ({"description": description_with(crop_margin=float("nan"))}, "crop_margin: found nan, expected a number"),
        ({"description": description_with(colour="red")}, "colour: found 'red'"),
        ({"description": description_with(network="magic")}, "no 'magic'"),
        ({"description": description_with(network="light")}, "does not hold the network that it describes"),
        ({"description": description_with(layout=LAYOUT | {"shape_count": 10**9})}, "between 0 and 1000"),
        ({"description": description_with(layout=LAYOUT | {"texture_count": 10**9})}, "between 0 and 1000"),
        ({"description": description_with(layout=LAYOUT | {"texture_count": "8"})}, "layout.texture_count: found '8'"),
        ({"description": description_with(layout=LAYOUT | {"rotation": "none"})}, "landmarks need a pose"),
    ],
)
def test_weights_that_are_not_ours_are_refused(weights: Path, changes: dict[str, str], complaint: str) -> None:
    with pytest.raises(Face3DMMError, match=complaint) as caught:
        load_regressor(changed(weights, **changes))
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("content", ["missing", "empty", "text", "cut", "pickle"])
def test_file_that_is_no_safetensors_is_refused(tmp_path: Path, weights: Path, content: str) -> None:
    path = tmp_path / "other.safetensors"
    if content == "pickle":
        torch.save({"network": torch.zeros(3)}, path)
    elif content != "missing":
        path.write_bytes({"empty": b"", "text": b"hello " * 50, "cut": weights.read_bytes()[:-50]}[content])
    with pytest.raises(Face3DMMError, match=r"other\.safetensors"):
        load_regressor(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    regressor, description = random_regressor()
    with torch.no_grad():
        next(regressor.network.parameters())[0] = float("nan")
    path = tmp_path / "face.safetensors"
    save_weights(path, regressor, description)
    with pytest.raises(Face3DMMError, match="not finite"):
        load_regressor(path)


# TorchScript


@pytest.mark.parametrize("form", FORMS)
def test_archive_gives_what_the_original_gives(tmp_path: Path, form: str) -> None:
    regressor, description = random_regressor(form, "light")
    path, archive = tmp_path / "face.safetensors", tmp_path / "face.pt"
    save_weights(path, regressor, description, half=False)
    assert save_torchscript(path, archive) < 1e-4
    loaded = load_torchscript(archive, digest_of(archive), DIGEST)
    assert loaded.description == description
    inputs = example_inputs(description, 3, seed=7)
    with torch.inference_mode():
        for expected, found in zip(regressor(*inputs), loaded.module(*inputs), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_archive_that_differs_is_not_written(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(Face3DMMError, match="would differ from the original"):
        save_torchscript(weights, tmp_path / "face.pt")
    assert {file.name for file in tmp_path.iterdir()} == {weights.name}


class Intruder(torch.nn.Module):
    """Would be run by `torch.jit.load`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_archive_from_elsewhere_is_opened_by_its_hash_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stranger.pt"
    torch.jit.save(torch.jit.script(Intruder()), str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(Face3DMMError, match="is not an archive of a regressor"):
        load_torchscript(path, digest)
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was opened"))
    for wrong in ("", "00" * 32, digest[:-1]):
        with pytest.raises(Face3DMMError, match=f"has SHA-256 {digest}"):
            load_torchscript(path, wrong)
    with pytest.raises(Face3DMMError, match="cannot be read"):
        load_torchscript(tmp_path / "nowhere.pt", digest)


def test_archive_of_another_face_model_is_refused(tmp_path: Path, weights: Path) -> None:
    save_torchscript(weights, tmp_path / "face.pt")
    with pytest.raises(Face3DMMError, match="model in use has the digest"):
        load_torchscript(tmp_path / "face.pt", digest_of(tmp_path / "face.pt"), "cd" * 32)
    with pytest.raises(Face3DMMError, match="model in use has the digest"):
        load_archive(weights, "cd" * 32)


def test_archive_is_made_once_and_again_when_it_is_damaged(weights: Path) -> None:
    path = cached_archive(weights)
    assert not path.exists()
    inputs = example_inputs(read_description(weights), 1)
    first = load_archive(weights, DIGEST).module(*inputs)
    made = path.stat().st_mtime_ns
    load_archive(weights, DIGEST)
    assert path.stat().st_mtime_ns == made
    path.write_bytes(path.read_bytes()[:1000])
    again = load_archive(weights, DIGEST).module(*inputs)
    torch.testing.assert_close(again, first)


def test_other_weights_have_an_archive_of_their_own(tmp_path: Path, weights: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_weights(other, *random_regressor(), half=False)
    assert cached_archive(other) != cached_archive(weights)


# ONNX


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("matrix with landmark map", ["scale", "rotation", "translation", "alpha", "beta"]),
        ("6d with albedo", ["scale", "rotation", "translation", "alpha", "beta", "gamma"]),
        ("6d with landmarks", ["scale", "rotation", "translation", "alpha", "beta", "landmarks", "deviation"]),
        ("shape and albedo alone", ["alpha", "gamma"]),
    ],
)
def test_onnx_has_what_the_network_was_trained_for(form: str, names: list[str]) -> None:
    assert list(regressed_outputs(FORMS[form][0])) == names


@pytest.mark.slow
@pytest.mark.parametrize("form", ["matrix with landmark map", "shape and albedo alone"])
def test_onnx_runs_in_opencv_and_gives_what_the_original_gives(tmp_path: Path, form: str) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    regressor, description = random_regressor(form)
    weights, path = tmp_path / "face.safetensors", tmp_path / "face.onnx"
    save_weights(weights, regressor, description, half=False)
    assert save_onnx(weights, path) < 1e-4
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    names = list(regressed_outputs(description.layout))
    assert [output.name for output in written.graph.output] == names
    network = cv2.dnn.readNetFromONNX(str(path))
    inputs = example_inputs(description, 2, seed=7)
    for name, value in zip(INPUTS, inputs, strict=False):
        network.setInput(value.numpy(), name)
    with torch.inference_mode():
        expected = dict(zip(OUTPUTS, regressor(*inputs), strict=True))
    for name, found in zip(names, network.forward(names), strict=True):
        np.testing.assert_allclose(found, expected[name].numpy(), rtol=1e-4, atol=1e-4, err_msg=name)
    # Nothing of the machine that it was made on.
    assert str(Path(__file__).parents[1]).encode() not in path.read_bytes()
