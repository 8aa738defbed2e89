"""A trained regressor exported as a TorchScript archive or as ONNX.

TorchScript is code, so an archive is either made here from weights, which are not, or loaded only if its SHA-256 is the
one that the user configured.
"""

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.core.resource_files import cache_folder
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.regressor.crops import SIDE
from face3dmm_ros.regressor.face_regressor import FaceRegressor
from face3dmm_ros.regressor.parameter_layout import ParameterLayout
from face3dmm_ros.regressor.weights_file import (
    MOST_BYTES,
    RegressorDescription,
    digest_of,
    load_regressor,
    read_description,
    require_model,
)

TOLERANCE = 1e-4
"""Largest accepted difference of an export's outputs from the original's, relative to outputs above 1. By hand: above
float32's rounding over so many layers, below what can be seen (1e-4 px or of a coefficient)."""
INPUTS = ("crop", "landmark_map")
"""Of a regressor, in order; the second where the network wants it."""
OUTPUTS = ("scale", "rotation", "translation", "alpha", "beta", "gamma", "landmarks", "deviation")
"""Of a regressor, in order; ONNX has those that `regressed_outputs` names."""
_DESCRIPTION = "face3dmm_ros.json"
_ONNX_OPSET = 18
"""The version that torch's exporter writes without converting."""


@dataclass(frozen=True, eq=False)
class Archive:
    """A regressor to run.

    Attributes:
        module: takes what `FaceRegressor.forward` takes and gives what that gives.
        description: what it is.
    """

    module: torch.jit.ScriptModule
    description: RegressorDescription


def save_torchscript(weights: Path, path: Path) -> float:
    """Write a regressor as TorchScript: frozen, its normalisations folded into its convolutions.

    Args:
        weights: what `weights_file.save_weights` wrote.
        path: of the archive.

    Returns:
        How far its outputs are from the original's, at most, relative to those beyond 1.

    Raises:
        Face3DMMError: the weights cannot be read, the archive not be written, or it differs by more than `TOLERANCE`.
    """
    regressor, description = load_regressor(weights), read_description(weights)
    with whole_file(path) as unfinished:
        with _quietly():
            frozen = _frozen(regressor, description)
            torch.jit.save(frozen, str(unfinished), _extra_files={_DESCRIPTION: description.to_json()})
            written = torch.jit.load(str(unfinished), map_location="cpu")
        return _compared(regressor, description, lambda inputs: written(*inputs), path)


