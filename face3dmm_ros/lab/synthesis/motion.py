"""Sequences: one person in one place who keeps still, nods, turns, talks or moves freely."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.lab.synthesis.expressions import EMOTIONS, VISEMES, ExpressionSpace
from face3dmm_ros.lab.synthesis.random_scene import (
    SceneOptions,
    place_face,
    random_identity,
    random_person,
    turned,
)
from face3dmm_ros.lab.synthesis.scene import Scene
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.smoothstep import smoothstep

MOTIONS = ("still", "nod", "turn", "talk", "free")
"""``still``: nothing moves, only the sensor's noise is fresh in each frame. ``nod``: pitch as a sine of 1 Hz. ``turn``:
the head turns slowly from side to side. ``talk``: speech, blinks, small movements. ``free``: everything."""

# As all speeds and sizes of this module chosen by hand, while looking at rendered sequences.
NOD_HZ = 1.0
_NOD_DEGREES = 12.0
_TURN_SECONDS = 6.0  # from side to side and back
_BLINK_SECONDS = 0.24


@dataclass(frozen=True, eq=False)
class Motion:
    """How a face moves over F frames.

    Attributes:
        angles: (F, 3) pitch, yaw, roll, radians, as `rotation_from_pose_angles` takes them.
        drift: (F, 2) of the face's middle, as a share of the image's height.
        zoom: (F,) factor on the scale.
        beta: (F, E) expression coefficients.
    """

    angles: NDArray[np.float64]
    drift: NDArray[np.float64]
    zoom: NDArray[np.float64]
    beta: NDArray[np.float64]


def random_motion(
    rng: np.random.Generator, model: MorphableModel, kind: str, frames: int, rate: float, max_yaw: float = 45.0
) -> Motion:
    """A motion of one of `MOTIONS` over some frames at a rate per second.

    Raises:
        Face3DMMError: the kind is unknown, there is less than one frame, or the rate is not within 0.1 to 1000.
    """
    if kind not in MOTIONS:
        raise Face3DMMError(f"unknown motion {kind!r}: choose one of {', '.join(MOTIONS)}")
    if frames < 1 or not 0.1 <= rate <= 1000.0:
        raise Face3DMMError(f"a sequence needs at least one frame and a rate of 0.1 to 1000, not {frames} at {rate}")
    space = ExpressionSpace(model)
    seconds = np.arange(frames) / rate
    start = np.radians(rng.normal(0.0, [4.0, 8.0, 3.0]))
    neutral = space.bounded(0.25 * space.random(rng))
    angles = np.tile(start, (frames, 1))
    drift, zoom = np.zeros((frames, 2)), np.ones(frames)
    beta = np.tile(neutral, (frames, 1))
    if kind == "nod":
        angles[:, 0] += np.radians(_NOD_DEGREES) * np.sin(2 * np.pi * NOD_HZ * seconds)
    elif kind == "turn":
        angles[:, 1] = np.radians(max_yaw) * np.sin(2 * np.pi * seconds / _TURN_SECONDS)
    elif kind in ("talk", "free"):
        share = 0.35 if kind == "talk" else 1.0
        angles += share * np.radians([9.0, 0.5 * max_yaw, 7.0]) * smooth_noise(rng, frames, 3, 0.7 * rate)
        drift = share * 0.03 * smooth_noise(rng, frames, 2, 0.9 * rate)
        zoom = np.exp(share * 0.05 * smooth_noise(rng, frames, 1, 1.5 * rate)[:, 0])
        if space.named:
            beta = _speech(rng, space, frames, rate) + _feelings(rng, space, frames, rate, 0.3 + 0.6 * (kind == "free"))
            beta = beta + _looks(rng, space, frames, rate)
        else:
            beta = 0.6 * model.expression_sigma * smooth_noise(rng, frames, model.expression_count, 0.4 * rate)
    if kind != "still" and space.named:
        beta = beta + _blinks(rng, space, frames, rate)
    return Motion(angles, drift, zoom, space.bounded(beta))


def sequence(
    rng: np.random.Generator,
    model: MorphableModel,
    motion: str,
    frames: int,
    rate: float,
    options: SceneOptions,
    *,
    noise: float = 2.0,
) -> Iterator[Scene]:
    """The scenes of a sequence, one after the other; the same generator state gives the same sequence.

    Only pose, expression and the seed of the sensor's noise, of standard deviation `noise` (of 255), change along it.
    """
    alpha, gamma = random_identity(rng, model)
    person = random_person(rng, model, alpha, gamma, options)
    path = random_motion(rng, model, motion, frames, rate, min(options.max_yaw, 60.0))
    seed = person.sensor.seed
    sensor = replace(person.sensor, motion=(0.0, 0.0), resolution=1.0, jpeg=0, noise=noise, shot_noise=0.0)
    frontal = place_face(rng, rotation_from_pose_angles(0.0, 0.0, 0.0), options)
    shoulders = rotation_from_pose_angles(*(0.5 * path.angles.mean(axis=0)))
    height = options.image_size[1]
    # The head turns about the neck's joint, which keeps its place.
    joint = np.array([0.0, -95.0, -85.0])
    anchor = frontal.project(joint[None])[0]
    for k in range(frames):
        rotation = rotation_from_pose_angles(*path.angles[k])
        scale = frontal.scale * float(path.zoom[k])
        translation = anchor + height * path.drift[k] - scale * rotation[:2] @ joint
        yield replace(
            turned(person, WeakPerspective(scale, rotation, translation), shoulders),
            beta=path.beta[k],
            sensor=replace(sensor, seed=seed + k),
        )


def smooth_noise(rng: np.random.Generator, frames: int, channels: int, sigma: float) -> NDArray[np.float64]:
    """(F, C) noise with standard deviation about 1, smoothed by a Gaussian of so many frames."""
    margin = int(4 * sigma) + 1
    white = rng.standard_normal((frames + 2 * margin, channels))
    smooth = gaussian_filter1d(white, sigma, axis=0)[margin : margin + frames]
    return np.asarray(smooth * np.sqrt(2 * np.sqrt(np.pi) * max(sigma, 0.3)))


def _speech(rng: np.random.Generator, space: ExpressionSpace, frames: int, rate: float) -> NDArray[np.float64]:
    """(F, E): phrases of visemes with pauses between them."""
    targets = np.zeros((frames, space.count))
    at = int(rng.uniform(0, 0.5) * rate)
    while at < frames:
        end = at + int(rng.uniform(1.0, 3.5) * rate)
        while at < min(end, frames):
            length = max(int(rng.uniform(0.09, 0.22) * rate), 1)
            targets[at : at + length] = rng.uniform(0.5, 1.2) * space.one_of(VISEMES, rng)
            at += length
        if at < frames:
            at += int(rng.uniform(0.4, 1.5) * rate)
    # Lips move on to the next sound before the last one ends.
    return np.asarray(gaussian_filter1d(targets, 0.045 * rate, axis=0, mode="nearest"))


def _feelings(
    rng: np.random.Generator, space: ExpressionSpace, frames: int, rate: float, strength: float
) -> NDArray[np.float64]:
    """(F, E): emotions that come and go."""
    beta = np.zeros((frames, space.count))
    at = rng.uniform(0.0, 2.0) * rate
    while at < frames:
        middle, width = at + rng.uniform(0.7, 2.0) * rate, rng.uniform(0.5, 1.1) * rate
        course = np.exp(-(((np.arange(frames) - middle) / width) ** 2))
        beta += strength * rng.uniform(0.3, 1.1) * course[:, None] * space.one_of(EMOTIONS, rng)
        at = middle + rng.uniform(1.0, 3.0) * rate
    return beta


def _looks(rng: np.random.Generator, space: ExpressionSpace, frames: int, rate: float) -> NDArray[np.float64]:
    """(F, E): the gaze rests, and jumps within some 60 ms."""
    gaze = np.zeros((frames, 2))
    at, place = 0, np.zeros(2)
    while at < frames:
        length = max(int(rng.uniform(0.4, 2.5) * rate), 1)
        gaze[at : at + length] = place
        place = np.clip(rng.normal(0.0, [0.3, 0.2]), -0.9, 0.9) * (rng.random() < 0.7)
        at += length
    gaze = gaussian_filter1d(gaze, max(0.015 * rate, 0.3), axis=0, mode="nearest")
    return np.stack([space.look(float(right), float(up)) for right, up in gaze])


def _blinks(rng: np.random.Generator, space: ExpressionSpace, frames: int, rate: float) -> NDArray[np.float64]:
    """(F, E): about sixteen blinks a minute; lids fall faster than they rise."""
    course = np.zeros(frames)
    seconds = np.arange(frames) / rate
    at = rng.uniform(0.5, 4.0)
    while at < seconds[-1]:
        phase = (seconds - at) / _BLINK_SECONDS
        course = np.maximum(course, smoothstep(0.0, 0.35, phase) - smoothstep(0.45, 1.0, phase))
        at += rng.uniform(1.5, 6.0)
    return course[:, None] * space.beta({"eyeBlink": 1.0})
