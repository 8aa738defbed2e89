"""The dense backend: two networks locate every face, and their points are averaged by inverse variance.

Face Mesh is best on people's faces from the front and fails on profiles; the dense network was trained on every yaw,
but on few people. From the front both run, and Face Mesh's known bias is removed; from the side the dense
network runs a second time, on the mirror image. Their readings of the expression are averaged likewise. Where something
covers the face both guess, and σ grows. On a followed face the dense network runs in some of the images only.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.second_thread import SecondThread
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.landmarks.appearance import lightness_at
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace
from face3dmm_ros.landmarks.blendshape_network import BlendshapeNetwork
from face3dmm_ros.landmarks.cover_reader import CoverReader
from face3dmm_ros.landmarks.dense_network import MARGIN, SIDE, DenseNetwork, DensePoints, upright_region
from face3dmm_ros.landmarks.expression_reader import ExpressionReader
from face3dmm_ros.landmarks.face_mesh_response import FaceMeshResponse, yaw_degrees
from face3dmm_ros.landmarks.facemesh import REGION_SCALE, FaceMeshBackend
from face3dmm_ros.landmarks.hog_detector import square_of
from face3dmm_ros.landmarks.people_at_rest import ReadingResponse
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.regression_trees import TreeCascade
from face3dmm_ros.landmarks.schemes import (
    BROWS,
    IBUG68_IN_MEDIAPIPE478,
    LEFT_EYE_RING,
    LIP_RINGS,
    MEDIAPIPE478,
    RIGHT_EYE_RING,
    SKIN_COUNT,
    check_scheme,
    convert,
)
from face3dmm_ros.landmarks.tree_finder import TreeFinder

# docs/landmarks.md tells how these were chosen: `_FROM_THE_SIDE`, `_TRUST_YAW` and the `_TRUST_…` shares by hand while
# looking at `aflw2000_dev`; `_IRIS_MM`, `_REMEMBERED`, `_CERTAIN`, `_CHANGED_…` and `_UNCONFIRMED` on the sample clip,
# portraits and pictures without a face. Where nothing is said, by hand.
_FROM_THE_SIDE = (50.0, 60.0)
"""Degrees of yaw from which the mirror image is used too, and from which it replaces Face Mesh."""
_TRUST_YAW = (20.0, _FROM_THE_SIDE[0])
_TREES_YAW = (32.0, 42.0)
"""Degrees of yaw from which trees are asked, too, and from which they count as much as they are sure."""
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
_NO_POINTS, _NO_DEVIATION = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
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


def _trusted(degree: int) -> NDArray[np.float32]:
    """(468,) the factor on Face Mesh's standard deviation up to the first (0) or from the second of `_TRUST_YAW`."""
    trusted = np.full(SKIN_COUNT, _TRUST_OTHERS[degree], np.float32)
    trusted[_LIPS], trusted[_LIDS_AND_BROWS] = _TRUST_LIPS[degree], _TRUST_LIDS_AND_BROWS[degree]
    return trusted


_TRUSTED = np.stack([_trusted(0), _trusted(1)])
_NO_MESH = _NO_POINTS, _NO_DEVIATION, _TRUSTED, 0.0, 0.0
_NO_COVER, _NO_SCALE = np.zeros(SKIN_COUNT, np.float32), 0.0


@dataclass(frozen=True, eq=False)
class _Seen:
    """What both networks and the readers gave for a frontal face, `age` images ago.

    `likely` (478,) is as landmarks carry it; `shown` (51,) is the share of each blendshape's precision that its part's
    cover leaves; `scale` is px per mm.
    """

    dense: DensePoints
    likely: NDArray[np.uint8]
    covered: NDArray[np.float32]
    shown: NDArray[np.float32]
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
        if mesh.confidence < _CERTAIN or _changed_share(self.lightness, lightness) > _CHANGED_SHARE:
            return None
        points, growth, changed = _moved(self.dense.points, self.mesh, mesh.points)
        if changed > _CHANGED_MM * self.scale * growth:
            return None
        return replace(
            self.dense,
            points=points,
            depth=np.float32(growth) * self.dense.depth,
            deviation=np.float32(growth) * self.dense.deviation,
        )