def load_torchscript(path: Path, sha256: str, model_digest: str | None = None) -> Archive:
    """An archive whose SHA-256 the user has configured.

    Args:
        path: of the archive.
        sha256: its SHA-256, hex. Another file is not opened.
        model_digest: of the face model that its parameters are wanted for; None for any.

    Raises:
        Face3DMMError: the file cannot be read, has another hash, is no archive of a regressor, or is for another model.
    """
    content = read_regular(path, MOST_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.strip().lower():
        raise Face3DMMError(
            f"{path} has SHA-256 {found}, expected {sha256 or 'one that you name'}: a TorchScript archive can run any "
            "code, so it is opened only if its hash is configured; if you trust its origin, configure this one"
        )
    archive = _loaded(content, path)
    require_model(path, archive.description, model_digest)
    return archive


def load_archive(weights: Path, model_digest: str | None = None) -> Archive:
    """The regressor of a weights file as TorchScript, made on this machine on first use and kept in the cache.

    Args:
        weights: what `weights_file.save_weights` wrote.
        model_digest: of the face model that its parameters are wanted for; None for any.

    Raises:
        Face3DMMError: the weights cannot be used (`load_regressor`), or the archive not be made.
    """
    require_model(weights, read_description(weights), model_digest)
    path = cached_archive(weights)
    if path.is_file():
        try:
            return _loaded(path.read_bytes(), path)
        except (OSError, Face3DMMError):
            # Damaged, as by a full disk: it is made again.
            path.unlink(missing_ok=True)
    save_torchscript(weights, path)
    return _loaded(path.read_bytes(), path)


def cached_archive(weights: Path) -> Path:
    """Where `load_archive` keeps the archive of a weights file, whether or not it is there.

    Raises:
        Face3DMMError: the file cannot be read.
    """
    return cache_folder() / "regressors" / f"{digest_of(weights)[:32]}-torch{torch.__version__}.pt"


def save_onnx(weights: Path, path: Path) -> float:
    """Write a regressor as ONNX, for batches of any size: its inputs are `INPUTS`, its outputs `regressed_outputs`.

    Args:
        weights: what `weights_file.save_weights` wrote.
        path: of the file.

    Returns:
        How far its outputs in OpenCV are from the original's, at most, relative to those beyond 1.

    Raises:
        Face3DMMError: ``onnx`` or ``onnxscript`` is not installed, this OpenCV is too old to run the file, the weights
            cannot be read, the file not be written, or it differs by more than `TOLERANCE`.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise Face3DMMError(
            f"ONNX export needs {error.name}, which is not installed: pip install onnx onnxscript"
        ) from error
    regressor, description = load_regressor(weights), read_description(weights)
    names = regressed_outputs(description.layout)
    inputs = example_inputs(description, batch=2)
    with whole_file(path) as unfinished:
        with _quietly():
            program = torch.onnx.export(
                _Regressed(regressor, names).eval(),
                inputs,
                input_names=list(INPUTS[: len(inputs)]),
                output_names=list(names),
                dynamic_shapes=tuple({0: torch.export.Dim("faces", min=1)} for _ in inputs),
                opset_version=_ONNX_OPSET,
                dynamo=True,
                verbose=False,
            )
        model = _plain(program.model_proto)
        model.doc_string = description.to_json()
        onnx.checker.check_model(model, full_check=True)
        content = model.SerializeToString()
        unfinished.write_bytes(content)

        def run(inputs: tuple[Tensor, ...]) -> list[Tensor]:
            network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
            for name, value in zip(INPUTS, inputs, strict=False):
                network.setInput(value.numpy(), name)
            return [torch.from_numpy(np.array(output)) for output in network.forward(names)]

        try:
            return _compared(regressor, description, run, path, names)
        except cv2.error as error:
            raise Face3DMMError(
                f"OpenCV {cv2.__version__} cannot run what would be {path}, so that it cannot be checked: use OpenCV 5 "
                f"or newer ({' '.join(str(error).split())[:150]})"
            ) from error


def regressed_outputs(layout: ParameterLayout) -> tuple[str, ...]:
    """Those of `OUTPUTS` that a layout regresses: neither empty nor, as a pose that it does not have, constant."""
    numbers = {
        "scale": layout.has_pose,
        "rotation": layout.has_pose,
        "translation": layout.has_pose,
        "alpha": layout.shape_count,
        "beta": layout.expression_count,
        "gamma": layout.texture_count,
        "landmarks": layout.landmark_count,
        "deviation": layout.landmark_count,
    }
    return tuple(name for name in OUTPUTS if numbers[name])


def example_inputs(description: RegressorDescription, batch: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Random crops, and the landmark maps where the regressor wants them."""
    generator = torch.Generator().manual_seed(seed)
    crops = torch.randint(0, 256, (batch, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator)
    if description.inputs == 3:
        return (crops,)
    marks = torch.rand((batch, SIDE, SIDE), generator=generator) < 68 / SIDE**2
    return crops, torch.where(marks, 1.0, -1.0)


class _Regressed(nn.Module):
    """A regressor with some of its outputs alone."""

    def __init__(self, regressor: FaceRegressor, names: Sequence[str]) -> None:
        super().__init__()
        self.regressor, self._chosen = regressor, [OUTPUTS.index(name) for name in names]

    def forward(self, crop: Tensor, landmark_map: Tensor | None = None) -> tuple[Tensor, ...]:
        outputs = self.regressor(crop, landmark_map)
        return tuple(outputs[index] for index in self._chosen)


def _frozen(regressor: FaceRegressor, description: RegressorDescription) -> torch.jit.ScriptModule:
    # Channels last is the faster order for the convolutions of a CPU; what optimize_for_inference gives is slower, and
    # cannot be read back.
    regressor = deepcopy(regressor).to(memory_format=torch.channels_last).requires_grad_(False)
    # A network may be any Python code, of which only what it does counts; what is around it takes a map or none.
    inputs = regressor.normalise(*example_inputs(description, batch=2))
    regressor.network = torch.jit.trace(regressor.network, inputs, check_trace=False)
    return torch.jit.freeze(torch.jit.script(regressor))


def _plain(model: Any) -> Any:
    """An ONNX model without the exporter's notes, such as where sources lie, and without what OpenCV stumbles over."""
    import onnx

    for node in model.graph.node:
        del node.metadata_props[:]
        # OpenCV wants to be told the default.
        if node.op_type == "ConstantOfShape" and not node.attribute:
            zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32))
            node.attribute.append(onnx.helper.make_attribute("value", zero))
    return model


def _loaded(content: bytes, path: Path) -> Archive:
    extra = {_DESCRIPTION: ""}
    try:
        with _quietly():
            module = torch.jit.load(io.BytesIO(content), map_location="cpu", _extra_files=extra)
        text: Any = extra[_DESCRIPTION]
        description = RegressorDescription.from_json(text.decode() if isinstance(text, bytes) else text)
        # The first runs compile, which no image should wait for.
        with torch.inference_mode():
            for _ in range(3):
                module(*example_inputs(description, batch=1))
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise Face3DMMError(
            f"{path} is not an archive of a regressor that `face3dmm export` wrote, or is damaged: {said}"
        ) from error
    return Archive(module, description)


def _compared(
    regressor: FaceRegressor, description: RegressorDescription, run: Any, path: Path, names: Sequence[str] = OUTPUTS
) -> float:
    """How far an export, which has the outputs of these names, is from the original; raises where that is too far."""
    worst = 0.0
    for seed, batch in enumerate((1, 3)):
        inputs = example_inputs(description, batch, seed)
        with torch.inference_mode():
            expected, found = dict(zip(OUTPUTS, regressor(*inputs), strict=True)), run(inputs)
        for name, other in zip(names, found, strict=True):
            one = expected[name]
            if one.shape != other.shape:
                raise Face3DMMError(f"{path}: {name} has shape {tuple(other.shape)}, expected {tuple(one.shape)}")
            if one.numel():
                off = float(((one - other).abs() / one.abs().clamp(min=1.0)).max())
                worst = max(worst, off if np.isfinite(off) else np.inf)
    if worst > TOLERANCE:
        raise Face3DMMError(
            f"{path} would differ from the original by {worst:.1e}, and at most {TOLERANCE:.0e} is accepted"
        )
    return worst


@contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's advice on its other exporters, and on libraries that nothing here needs."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
