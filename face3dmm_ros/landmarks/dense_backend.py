"""The dense backend: two networks locate every face, and their points are averaged by inverse variance.

Face Mesh is best on people's faces from the front and fails on profiles; the dense network was trained on every yaw,
but on few people. From the front both run, and Face Mesh's known bias is removed; from the side the dense
network runs a second time, on the mirror image. Their readings of the expression are averaged likewise. Where something
covers the face both guess, and σ grows. On a followed face the dense network runs in some of the images only.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.landmarks.appearance import lightness_at
from face3dmm_ros.landmarks.backend import Detection, LocatedFace
from face3dmm_ros.landmarks.blendshape_network import BlendshapeNetwork
from face3dmm_ros.landmarks.cover_reader import CoverReader
from face3dmm_ros.landmarks.dense_network import MARGIN, SIDE, DenseNetwork, DensePoints, upright_region
from face3dmm_ros.landmarks.expression_reader import ExpressionReader
from face3dmm_ros.landmarks.face_mesh_response import FaceMeshResponse, yaw_degrees
from face3dmm_ros.landmarks.facemesh import REGION_SCALE, FaceMeshBackend, check_scheme
from face3dmm_ros.landmarks.people_at_rest import ReadingResponse
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.schemes import (
    BROWS,
    LEFT_EYE_RING,
    LIP_RINGS,
    MEDIAPIPE478,
    RIGHT_EYE_RING,
    SKIN_COUNT,
    convert,
)

# docs/landmarks.md tells how these were chosen: `_FROM_THE_SIDE`, `_TRUST_YAW` and the `_TRUST_…` shares by hand while
# looking at `aflw2000_dev`; `_IRIS_MM`, `_REMEMBERED`, `_CERTAIN`, `_CHANGED_…` and `_UNCONFIRMED` on the sample clip,
# portraits and pictures without a face. Where nothing is said, by hand.
_FROM_THE_SIDE = (50.0, 60.0)
"""Degrees of yaw from which the mirror image is used too, and from which it replaces Face Mesh."""
_TRUST_YAW = (20.0, _FROM_THE_SIDE[0])
_TRUST_LIPS, _TRUST_LIDS_AND_BROWS, _TRUST_OTHERS = (0.07, 0.6), (0.2, 0.6), (0.5, 1.0)
"""Factors on Face Mesh's standard deviation up to the first and from the second of these degrees of yaw on.

That deviation was measured on rendered faces. On photographs Face Mesh errs less, and follows lids, lips and brows
where the dense network hardly does.
"""
_MIN_SCORE = 0.35
"""BlazeFace's lowest score, below its usual 0.5: faces that are none are sorted out by their landmarks' confidence."""
_IRIS_MM = 0.35
"""Standard deviation of an iris' points on the face."""
_HIDDEN_IRIS_MM = 20.0
"""The same where no network saw the iris, so that it tells nothing."""
_REMEMBERED = 3
"""Images for which the dense network's points of a frontal face are carried on: it runs in every fourth. Measured on
synthetic sequences: rotation changes by 0.1° at most, vertices by 0.03 mm (docs/landmarks.md)."""
_CERTAIN = 0.9
"""Face Mesh's confidence from which on they are carried on."""
_CHANGED_MM = 2.0
"""How far, RMS, the points may have moved on the face since the dense network ran."""
_CHANGED_LIGHT, _CHANGED_SHARE = 35.0, 0.08
"""Change of grey level, of 255, and the share of points with such a change from which something may cover the face, so
that the dense network runs. On the sample clip it then runs in 43 of 120 images in place of 42."""
_LIGHT_EVERY = 3
"""One in so many of Face Mesh's points is sampled for that: neighbours are alike."""
_COVERED_MM = 6.0
"""Additional standard deviation of a covered point's coordinates: under things drawn over photographs a mouth's points
were off by 6.9 mm (docs/landmarks.md)."""
_COVERED = (0.5, 1.0)
"""Likelihoods of being covered between which that deviation grows from 0 to `_COVERED_MM`, as a square."""
_INNER = MARGIN / REGION_SCALE
"""Side of the dense network's crop over that of Face Mesh's, so that the face is as large in both."""
_GIVES_UP = 0.2
"""Face Mesh's confidence below which its points are left out."""
_UNCONFIRMED = 0.6
"""Factor on the dense network's confidence from the front where Face Mesh sees no face."""

_LIPS = np.array(LIP_RINGS).ravel()
_LIDS_AND_BROWS = np.array([*RIGHT_EYE_RING, *LEFT_EYE_RING, *BROWS])
_EYE_RINGS = np.array([RIGHT_EYE_RING, LEFT_EYE_RING])
_IRIS_COUNT = 5
_KNOWS_NOTHING = 1e3
"""Standard deviation of a weight that no reading tells: so large that it counts for nothing, yet finite."""
_LEAST_SEEN = np.float32(1e-4)
"""Lower limit of a share of precision, which keeps its inverse finite."""
# Face Mesh's points of the cheeks and of the nose's wings, chosen by hand.
_CHEEKS = (50, 205, 187, 280, 425, 411)
_NOSE_WINGS = {"Right": (48, 64, 98), "Left": (278, 294, 327)}


