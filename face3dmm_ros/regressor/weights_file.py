"""The file of a trained regressor: safetensors, which holds arrays and texts, never code."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular, require_regular
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.validation import complaint
from face3dmm_ros.files.whole_file import write_whole
from face3dmm_ros.regressor.crops import MARGIN
from face3dmm_ros.regressor.face_regressor import FaceRegressor
from face3dmm_ros.regressor.networks import build_network
from face3dmm_ros.regressor.parameter_layout import ParameterLayout, Whitening

FORMAT = "face3dmm_ros regressor"
FORMAT_VERSION = 1
MOST_BYTES = 1 << 30
"""Of a regressor's file, by hand: three hundred times ours."""
SHIPPED_WEIGHTS = "resource/regressor.safetensors"
"""The regressor that comes with the package, for `core.resource_files.package_file`."""
_NETWORK = "network."


@dataclass(frozen=True)
class RegressorDescription:
    """What must be known of a regressor to run it.

    Attributes:
        network: its name for `networks.build_network`.
        inputs: channels: 3, or 4 with the landmark map.
        layout: what it puts out.
        model: the face model's name.
        model_digest: of the face model whose coefficients it gives.
        crop_margin: side of the crop's region over the longer side of the 68 landmarks' box.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    network: str
    inputs: Annotated[int, Field(ge=3, le=4)]
    layout: ParameterLayout
    model: str
    model_digest: str
    crop_margin: Annotated[float, Field(ge=0.5, le=10.0)] = MARGIN

    def to_json(self) -> str:
        """As a text; `from_json` is its inverse."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "RegressorDescription":
        """From `to_json`'s text.

        Raises:
            ValueError: not such a text.
        """
        try:
            return TypeAdapter(RegressorDescription).validate_json(text)
        except ValidationError as error:
            raise ValueError(complaint(error)) from error


def regressor_path(name: str) -> Path:
    """Where a regressor lies: ``default`` for the one that ships, or its path.

    Raises:
        Face3DMMError: the installation lacks the one that ships.
    """
    return package_file(SHIPPED_WEIGHTS) if name == "default" else Path(name)


def save_weights(path: Path, regressor: FaceRegressor, description: RegressorDescription, *, half: bool = True) -> None:
    """Write a regressor.

    Args:
        path: of the file.
        regressor: whose network `description` names.
        description: what is known of it.
        half: whether the network's weights are rounded to 16 bits, which halves the file.

    Raises:
        Face3DMMError: the file cannot be written.
    """
    from safetensors.torch import save

    tensors = {
        "whitening.mean": regressor.whitening.mean,
        "whitening.deviation": regressor.whitening.deviation,
        "normalisation.mean": regressor.mean,
        "normalisation.deviation": regressor.deviation,
    }
    for name, value in regressor.network.state_dict().items():
        tensors[_NETWORK + name] = value.half() if half and value.is_floating_point() else value
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "description": description.to_json()}
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_whole(path, save(copies, metadata))


def read_description(path: Path) -> RegressorDescription:
    """What a file says of its regressor; its arrays are not read.

    Raises:
        Face3DMMError: not a regressor's file, or of another version.
    """
    return _described(path, _metadata(path))


def load_regressor(path: Path, model_digest: str | None = None) -> FaceRegressor:
    """The regressor of a file, in evaluation mode, on the CPU. Nothing in the file is run.

    Args:
        path: as `save_weights` wrote it.
        model_digest: of the face model that its parameters are wanted for; None for any.

    Raises:
        Face3DMMError: not a regressor's file, of another version, of another face model, or damaged.
    """
    description = read_description(path)
    require_model(path, description, model_digest)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError, MemoryError) as error:
        raise Face3DMMError(f"{path} is damaged: {error}") from error
    network = build_network(description.network, description.inputs, description.layout.size)
    try:
        weights = {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
        network.load_state_dict(weights)
        network.float()
        if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
            raise ValueError("it holds values that are not finite")
        whitening = Whitening(tensors["whitening.mean"].float(), tensors["whitening.deviation"].float())
        normalisation = [tensors[f"normalisation.{part}"].tolist() for part in ("mean", "deviation")]
        regressor = FaceRegressor(network, description.layout, whitening, *normalisation)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise Face3DMMError(f"{path} does not hold the network that it describes: {said}") from error
    return regressor.eval()


def require_model(path: Path, description: RegressorDescription, model_digest: str | None) -> None:
    """Check that a regressor is for the face model of a digest; None accepts any.

    Raises:
        Face3DMMError: the digests differ.
    """
    if model_digest is not None and description.model_digest != model_digest:
        raise Face3DMMError(
            f"{path} gives parameters of the model {description.model!r} ({description.model_digest[:12]}…), and the "
            f"model in use has the digest {model_digest[:12]}…: choose that model, or a regressor trained for yours"
        )


def digest_of(path: Path) -> str:
    """A file's SHA-256, hex.

    Raises:
        Face3DMMError: the file cannot be read.
    """
    return hashlib.sha256(read_regular(path, MOST_BYTES)).hexdigest()


def _metadata(path: Path) -> dict[str, str]:
    """The texts in a safetensors file's header.

    Raises:
        Face3DMMError: the file is not in safetensors' format.
    """
    from safetensors import SafetensorError, safe_open

    require_regular(path, MOST_BYTES)
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise Face3DMMError(
            f"{path} is not a regressor's weights (a .safetensors file that `face3dmm train` wrote): {error}"
        ) from error


def _described(path: Path, metadata: dict[str, str]) -> RegressorDescription:
    if metadata.get("format") != FORMAT:
        raise Face3DMMError(
            f"{path} holds arrays of something else ({metadata.get('format', 'it does not say of what')}), expected a "
            f"{FORMAT} that `face3dmm train` wrote"
        )
    version = metadata.get("format_version")
    if version != str(FORMAT_VERSION):
        raise Face3DMMError(
            f"{path} has regressor format version {version}, this package reads {FORMAT_VERSION}: train it again, or "
            "install a matching version of face3dmm_ros"
        )
    try:
        return RegressorDescription.from_json(metadata.get("description", ""))
    except (ValueError, TypeError, RecursionError) as error:
        raise Face3DMMError(f"{path} does not say what its regressor is: {error}") from error
