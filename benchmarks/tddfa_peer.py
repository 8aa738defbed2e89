"""3DDFA_V2 (cleardusk/3DDFA_V2): 68 points of a morphable model, (3, 68) px, from 62 numbers of a MobileNet: 12 of the
pose, 40 of identity, 10 of expression.

Its detector has to be compiled first and is left out: as in its `demo_video.py` each frame is cropped about the last
one's points, and ours tell where the first face is.
"""

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_code import import_from
from face3dmm_ros.core.errors import Face3DMMError

HOW = (
    "it needs --tddfa FOLDER (a clone of cleardusk/3DDFA_V2), make torch and pip install onnxruntime onnx onnxscript "
    "matplotlib"
)
_SIDE, _OUTPUTS, _IDENTITY, _EXPRESSION = 120, 62, 40, 10
"""px of the square picture; numbers out, and how many of them tell what."""
_NETWORKS = {"weights/mb05_120x120.pth": 0.5, "weights/mb1_120x120.pth": 1.0}
"""Width of the MobileNet by its weights' file; the last is its default."""
_SMALLEST_BOX = 2020
"""px²: below, its `demo_video.py` looks for the face anew."""
_MODEL, _NORMALIZATION = "configs/bfm_noneck_v3.pkl", "configs/param_mean_std_62d_120x120.pkl"


def is_clone(folder: Path) -> bool:
    """Whether a folder holds 3DDFA_V2."""
    return (folder / "TDDFA_ONNX.py").is_file()


def tddfa(
    folder: Path, frames: Sequence[NDArray[np.uint8]], first: NDArray[np.float32]
) -> dict[str, Callable[[], object]]:
    """Calls that find the 68 points in the next of (H, W, 3) BGR frames, by the names of the table's rows.

    `first` are (N, 2) points all over the face in the first frame, px. Weights that the folder lacks have no row.

    Raises:
        Face3DMMError: a file is missing, what it needs is not installed, or it loses the face.
    """
    weights = {file: width for file, width in _NETWORKS.items() if (folder / file).is_file()}
    missing = [file for file in (_MODEL, _NORMALIZATION) if not (folder / file).is_file()]
    if missing or not weights:
        raise Face3DMMError(f"{folder} lacks {', '.join(missing or _NETWORKS)}; {HOW}")
    code = import_from(folder, "TDDFA_ONNX")
    try:
        trackers = {width: _tracker(code, folder, file, width) for file, width in weights.items()}
    except ImportError as error:
        # What torch needs to export is imported as late as that.
        raise Face3DMMError(f"{error}; {HOW}") from error
    return {
        f"3DDFA_V2 MobileNet ×{width:g}, network and 68 points, without a detector": Tracked(tracker, frames, first)
        for width, tracker in trackers.items()
    }


class Tracked:
    """Calls of 3DDFA_V2 on one frame after another, each about the points of the last."""

    def __init__(self, tracker: Any, frames: Sequence[NDArray[np.uint8]], first: NDArray[np.float32]) -> None:
        """Of a tracker, its class's instance or alike; `first` are (N, 2) points in the first frame, px."""
        self._tracker, self._frames, self._points = tracker, cycle(frames), first.T

    def __call__(self) -> NDArray[np.float32]:
        """The points in the next frame, (3, 68) px.

        Raises:
            Face3DMMError: the face is lost.
        """
        parameters, boxes = self._tracker(next(self._frames), [self._points], crop_policy="landmark")
        left, top, right, bottom = boxes[0]
        if (right - left) * (bottom - top) < _SMALLEST_BOX:
            raise Face3DMMError("3DDFA_V2 has lost the face of the sample clip")
        self._points = self._tracker.recon_vers(parameters, boxes)[0]
        return self._points


def _tracker(code: ModuleType, folder: Path, weights: str, width: float) -> Any:
    """Its own tracker, in one thread.

    Its constructor is passed by: that also exports the dense model, which torch's exporter of today refuses and 68
    points do not need, and leaves the number of threads to ONNX Runtime.
    """
    tracker = code.TDDFA_ONNX.__new__(code.TDDFA_ONNX)
    tracker.size = _SIDE
    tracker.session = _session(code, folder / weights, width)
    model = code.BFMModel(str(folder / _MODEL), shape_dim=_IDENTITY, exp_dim=_EXPRESSION)
    tracker.u_base, tracker.w_shp_base, tracker.w_exp_base = model.u_base, model.w_shp_base, model.w_exp_base
    normalization = code._load(str(folder / _NORMALIZATION))
    tracker.param_mean, tracker.param_std = normalization["mean"], normalization["std"]
    return tracker


def _session(code: ModuleType, weights: Path, width: float) -> Any:
    """The network as it exports it for ONNX Runtime, which is the fast way by its README."""
    import onnxruntime
    import torch

    with TemporaryDirectory() as name, redirect_stdout(StringIO()):
        # It writes beside the weights: not into the user's folder.
        copy = Path(name) / weights.name
        copy.symlink_to(weights.resolve())
        with patch.object(torch, "load", partial(torch.load, weights_only=True)):
            exported = code.convert_to_onnx(
                arch="mobilenet", widen_factor=width, checkpoint_fp=str(copy), size=_SIDE, num_params=_OUTPUTS
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
