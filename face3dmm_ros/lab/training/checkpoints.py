"""Checkpoints: the state of a training in a file, from which it is resumed."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.lab.training.config import TrainingConfig

FORMAT_VERSION = 1
_MAY_DIFFER = ("steps", "workers", "checkpoint_every")
"""Keys of the configuration that may change when a training is resumed."""


def save_checkpoint(path: Path, config: TrainingConfig, state: Mapping[str, Any]) -> None:
    """Write the state (tensors, numbers, texts, and dicts and lists of these) in place of the last one.

    Raises:
        Face3DMMError: the file cannot be written.
    """
    with whole_file(path) as unfinished:
        written = config.model_dump(mode="json")
        try:
            torch.save({"format_version": FORMAT_VERSION, "config": written, "state": dict(state)}, unfinished)
        except RuntimeError as error:  # torch's for a disk that is full
            raise Face3DMMError(f"{path} cannot be written: {error}") from error


def load_checkpoint(path: Path, config: TrainingConfig) -> dict[str, Any]:
    """The state that `save_checkpoint` wrote for this configuration. Nothing in the file is run.

    Raises:
        Face3DMMError: the file is no checkpoint, of another version, or of a training with another configuration.
    """
    advice = "train into another folder, or start afresh (--fresh)"
    try:
        # mmap would keep the file open while it is being replaced.
        record = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
        version, written, state = record["format_version"], record["config"], record["state"]
        wanted = config.model_dump(mode="json")
        differing = [key for key in wanted if key not in _MAY_DIFFER and written.get(key) != wanted[key]]
    except (
        OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, AttributeError, IndexError, MemoryError,
        pickle.UnpicklingError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        said = str(error).partition("\n")[0]
        raise Face3DMMError(f"{path} is not a readable checkpoint of a training: {said}; {advice}") from error
    if version != FORMAT_VERSION:
        raise Face3DMMError(f"{path} has checkpoint version {version!r}, expected {FORMAT_VERSION}; {advice}")
    if differing:
        key = differing[0]
        raise Face3DMMError(
            f"{path} is of a training with {key} {written.get(key)!r}, and the configuration now says {wanted[key]!r}: "
            f"{advice}"
        )
    return dict(state)