def _part_of(blendshape: str) -> NDArray[np.intp]:
    """Face Mesh's points of the part of the face that shows a blendshape of ARKit's."""
    side = "Right" if blendshape.endswith("Right") else "Left"
    right = side == "Right"
    if blendshape == "browInnerUp":
        return np.array(BROWS)
    if blendshape.startswith("brow"):
        return np.array(BROWS[: len(BROWS) // 2] if right else BROWS[len(BROWS) // 2 :])
    if blendshape.startswith(("eye", "cheekSquint")):
        return np.array(RIGHT_EYE_RING if right else LEFT_EYE_RING)
    if blendshape == "cheekPuff":
        return np.array(_CHEEKS)
    return np.array(_NOSE_WINGS[side]) if blendshape.startswith("noseSneer") else _LIPS


_PART_OF = np.array(
    [np.bincount(part := _part_of(name), minlength=SKIN_COUNT) / len(part) for name in WITHOUT_TONGUE], np.float32
)
"""(51, 468) the mean over each blendshape's part of the face."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """What both networks and the readers gave for a frontal face, `age` images ago; `scale` is px per mm."""

    dense: DensePoints
    covered: NDArray[np.float32]
    read: NDArray[np.float32]
    mesh: NDArray[np.float32]
    lightness: NDArray[np.float32]
    scale: float
    age: int = 0

    def carried_to(self, mesh: Landmarks, lightness: NDArray[np.float32]) -> DensePoints | None:
        """The dense network's points moved on with Face Mesh's; None where it has to run again.

        The difference of the two networks turns and grows with the face. Beyond a similarity the face must not have
        changed: neither in expression nor in how light its points are.
        """
        changed_light = np.abs(lightness - self.lightness) > _CHANGED_LIGHT
        if mesh.confidence < _CERTAIN or changed_light.mean() > _CHANGED_SHARE:
            return None
        then, now = _as_complex(self.mesh[:SKIN_COUNT]), _as_complex(mesh.points[:SKIN_COUNT])
        about_then, about_now = then - then.mean(), now - now.mean()
        turn = np.vdot(about_then, about_now) / np.vdot(about_then, about_then)
        growth = np.float32(abs(turn))
        changed = np.sqrt(np.mean(np.abs(about_now - turn * about_then) ** 2))
        if changed > _CHANGED_MM * self.scale * growth:
            return None
        points = now + turn * (_as_complex(self.dense.points) - then)
        return replace(
            self.dense,
            points=np.stack([points.real, points.imag], axis=1),
            depth=growth * self.dense.depth,
            deviation=growth * self.dense.deviation,
        )


class DenseBackend:
    """BlazeFace, Face Mesh and the dense network. `scheme` is ``mediapipe478`` or its subset ``ibug68``."""

    def __init__(self, scheme: str = MEDIAPIPE478, network: Path | None = None) -> None:
        """Load the networks that ship with the package.

        Args:
            scheme: of the points.
            network: a dense network of one's own, which `face3dmm train dense` wrote, in place of the one that ships.

        Raises:
            Face3DMMError: LiteRT is not installed, a network is missing, or the scheme is unknown.
        """
        check_scheme(scheme)
        self.scheme = scheme
        self.parallel = True
        models = package_file("resource/landmark_models/dense.tflite").parent
        self._face_mesh = FaceMeshBackend(min_score=_MIN_SCORE)
        self._network = DenseNetwork(network or models / "dense.tflite")
        self._response = FaceMeshResponse.load(models / "face_mesh_response.npz")
        self._mirror = self._response.mirror[:SKIN_COUNT]
        self._cover = CoverReader.load(models / "cover_reader.npz")
        self._reader = ExpressionReader.load(models / "expression_reader.npz")
        self._blendshapes = BlendshapeNetwork(models / "face_blendshapes.tflite")
        self._reader_at_rest, self._blendshapes_at_rest = (
            ReadingResponse.load(models / "people_at_rest.npz", reading) for reading in ("reader", "network")
        )

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """All faces in a (H, W, 3) BGR image, the surest first."""
        return self._face_mesh.detect(image)

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        """478 points of the face in a region of a (H, W, 3) BGR image; see `LandmarkBackend`."""
        inner = replace(region, size=region.size * _INNER)
        mesh = dense = seen = None
        if before is not None and isinstance(before.seen, _Seen) and before.seen.age < _REMEMBERED:
            mesh = self._face_mesh.look(image, region)
            dense = before.seen.carried_to(mesh, _lightness(image, mesh.points))
            seen = replace(before.seen, age=before.seen.age + 1)
        if dense is None:
            dense, seen = self._network.locate_in_crop(inner.crop(image, SIDE), inner), None
        view = self._response.view(dense.points, dense.depth)
        yaw = abs(yaw_degrees(view.rotation))
        aside = float(np.interp(yaw, _FROM_THE_SIDE, (0.0, 1.0)))
        if mesh is None and aside < 1.0:
            mesh = self._face_mesh.look(image, region)
        confirmed = 0.0 if mesh is None else mesh.confidence
        if mesh is not None and (mesh.confidence < _GIVES_UP or aside >= 1.0):
            mesh = None
        covered = self._covered(dense) if seen is None else seen.covered
        read = None
        if aside < 1.0:
            read = self._reader.read(dense.features) if seen is None else seen.read
            if seen is None and mesh is not None and yaw < _TRUST_YAW[0]:
                seen = _Seen(dense, covered, read, mesh.points, _lightness(image, mesh.points), view.scale)
        confidence = dense.confidence
        if mesh is None:
            confidence *= float(np.interp(yaw, _TRUST_YAW, (_UNCONFIRMED, 1.0)))
        if aside > 0.0:
            mirrored = self._network.locate_in_crop(inner.crop(image, SIDE), inner, self._mirror)
            dense = dense.mixed(mirrored, aside / 2.0)
        guessed = np.float32(_COVERED_MM * view.scale) * covered
        points, deviation = dense.points, np.hypot(dense.deviation, guessed)
        irises = None
        if mesh is not None:
            theirs, their_deviation = self._response.undo(mesh.points, view)
            theirs, irises = theirs[:SKIN_COUNT], theirs[SKIN_COUNT:]
            their_deviation = np.hypot(their_deviation * _doubt(yaw), guessed)
            weight = np.float32(1.0 - aside) * deviation**2 / (deviation**2 + their_deviation**2)
            points = points + weight[:, None] * (theirs - points)
            deviation = np.sqrt((1.0 - weight) ** 2 * deviation**2 + weight**2 * their_deviation**2)
        iris_mm = np.full(len(_EYE_RINGS), _HIDDEN_IRIS_MM, np.float32)
        if irises is not None:
            iris_mm = _IRIS_MM + (iris_mm - _IRIS_MM) * covered[_EYE_RINGS].mean(axis=1)
        else:
            irises = np.repeat(points[_EYE_RINGS].mean(axis=1), _IRIS_COUNT, axis=0)
        iris_depth = np.repeat(dense.depth[_EYE_RINGS].mean(axis=1), _IRIS_COUNT)
        expression, expression_deviation = self._expression(
            read, mesh, np.float32(1.0 - aside) * (1.0 - _PART_OF @ covered) ** 2
        )
        landmarks = Landmarks(
            scheme=MEDIAPIPE478,
            points=np.concatenate([points, irises]),
            box=region.box((image.shape[1], image.shape[0])),
            confidence=confidence,
            image_size=(image.shape[1], image.shape[0]),
            depth=np.concatenate([dense.depth, iris_depth]),
            deviation=np.concatenate([deviation, np.float32(view.scale) * np.repeat(iris_mm, _IRIS_COUNT)]),
            expression=expression,
            expression_deviation=expression_deviation,
        )
        return LocatedFace(convert(landmarks, self.scheme), upright_region(points, REGION_SCALE), seen, confirmed)

    def _covered(self, dense: DensePoints) -> NDArray[np.float32]:
        """(468,) in [0, 1]: the share of `_COVERED_MM` that each point's deviation gets."""
        likely = self._cover.read(dense.features, dense.on_crop)
        return np.interp(likely, _COVERED, (0.0, 1.0)).astype(np.float32) ** 2

    def _expression(
        self, read: NDArray[np.float32] | None, mesh: Landmarks | None, seen: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | tuple[None, None]:
        """The expression (51,) by both readings, averaged by inverse variance, and its standard deviation.

        `seen` (51,) is the share of each weight's precision that counts: 1 from the front, 0 from the side or where its
        part of the face is covered.
        """
        if read is None:
            return None, None
        readings = [(self._reader_at_rest, read)]
        if mesh is not None:
            readings.append((self._blendshapes_at_rest, self._blendshapes.weights(mesh.points)))
        precision, weighed = np.full(len(WITHOUT_TONGUE), _KNOWS_NOTHING**-2, np.float32), np.float32(0.0)
        for at_rest, said in readings:
            share = at_rest.deviation**-2
            precision, weighed = precision + share, weighed + share * at_rest.measured(said)
        return weighed / precision, (np.maximum(seen, _LEAST_SEEN) * precision) ** np.float32(-0.5)


def _doubt(yaw: float) -> NDArray[np.float32]:
    """(468,) the factor on Face Mesh's standard deviation at a yaw, degrees."""
    lips, lids_and_brows, others = (
        np.interp(yaw, _TRUST_YAW, shares) for shares in (_TRUST_LIPS, _TRUST_LIDS_AND_BROWS, _TRUST_OTHERS)
    )
    doubt = np.full(SKIN_COUNT, others, np.float32)
    doubt[_LIPS], doubt[_LIDS_AND_BROWS] = lips, lids_and_brows
    return doubt


def _lightness(image: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """How light an image is at some of points (P, 2), px."""
    return lightness_at(image, points[::_LIGHT_EVERY])


def _as_complex(points: NDArray[np.float32]) -> NDArray[np.complex64]:
    """(P,) x + iy of (P, 2), in which a similarity is one factor."""
    return np.ascontiguousarray(points).view(np.complex64)[:, 0]
