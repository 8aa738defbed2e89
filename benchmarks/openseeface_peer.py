"""OpenSeeFace (emilianavt/OpenSeeFace): 66 points with depth, gaze, the head's pose, 14 features of brows, eyes and
mouth; its own tracker, as its `facetracker.py` makes it, in one thread."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_code import import_from
from face3dmm_ros.core.errors import Face3DMMError

HOW = "it needs --openseeface FOLDER (a clone of emilianavt/OpenSeeFace) and pip install onnxruntime"
_MODELS = {0: "model 0, very fast by its words", 3: "model 3, its default"}
"""Of landmarks, by its own numbers."""
_OPTIONS = {"max_threads": 1, "max_feature_updates": 900, "static_model": True, "silent": True}
"""What `facetracker.py` gives its tracker by default, where that is not the tracker's own default."""


def is_clone(folder: Path) -> bool:
    """Whether a folder holds OpenSeeFace's tracker."""
    return (folder / "tracker.py").is_file()


def openseeface(folder: Path, frames: Sequence[NDArray[np.uint8]]) -> dict[str, Callable[[], object]]:
    """Calls that track the face in the next of (H, W, 3) BGR frames, by the names of the table's rows.

    A model that the folder lacks has no row.

    Raises:
        Face3DMMError: the folder lacks both, what it needs is not installed, or it finds no face in a frame.
    """
    code = import_from(folder, "tracker")
    # It counts on (3,) from solvePnP, which OpenCV 5 answers with (3, 1).
    code.cv2 = SimpleNamespace(**{**vars(cv2), "solvePnP": _solve_pnp})  # type: ignore[attr-defined]
    height, width = frames[0].shape[:2]
    rows: dict[str, Callable[[], object]] = {}
    for model, name in _MODELS.items():
        if (folder / f"models/lm_model{model}_opt.onnx").is_file():
            tracker = code.Tracker(width, height, model_type=model, **_OPTIONS)
            rows[f"OpenSeeFace, {name}"] = partial(_track, tracker, cycle(frames))
    if not rows:
        raise Face3DMMError(f"{folder}/models has neither lm_model0_opt.onnx nor lm_model3_opt.onnx; {HOW}")
    return rows


def _track(tracker: Any, frames: "cycle[NDArray[np.uint8]]") -> object:
    faces = tracker.predict(next(frames))
    # Without a face it would look for one, which is other work than tracking.
    if not faces:
        raise Face3DMMError("OpenSeeFace has lost the face of the sample clip")
    return faces


def _solve_pnp(*args: object, **options: object) -> tuple[bool, NDArray, NDArray]:
    solved, rotation, translation = cv2.solvePnP(*args, **options)  # type: ignore[call-overload]
    return solved, rotation.ravel(), translation.ravel()
