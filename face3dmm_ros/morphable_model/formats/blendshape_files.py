"""Which files of a folder are a head's neutral mesh and its blendshapes with ARKit's names."""

import re
from collections.abc import Iterable
from pathlib import PurePath

from face3dmm_ros.core.shape_names import arkit_name

_NEUTRAL = re.compile(r"(.*[^a-z])?(neutral|base|basis|default|rest)([^a-z]?(mesh|face|head|pose))?", re.IGNORECASE)
"""The names that modelling programs and public blendshapes have for it."""


def neutral_files(names: Iterable[str]) -> list[str]:
    """The files that are called like a neutral mesh."""
    return [file for stem, file in _meshes(names).items() if _NEUTRAL.fullmatch(stem)]


def shape_files(names: Iterable[str]) -> dict[str, str]:
    """By name of the blendshape the files that are called like one of ARKit's, in any spelling; sorted."""
    return {stem: file for stem, file in _meshes(names).items() if arkit_name(stem)}


def are_blendshapes(names: Iterable[str]) -> bool:
    """Whether a folder of these files is a head."""
    files = tuple(names)
    return bool(neutral_files(files) and shape_files(files))


def _meshes(names: Iterable[str]) -> dict[str, str]:
    return {PurePath(name).stem: name for name in sorted(names) if name.lower().endswith(".obj")}
