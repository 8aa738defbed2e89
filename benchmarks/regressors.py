"""The shipped regressor by itself and as a fit method, beside a network of the size of 3DDFA_V2's."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.mobilenet_peer import mobilenet
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.values import TrackedLandmarks
from face3dmm_ros.fit_methods import REGRESSOR_METHODS, create_fitter
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.regressor.crops import SIDE
from face3dmm_ros.regressor.export import example_inputs, load_archive
from face3dmm_ros.regressor.weights_file import SHIPPED_WEIGHTS

PEER = "MobileNet ×0.5, as 3DDFA_V2's"


def regressors(
    model: MorphableModel, image: NDArray[np.uint8], face: TrackedLandmarks
) -> dict[str, Callable[[], object]]:
    """One face, one thread, TorchScript; by the names of the table's rows."""
    torch.set_num_threads(1)
    archive, peer = load_archive(package_file(SHIPPED_WEIGHTS)), mobilenet(SIDE)
    crop, other = example_inputs(archive.description, batch=1)[0], torch.rand(1, 3, SIDE, SIDE)

    def run(module: torch.jit.ScriptModule, inputs: torch.Tensor) -> object:
        with torch.inference_mode():
            return module(inputs)

    fitters = {method: create_fitter(model, method) for method in REGRESSOR_METHODS}
    return {
        PEER: lambda: run(peer, other),
        "shipped network": lambda: run(archive.module, crop),
        "regressor, image to parameters": lambda: fitters["regressor"].fit(face, image),
        "regressor+fit, tracked frame": lambda: fitters["regressor+fit"].fit(face, image),
    }
