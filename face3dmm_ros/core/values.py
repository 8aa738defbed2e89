"""The three plain values that travel: landmarks, face parameters and a mesh.

Each has exactly one ROS message (`face3dmm_ros.nodes.conversions` converts). Image coordinates are pixels, x right,
y down, with (0, 0) the centre of the top-left pixel.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective


@dataclass(frozen=True)
class Box:
    """An upright box in an image, px: its left and top edge, width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The 2D landmarks of one face.

    Attributes:
        scheme: ``ibug68`` or ``mediapipe478``; names the order and meaning of the points.
        points: (N, 2) float32, px.
        depth: (N,) float32 relative depth in px, smaller is nearer to the camera; None where the detector has none.
        deviation: (N,) float32 standard deviation of each point's coordinates, px; None where the detector gives none.
            With it, outline points keep their place on the skin instead of following the face's visible edge.
        expression: (51,) float32 weights of the blendshapes of `core.arkit.WITHOUT_TONGUE`, read from the image rather
            than from the points; None where the detector reads none.
        expression_deviation: (51,) float32, the standard deviation of each; None where `expression` is.
        colors: (N, 3) uint8 sRGB of the image about each point, (0, 0, 0) where that is outside of the image; None
            where the image was not looked at for them, as in most of a track's.
        covered: (N,) uint8, how likely something lies over each point, 255 for certain; None where the detector does
            not tell.
        box: region of the image in which the landmarks were looked for, px.
        confidence: of the detector that there is a face at all, in [0, 1].
        image_size: (width, height) of the image, px.
    """

    scheme: str
    points: NDArray[np.float32]
    box: Box
    confidence: float
    image_size: tuple[int, int]
    depth: NDArray[np.float32] | None = None
    deviation: NDArray[np.float32] | None = None
    expression: NDArray[np.float32] | None = None
    expression_deviation: NDArray[np.float32] | None = None
    colors: NDArray[np.uint8] | None = None
    covered: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class FaceParameters:
    """One face as the model sees it: x = s·P·R·(S̄ + Σ αᵢSᵢ + Σ βᵢEᵢ) + t.

    Attributes:
        camera: weak perspective s (px/mm), R (model → camera), t (px).
        alpha: (K,) identity coefficients, raw (of the model's own basis).
        beta: (E,) expression coefficients; for the default model blendshape weights in [0, 1].
        gamma: (L,) albedo coefficients, the person's colours, estimated by `fitting.albedo.PersonColors` or by the fit
            method; empty where neither does.
        model: the model's name.
        model_digest: the model's digest; parameters mean nothing with another model.
        method: ``alternating``, ``joint``, ``photometric``, ``regressor`` or ``regressor+fit``.
        residual_px: RMS distance over the landmarks used, px.
        confidence: how likely it is that the fit is right, in [0, 1]: that its 68 points are off by 5 % of the face's
            size at most, on average (`fitting.confidence`).
        image_size: (width, height) of the image, px.
        beta_deviation: (E,) posterior standard deviation of each of β, given this image and the prior; empty where the
            method gives none.
        gaze: (3, 3) float64 unit rows, where the left eye, the right eye (the person's own) and both look, in the
            camera's axes as R tells them, so relative to the viewing ray too: (0, 0, −1) looks straight at the camera.
            (0, 3) where the model has no eyes that turn.
    """

    camera: WeakPerspective
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    model: str
    model_digest: str
    method: str
    residual_px: float
    confidence: float
    image_size: tuple[int, int]
    gamma: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    gaze: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    beta_deviation: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class HeadScale:
    """The size of a head in metres.

    Attributes:
        source: how it is known: ``average``, taken for people's average, or ``depth``, measured.
        factor: the head's size over that of the model with its α.
        deviation: standard deviation of the size, as a share of it.
    """

    source: str
    factor: float
    deviation: float


AVERAGE_HEAD = HeadScale("average", 1.0, 0.05)
"""Of a person of whom nothing else is known. The deviation is chosen by hand: adults' interpupillary distances, 63 mm
on average, have one of 3.6 mm (Dodgson, Variation and extrema of human interpupillary distance, 2004)."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A posed face in camera space (REP-103 optical: x right, y down, z forward), metres.

    Attributes:
        vertices: (N, 3) float32, m.
        normals: (N, 3) float32, unit length, pointing out of the face.
        triangles: (M, 3) int32, counter-clockwise seen from outside.
        rgb: (N, 3) uint8 sRGB.
        model_digest: digest of the model whose topology this is.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    triangles: NDArray[np.int32]
    rgb: NDArray[np.uint8]
    model_digest: str


@dataclass(frozen=True, eq=False)
class TrackedLandmarks:
    """Landmarks with the identity of their track: `face_id` is stable along a track, and no other track's."""

    face_id: int
    landmarks: Landmarks


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A tracked and fitted face: what the pipeline gives per face and image."""

    face_id: int
    landmarks: Landmarks
    parameters: FaceParameters
