"""The data sets that a training's configuration may name."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.training import labelled_folder, synthetic_faces, unlabelled_folder
from face3dmm_ros.lab.training.samples import FaceDataset


def open_dataset(config: Mapping[str, object]) -> FaceDataset:
    """The data set that a configuration describes.

    Args:
        config: ``kind`` is ``synthetic``, ``labelled_folder`` or ``unlabelled_folder``; the other keys are the
            arguments of `synthetic_faces.open_synthetic_faces`, `labelled_folder.open_labelled_folder` and
            `unlabelled_folder.open_unlabelled_folder`.

    Raises:
        Face3DMMError: an unknown kind, a key that it does not know or lacks, or data that cannot be used.
    """
    kinds: dict[str, Callable[..., FaceDataset]] = {
        "synthetic": synthetic_faces.open_synthetic_faces,
        "labelled_folder": labelled_folder.open_labelled_folder,
        "unlabelled_folder": unlabelled_folder.open_unlabelled_folder,
    }
    options = dict(config)
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise Face3DMMError(f"a data set's kind is one of {', '.join(kinds)}, found {kind!r}")
    known = inspect.signature(kinds[kind]).parameters
    for option in options:
        if option not in known:
            raise Face3DMMError(f"a {kind} data set has no option {option!r}; it has {', '.join(known)}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in options:
            raise Face3DMMError(f"a {kind} data set needs the option {name!r}")
    for name in options.keys() & {"path", "model", "backend", "cache", "backgrounds", "assets"}:
        if not isinstance(options[name], (str, Path, type(None))):
            raise Face3DMMError(f"{name} of a {kind} data set must be a text, found {options[name]!r}")
    return kinds[kind](**options)
