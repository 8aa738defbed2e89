"""Which pipeline is evaluated, and what it is made of."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import face3dmm_ros
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.fit_methods import REGRESSOR_METHODS, SHIPPED, RegressorFile
from face3dmm_ros.landmarks import LandmarkBackend, create_backend
from face3dmm_ros.morphable_model import load_model

# Suffixes of the networks and tables that this package ships.
_NETWORKS = (".tflite", ".npz", ".safetensors")
_SHIPPED_REGRESSOR = RegressorFile()


@dataclass(frozen=True)
class PipelineOptions:
    """What is evaluated.

    Attributes:
        format: of the data set.
        model: ``default`` or a file.
        backend: the landmark detector.
        dense_network: of the backend ``dense``: ``default``, or the file that a training wrote.
        fit_methods: one or more, all given the same landmarks.
        regressor: the network of the methods that use one.
    """

    format: str
    model: str = "default"
    backend: str = "dense"
    dense_network: str = SHIPPED
    fit_methods: tuple[str, ...] = ("joint",)
    regressor: RegressorFile = _SHIPPED_REGRESSOR

    def __post_init__(self) -> None:
        """Check the fit methods, and whose network is named.

        Raises:
            Face3DMMError: there is no fit method, or one occurs twice; or a dense network for another backend.
        """
        if self.dense_network != SHIPPED and self.backend != "dense":
            raise Face3DMMError(f"a dense network is for the backend dense, not {self.backend}")
        if not self.fit_methods or len(set(self.fit_methods)) < len(self.fit_methods):
            raise Face3DMMError(
                f"name one or more different fit methods, found {', '.join(self.fit_methods) or 'none'}"
            )

    def create_backend(self) -> LandmarkBackend:
        """The landmark detector.

        Raises:
            Face3DMMError: its name is unknown, or what it needs is missing.
        """
        if self.dense_network == SHIPPED:
            return create_backend(self.backend)
        return create_backend(self.backend, network=Path(self.dense_network))


def made_with(options: PipelineOptions) -> dict[str, str]:
    """The face model and the software of an evaluation: names, versions and digests, as a report lists them."""
    model = load_model(options.model)
    return {
        "face3dmm_ros": face3dmm_ros.__version__,
        "software_digest": software_digest(options),
        "model": model.name,
        "model_digest": model.digest,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def software_digest(options: PipelineOptions) -> str:
    """SHA-256 (hex) over this package's code and networks and the files of the model and the regressor in use."""
    code = Path(__file__).parents[2]
    resources = package_file("resource/default_model.npz").parent
    files = [*code.rglob("*.py"), *(file for suffix in _NETWORKS for file in resources.rglob(f"*{suffix}"))]
    regressors = [options.regressor.path] if set(REGRESSOR_METHODS) & set(options.fit_methods) else []
    files += [Path(path) for path in (options.model, options.dense_network, *regressors) if path != SHIPPED]
    sha = hashlib.sha256()
    for file in sorted(files):
        sha.update(file.read_bytes())
    return sha.hexdigest()
