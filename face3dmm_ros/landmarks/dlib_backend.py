"""The dlib backend: the HOG frontal face detector finds faces, an ensemble of regression trees (Kazemi & Sullivan, One
Millisecond Face Alignment with an Ensemble of Regression Trees, 2014) gives iBUG's 68 points."""

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Box, Landmarks
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace
from face3dmm_ros.landmarks.dlib_model import find_dlib_model
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.schemes import IBUG68

_CROP_SIDE = 320
"""px of the crop that the trees see, chosen by hand: they round their points to its pixels, so it is larger than HOG
needs, which sees it at half the size."""
_FACE_SIDE = 200
"""px of the face's rectangle, as HOG frames it, in the middle of the crop; with room for a face that has moved."""
_REGION_SCALE = _CROP_SIDE / _FACE_SIDE
_HOG_TO_MEAN_SHAPE = 1.04
"""Side of the trees' mean shape's rectangle over HOG's, which is a little tighter; origin not recorded."""
# HOG's score on a crop, measured: of 385 tracked faces 1 % had less than -0.4, of 265 crops without a face 1 % more
# than -0.65. So the confidence is 0.5 between them; the slope was chosen by hand.
_LOWEST_SCORE = -1.0
_EVEN_SCORE = -0.5
_SCORE_SLOPE = 3.0
_DETECTION_SIDE = 640
"""Longer side, px, of the image that HOG sees, which finds faces of 80 px and more in it; chosen by hand: HOG's time
grows with the area."""
_TREES_REACH = 0.1
"""How far from the middle a face may be for the trees, as a share of its side; chosen by hand."""


class DlibBackend(LandmarkBackend):
    """dlib's HOG detector and 68-point regression trees; the only scheme is ``ibug68``."""

    scheme = IBUG68
    parallel = False

    def __init__(self, model: str | None = None) -> None:
        """Load the trees from `model`, or from where `find_dlib_model` finds them.

        Raises:
            Face3DMMError: dlib is not installed, or the model is missing or not readable.
        """
        try:
            import dlib
        except ImportError as error:
            raise Face3DMMError(
                f"the dlib backend needs dlib, which cannot be imported ({error}): pip install dlib-bin"
            ) from error
        path = find_dlib_model(model)
        try:
            self._trees = dlib.shape_predictor(str(path))
        except RuntimeError as error:
            raise Face3DMMError(f"{path} is not a shape predictor that dlib can read: {error}") from error
        self._rectangle = dlib.rectangle
        self._detector = dlib.get_frontal_face_detector()
        # On a picture without contrast no tree finds a difference: what comes out is nearly the mean shape.
        mean_shape = self._shape(np.zeros((_CROP_SIDE, _CROP_SIDE), np.uint8))
        if mean_shape.shape != (68, 2):
            raise Face3DMMError(f"{path} gives {len(mean_shape)} points, expected 68")
        self._mean_shape = (mean_shape - (_CROP_SIDE - 1) / 2.0) / _FACE_SIDE

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """All upright, nearly frontal faces in a (H, W, 3) BGR image, the surest first."""
        height, width = image.shape[:2]
        size = _DETECTION_SIDE / max(width, height)
        columns, rows = max(1, round(size * width)), max(1, round(size * height))
        interpolation = cv2.INTER_AREA if size < 1.0 else cv2.INTER_LINEAR
        gray = cv2.cvtColor(cv2.resize(image, (columns, rows), interpolation=interpolation), cv2.COLOR_BGR2GRAY)
        rectangles, scores, _ = self._detector.run(gray, 0, 0.0)
        scale = np.array([width / columns, height / rows])
        detections = []
        for rectangle, score in zip(rectangles, scores, strict=True):
            x, y = np.array([rectangle.left(), rectangle.top()]) * scale - 0.5
            box_width, box_height = np.array([rectangle.width(), rectangle.height()]) * scale
            box = Box(float(x), float(y), float(box_width), float(box_height))
            region = Region(box.x + box.width / 2.0, box.y + box.height / 2.0, _REGION_SCALE * box.width)
            detections.append(Detection(box, _confidence(score), region))
        return sorted(detections, key=lambda detection: -detection.score)

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        """68 points of the face in a region of a (H, W, 3) BGR image; see `LandmarkBackend`.

        The confidence is HOG's on the region: trees give a face's shape on anything. And they follow a face only a
        little way from the middle, so where HOG sees it further away, they start there.
        """
        crop = np.asarray(cv2.cvtColor(region.crop(image, _CROP_SIDE), cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        half = (_CROP_SIDE // 2, _CROP_SIDE // 2)
        half_crop = cv2.resize(crop, half, interpolation=cv2.INTER_AREA)
        found, scores, _ = self._detector.run(half_crop, 0, _LOWEST_SCORE)
        confidence, x, y = 0.0, 0, 0
        if scores:
            best = int(np.argmax(scores))
            confidence = _confidence(scores[best])
            middle = found[best].center()
            offset = (2 * middle.x - _CROP_SIDE // 2, 2 * middle.y - _CROP_SIDE // 2)
            if max(abs(offset[0]), abs(offset[1])) > _TREES_REACH * _FACE_SIDE:
                x, y = offset
        points = region.to_image(self._shape(crop, x, y), _CROP_SIDE)
        height, width = image.shape[:2]
        landmarks = Landmarks(
            scheme=IBUG68,
            points=points.astype(np.float32),
            box=region.box((width, height)),
            confidence=confidence,
            image_size=(width, height),
        )
        return LocatedFace(landmarks, self._region_of(points))

    def _shape(self, crop: NDArray[np.uint8], x: int = 0, y: int = 0) -> NDArray[np.float64]:
        """(N, 2) points in a grey crop, px, of the face whose rectangle lies (x, y) px from the crop's middle."""
        left, top = (_CROP_SIDE - _FACE_SIDE) // 2 + x, (_CROP_SIDE - _FACE_SIDE) // 2 + y
        rectangle = self._rectangle(left, top, left + _FACE_SIDE - 1, top + _FACE_SIDE - 1)
        return np.array([(point.x, point.y) for point in self._trees(crop, rectangle).parts()], dtype=np.float64)

    def _region_of(self, points: NDArray[np.float64]) -> Region:
        """The region in which the mean shape lies on the points (least squares over similarities)."""
        # In the plane a similarity is one complex factor and a shift.
        shape, mean_shape = points @ [1.0, 1j], self._mean_shape @ [1.0, 1j]
        centered = mean_shape - mean_shape.mean()
        factor = np.vdot(centered, shape) / np.vdot(centered, centered).real
        center = shape.mean() - factor * mean_shape.mean()
        size = _REGION_SCALE * abs(factor) / _HOG_TO_MEAN_SHAPE
        return Region(float(center.real), float(center.imag), float(size), float(np.angle(factor)))


def _confidence(score: float) -> float:
    """HOG's score as a confidence in [0, 1]; `_EVEN_SCORE` becomes 0.5."""
    return float(1.0 / (1.0 + np.exp(-_SCORE_SLOPE * (score - _EVEN_SCORE))))