@dataclass(frozen=True, eq=False)
class _Looks:
    """What the networks gave: the dense one, Face Mesh unless from the side, the dense one's mirror image from there.

    `seen` is what was carried on from former images, if anything; `view` is Face Mesh's of the face.
    """

    dense: DensePoints
    mesh: Landmarks | None
    mirrored: DensePoints | None
    seen: _Seen | None
    view: WeakPerspective


_ASIDE = object()
"""What is carried on of a face that was seen from the side, where Face Mesh is not asked."""


class DenseBackend(LandmarkBackend):
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
        self._second_thread = SecondThread("second_network")
        self._face_mesh = FaceMeshBackend(min_score=_MIN_SCORE)
        self._network = DenseNetwork(network or models / "dense.tflite")
        self._response = FaceMeshResponse.load(models / "face_mesh_response.npz")
        self._mirror = self._response.mirror[:SKIN_COUNT]
        self._trees = TreeFinder(TreeCascade.load(models / "trees.npz"))
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
        looks = self._looks(image, region, before)
        dense, mesh, seen, view = looks.dense, looks.mesh, looks.seen, looks.view
        yaw = abs(yaw_degrees(view.rotation))
        aside = _passed(yaw, _FROM_THE_SIDE)
        confirmed = 0.0 if mesh is None else mesh.confidence
        if mesh is not None and (mesh.confidence < _GIVES_UP or aside >= 1.0):
            mesh = None
        if seen is None:
            likelihood = self._cover.read(dense.features, dense.on_crop)
            likely, covered = _in_bytes(likelihood), self._share(likelihood)
            shown = (1.0 - _PART_OF @ covered) ** 2
        else:
            likely, covered, shown = seen.likely, seen.covered, seen.shown
        read = None
        if aside < 1.0:
            read = self._reader.read(dense.features) if seen is None else seen.read
            if seen is None and mesh is not None and yaw < _TRUST_YAW[0]:
                lightness = lightness_at(image, mesh.points, _LIGHT_EVERY)
                seen = _Seen(dense, likely, covered, shown, read, mesh.points, lightness, view.scale)
        confidence = dense.confidence
        if mesh is None:
            confidence *= _UNCONFIRMED + (1.0 - _UNCONFIRMED) * _passed(yaw, _TRUST_YAW)
        if looks.mirrored is not None:
            dense = dense.mixed(looks.mirrored, aside / 2.0)
        theirs, their_deviation = _NO_POINTS, _NO_DEVIATION
        if mesh is not None:
            theirs, their_deviation = self._response.undo(mesh.points, view)
        points, depth, deviation = _averaged(
            (dense.points, dense.depth, dense.deviation),
            (theirs, their_deviation, _TRUSTED, _passed(yaw, _TRUST_YAW), 1.0 - aside),
            covered,
            view.scale,
            _EYE_RINGS,
        )
        if yaw > _TREES_YAW[0]:
            points = self._with_trees(image, points, deviation, view)
        expression, expression_deviation = self._expression(read, mesh, np.float32(1.0 - aside) * shown)
        landmarks = Landmarks(
            scheme=MEDIAPIPE478,
            points=points,
            box=region.box((image.shape[1], image.shape[0])),
            confidence=float(np.float32(confidence)),  # as messages carry it
            image_size=(image.shape[1], image.shape[0]),
            depth=depth,
            deviation=deviation,
            expression=expression,
            expression_deviation=expression_deviation,
            covered=likely,
        )
        region = upright_region(points[:SKIN_COUNT], REGION_SCALE)
        return LocatedFace(convert(landmarks, self.scheme), region, _ASIDE if aside >= 1.0 else seen, confirmed)

    def _looks(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None) -> _Looks:
        """What the networks say of the face in a region: of two that are wanted, one runs beside the other."""
        inner = replace(region, size=region.size * _INNER)
        mesh = dense = seen = None
        if before is not None and isinstance(before.seen, _Seen) and before.seen.age < _REMEMBERED:
            mesh = self._face_mesh.look(image, region)
            dense = before.seen.carried_to(mesh, lightness_at(image, mesh.points, _LIGHT_EVERY))
            seen = replace(before.seen, age=before.seen.age + 1)
        crop = cache(partial(inner.crop, image, SIDE))
        look: Callable[[], Landmarks] = partial(self._face_mesh.look, image, region)

        def mirrored() -> DensePoints:
            return self._network.locate_in_crop(crop(), inner, self._mirror)

        look_mirrored: Callable[[], DensePoints] = mirrored
        with ExitStack() as begun:
            if dense is None:
                seen = None
                crop()
                if before is not None and before.seen is _ASIDE:
                    look_mirrored = begun.enter_context(self._second_thread.beside(look_mirrored))
                elif mesh is None:
                    look = begun.enter_context(self._second_thread.beside(look))
                dense = self._network.locate_in_crop(crop(), inner)
            view = self._response.view(dense.points, dense.depth)
            aside = _passed(abs(yaw_degrees(view.rotation)), _FROM_THE_SIDE)
            if mesh is None and aside < 1.0:
                mesh = look()
            return _Looks(dense, mesh, look_mirrored() if aside > 0.0 else None, seen, view)

    def glance(self, image: NDArray[np.uint8], region: Region) -> LocatedFace:
        """The points by the dense network alone; see `LandmarkBackend`."""
        inner = replace(region, size=region.size * _INNER)
        dense = self._network.locate_in_crop(inner.crop(image, SIDE), inner)
        ours = dense.points, dense.depth, dense.deviation
        points, depth, deviation = _averaged(ours, _NO_MESH, _NO_COVER, _NO_SCALE, _EYE_RINGS)
        landmarks = Landmarks(
            scheme=MEDIAPIPE478,
            points=points,
            box=region.box((image.shape[1], image.shape[0])),
            confidence=float(np.float32(dense.confidence)),
            image_size=(image.shape[1], image.shape[0]),
            depth=depth,
            deviation=deviation,
        )
        return LocatedFace(convert(landmarks, self.scheme), upright_region(points[:SKIN_COUNT], REGION_SCALE))

    def _with_trees(
        self,
        image: NDArray[np.uint8],
        points: NDArray[np.float32],
        deviation: NDArray[np.float32],
        view: WeakPerspective,
    ) -> NDArray[np.float32]:
        """Points of a face from the side (478, 2), px, averaged with those that trees find, by inverse variance."""
        rotation = view.rotation
        square = square_of(points[IBUG68_IN_MEDIAPIPE478], math.atan2(rotation[0, 1], -rotation[1, 1]))
        yaw = yaw_degrees(rotation)
        try:
            # The yaw of `core.rotations` counts to the other side.
            first = self._trees.find(image, square, -yaw, starts=1)
            found = self._trees.find(image, first.square, first.yaw)
        except Face3DMMError:  # the points have left the image
            return points
        variance = deviation[:SKIN_COUNT] ** 2
        theirs = np.float32(_passed(abs(yaw), _TREES_YAW)) * variance / (variance + found.deviation[:SKIN_COUNT] ** 2)
        mixed = points.copy()
        mixed[:SKIN_COUNT] += theirs[:, None] * (found.points[:SKIN_COUNT] - mixed[:SKIN_COUNT])
        return mixed

    @staticmethod
    def _share(likelihood: NDArray[np.float32]) -> NDArray[np.float32]:
        """(468,) in [0, 1]: the share of `_COVERED_MM` that points' deviation gets by how likely they are covered."""
        return np.interp(likelihood, _COVERED, (0.0, 1.0)).astype(np.float32) ** 2

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
            precision, weighed = precision + at_rest.precision, weighed + at_rest.precision * at_rest.measured(said)
        return weighed / precision, (np.maximum(seen, _LEAST_SEEN) * precision) ** np.float32(-0.5)


