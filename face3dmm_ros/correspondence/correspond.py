"""The whole way from a model without landmarks to one with all that our own model knows of its surface."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from face3dmm_ros.correspondence.key_points import VIEWS, find_key_points
from face3dmm_ros.correspondence.registration import PASSES, KnownPairs, Registration, register
from face3dmm_ros.correspondence.surface import Surface
from face3dmm_ros.correspondence.transfer import skin_triangles, transfer
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.side_file import Correspondence

_LOOSENESS = 0.3
"""The spline's smoothing at key points; chosen by hand on ICT-FaceKit's head, where 0.05 to 10 gave the same."""
STEPS = VIEWS + PASSES + 1
"""How often `correspond` tells of its progress."""


@dataclass(frozen=True, eq=False)
class Found:
    """What was found of a model, and how."""

    correspondence: Correspondence
    registration: Registration


def correspond(model: MorphableModel, ours: MorphableModel, progress: Callable[[], object] = lambda: None) -> Found:
    """Find landmarks, outlines and regions of any model by registering ours to its mean.

    Args:
        model: the other.
        ours: the default model.
        progress: is called `STEPS` times.

    Raises:
        Face3DMMError: no face is found on its pictures.
    """
    theirs = Surface(model.mean.astype(np.float64), model.triangles)
    mean = Surface(ours.mean.astype(np.float64), ours.triangles)
    key = find_key_points(theirs, ours, model.name, progress)
    skin = Surface(theirs.vertices, skin_triangles(theirs, key.similarity.scale, key.theirs))
    known = KnownPairs(
        key.similarity.of(key.theirs.interpolate(theirs.vertices).astype(np.float64)),
        key.ours.interpolate(mean.vertices).astype(np.float64),
        np.full(len(key.numbers), _LOOSENESS),
    )
    registration = register(skin, key.similarity, mean, ours.regions["skin"] > 0.5, known, progress)
    found = Found(transfer(ours, theirs, registration), registration)
    progress()
    return found
