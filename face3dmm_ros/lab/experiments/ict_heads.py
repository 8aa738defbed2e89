"""ICT-FaceKit's heads on our topology: people who were not made as ours were, for our scenes, detectors and fits."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from face3dmm_ros.correspondence.registration import far_apart
from face3dmm_ros.lab.default_model.registration import IctHead, register
from face3dmm_ros.morphable_model import MorphableModel

_TRUSTED = 0.5
"""Trust in the registration from which on a vertex is the other's; chosen by hand."""
_PULLING = 1500
"""Trusted vertices that the others follow; chosen by hand: about every second one."""


@dataclass(frozen=True, eq=False)
class IctHeads:
    """Heads of ICT-FaceKit as a model with our triangles.

    Attributes:
        model: α are ICT's identity coefficients; expressions, colours, landmarks and regions are ours.
        known: (N,) which vertices lie on ICT's surface. The others, in the mouth, of eyes, and where the heads differ
            too much, follow these smoothly.
    """

    model: MorphableModel
    known: NDArray[np.bool_]


def ict_heads(other: IctHead, ours: MorphableModel) -> IctHeads:
    """Carry ICT's neutral and its identities over onto our vertices; at rest they then have ICT's shape."""
    registration = register(
        other, ours.mean.astype(np.float64), ours.triangles, ours.regions["skin"] > 0.5, ours.scheme("ibug68")
    )
    known = registration.trust > _TRUSTED
    turn = registration.similarity.scale * registration.similarity.rotation.T
    points = registration.points.at(np.flatnonzero(known))
    neutral = points.interpolate(other.neutral) @ turn + registration.similarity.shift
    identities = points.interpolate(other.identities.transpose(1, 2, 0)).transpose(0, 2, 1) @ turn
    offsets = np.concatenate([(neutral - ours.mean[known])[:, None], identities], axis=1)
    carried = _followed(ours.mean.astype(np.float64), known, offsets)
    model = replace(
        ours,
        name="ict_facekit",
        mean=(ours.mean + carried[:, 0]).astype(np.float32),
        shape_basis=carried[:, 1:].transpose(0, 2, 1).reshape(3 * len(known), -1).astype(np.float32),
        shape_sigma=np.ones(len(other.identities), np.float32),
    )
    return IctHeads(model, known)


def _followed(
    places: NDArray[np.float64], known: NDArray[np.bool_], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values of the known of N places, (P, …), at all of them, (N, …): elsewhere a biharmonic spline's."""
    pulling = far_apart(places[known], _PULLING)
    spline = RBFInterpolator(places[known][pulling], values[pulling].reshape(len(pulling), -1), kernel="linear")
    everywhere = np.empty((len(places), *values.shape[1:]))
    everywhere[known] = values
    everywhere[~known] = spline(places[~known]).reshape(-1, *values.shape[1:])
    return everywhere