def _in_bytes(likelihood: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Likelihoods (468,) in [0, 1] as landmarks carry them, (478,): irises are as likely covered as what is around."""
    irises = likelihood[_EYE_RINGS].mean(axis=1).repeat(_IRIS_COUNT)
    return np.rint(255.0 * np.concatenate([likelihood, irises])).astype(np.uint8)


def _passed(yaw: float, limits: tuple[float, float]) -> float:
    """How far a yaw has come from the first to the second of some limits, in [0, 1]."""
    return min(max((yaw - limits[0]) / (limits[1] - limits[0]), 0.0), 1.0)


@compiled
def _changed_share(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """The share of the points that became lighter or darker by more than `_CHANGED_LIGHT`."""
    count = 0
    for point in range(len(now)):
        count += abs(now[point] - before[point]) > _CHANGED_LIGHT
    return count / len(now)


@compiled
def _moved(
    points: NDArray[np.float32], mesh_then: NDArray[np.float32], mesh_now: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float, float]:
    """Points (P, 2) moved on with as many first ones of Face Mesh's; how much these grew, and how far else they moved.

    That is the RMS distance which the best similarity, about the means, leaves between Face Mesh's.
    """
    count = len(points)
    then_x = then_y = now_x = now_y = 0.0
    for point in range(count):
        then_x, then_y = then_x + mesh_then[point, 0] / count, then_y + mesh_then[point, 1] / count
        now_x, now_y = now_x + mesh_now[point, 0] / count, now_y + mesh_now[point, 1] / count
    along = across = before = after = 0.0
    for point in range(count):
        x, y = mesh_then[point, 0] - then_x, mesh_then[point, 1] - then_y
        u, v = mesh_now[point, 0] - now_x, mesh_now[point, 1] - now_y
        along, across = along + (x * u + y * v), across + (x * v - y * u)
        before, after = before + (x * x + y * y), after + (u * u + v * v)
    cosine, sine = along / before, across / before
    moved = np.empty((count, 2), np.float32)
    for point in range(count):
        x, y = points[point, 0] - mesh_then[point, 0], points[point, 1] - mesh_then[point, 1]
        moved[point, 0] = mesh_now[point, 0] + (cosine * x - sine * y)
        moved[point, 1] = mesh_now[point, 1] + (sine * x + cosine * y)
    growth = math.hypot(cosine, sine)
    return moved, growth, math.sqrt(max(after - growth * growth * before, 0.0) / count)


_Arrays = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@compiled
def _averaged(
    ours: _Arrays,
    mesh: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], float, float],
    covered: NDArray[np.float32],
    scale: float,
    eye_rings: NDArray[np.int64],
) -> _Arrays:
    """The points of both networks, averaged by inverse variance.

    Args:
        ours: the dense network's points (468, 2), depth and deviation, px.
        mesh: Face Mesh's points (478, 2) and deviation (468,), px, or none; the factors `_TRUSTED` on that, how far the
            second one counts in place of the first, and the factor on the weight of these points.
        covered: (468,) in [0, 1].
        scale: px per mm.
        eye_rings: (2, 16) points around each eye.

    Returns:
        points (478, 2), depth and deviation (478,).
    """
    ours_at, ours_depth, ours_deviation = ours
    mesh_at, mesh_deviation, trusted, turned, counts = mesh
    skin, eyes = len(ours_at), len(eye_rings)
    points = np.empty((skin + eyes * _IRIS_COUNT, 2), np.float32)
    depth, deviation = np.empty(len(points), np.float32), np.empty(len(points), np.float32)
    for point in range(skin):
        guessed = (_COVERED_MM * scale * covered[point]) ** 2
        variance, weight, mesh_variance = ours_deviation[point] ** 2 + guessed, 0.0, 0.0
        points[point, 0], points[point, 1], depth[point] = ours_at[point, 0], ours_at[point, 1], ours_depth[point]
        if len(mesh_at):
            factor = (1.0 - turned) * trusted[0, point] + turned * trusted[1, point]
            mesh_variance = (factor * mesh_deviation[point]) ** 2 + guessed
            weight = counts * variance / (variance + mesh_variance)
            for axis in range(2):
                points[point, axis] += weight * (mesh_at[point, axis] - ours_at[point, axis])
        deviation[point] = math.sqrt((1.0 - weight) ** 2 * variance + weight**2 * mesh_variance)
    for eye in range(eyes):
        x = y = away = hidden = 0.0
        for point in eye_rings[eye]:
            x, y = x + points[point, 0] / len(eye_rings[eye]), y + points[point, 1] / len(eye_rings[eye])
            away += ours_depth[point] / len(eye_rings[eye])
            hidden += covered[point] / len(eye_rings[eye])
        for iris in range(skin + eye * _IRIS_COUNT, skin + (eye + 1) * _IRIS_COUNT):
            points[iris, 0], points[iris, 1], depth[iris] = x, y, away
            deviation[iris] = scale * _HIDDEN_IRIS_MM
            if len(mesh_at):
                points[iris, 0], points[iris, 1] = mesh_at[iris, 0], mesh_at[iris, 1]
                deviation[iris] = scale * (_IRIS_MM + (_HIDDEN_IRIS_MM - _IRIS_MM) * hidden)
    return points, depth, deviation
