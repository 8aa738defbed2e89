"""BlazeFace: a single-shot face detector (Bazarevsky et al., BlazeFace: Sub-millisecond Neural Face Detection on Mobile
GPUs, 2019), in the two forms that Google published: short range (to about 2 m of a webcam) and full range (5 m)."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.landmarks.network import Network

RIGHT_EYE, LEFT_EYE, NOSE, MOUTH, RIGHT_EAR, LEFT_EAR = range(6)
"""Order of the key points; right and left are the person's own."""


@dataclass(frozen=True)
class AnchorGrid:
    """`anchors` anchors at the centre of every `stride` × `stride` px cell of the network's input."""

    stride: int
    anchors: int


# As the networks were published.
SHORT_RANGE = (AnchorGrid(8, 2), AnchorGrid(16, 6))
FULL_RANGE = (AnchorGrid(4, 1),)


@dataclass(frozen=True, eq=False)
class BlazeFaces:
    """Faces found in an image, the surest first.

    Attributes:
        scores: (N,) in [0, 1].
        boxes: (N, 4) left, top, right, bottom, px.
        keypoints: (N, 6, 2) px.
    """

    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]


class BlazeFace:
    """One of the two detectors."""

    def __init__(self, path: Path, grids: tuple[AnchorGrid, ...], min_score: float = 0.5) -> None:
        """Load a network whose outputs belong to the anchors of `grids`; see `Network` for the errors."""
        self._network = Network(path, (-1.0, 1.0))
        self._centers = anchor_centers(self._network.side, grids)
        self._min_logit = float(np.log(min_score / (1.0 - min_score)))

    def detect(self, image: NDArray[np.uint8]) -> BlazeFaces:
        """The faces in a (H, W, 3) BGR image."""
        side = self._network.side
        height, width = image.shape[:2]
        columns, rows = (max(1, round(side * length / max(width, height))) for length in (width, height))
        left, top = (side - columns) // 2, (side - rows) // 2
        letterbox = np.zeros((side, side, 3), np.uint8)
        letterbox[top : top + rows, left : left + columns] = cv2.resize(
            image, (columns, rows), interpolation=cv2.INTER_AREA
        )
        outputs = self._network.run(letterbox)
        logits, regressions = sorted(outputs, key=lambda output: output.ndim)
        found = np.flatnonzero(logits > self._min_logit)
        scores = np.asarray(1.0 / (1.0 + np.exp(-logits[found])), dtype=np.float32)
        # Centre, width and height of the box, then the key points; all in px of the input, positions from the anchor.
        pairs = regressions[found].reshape(-1, 8, 2)
        half = np.abs(pairs[:, 1]) / 2.0
        pairs = pairs + self._centers[found, None]
        corners = np.stack([pairs[:, 0] - half, pairs[:, 0] + half], axis=1)
        points = np.concatenate([corners, pairs[:, 2:]], axis=1)
        scores, points = merge_overlapping(scores, points)
        # The input is measured from its corner, images from the centre of the top-left pixel.
        scale = np.array([width / columns, height / rows], dtype=np.float32)
        points = (points - np.array([left, top], dtype=np.float32)) * scale - np.float32(0.5)
        return BlazeFaces(scores, points[:, :2].reshape(-1, 4), points[:, 2:])


def anchor_centers(side: int, grids: tuple[AnchorGrid, ...]) -> NDArray[np.float32]:
    """(N, 2) anchor centres, px of a side × side input measured from its corner; row by row, grid by grid."""
    centers = []
    for grid in grids:
        ticks = (np.arange(side // grid.stride, dtype=np.float32) + 0.5) * grid.stride
        cells = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
        centers.append(np.repeat(cells, grid.anchors, axis=0))
    return np.concatenate(centers)


def merge_overlapping(
    scores: NDArray[np.float32], points: NDArray[np.float32], min_overlap: float = 0.3
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted non-maximum suppression: detections that overlap the surest one by `min_overlap` (MediaPipe's 0.3)
    become their mean, weighted by score.

    Scores are (N,), points (N, K, 2) with the box's two corners first; (M,) and (M, K, 2) come back, the surest first.
    """
    order = np.argsort(-scores, kind="stable")
    scores, points = scores[order], points[order]
    kept_scores, kept_points = [], []
    while len(scores):
        overlap = _overlaps(points[0, :2], points[:, :2])
        same = overlap > min_overlap
        same[0] = True
        weights = scores[same] / scores[same].sum()
        kept_scores.append(scores[0])
        kept_points.append(np.tensordot(weights, points[same], axes=1))
        scores, points = scores[~same], points[~same]
    if not kept_scores:
        return scores, points
    return np.array(kept_scores, dtype=np.float32), np.array(kept_points, dtype=np.float32)


def _overlaps(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of a (2, 2) box, two corners, with (N, 2, 2) boxes."""
    sides = np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0])
    shared = np.clip(sides, 0.0, None).prod(axis=1)
    areas = (boxes[:, 1] - boxes[:, 0]).prod(axis=1)
    return shared / np.maximum((box[1] - box[0]).prod() + areas - shared, 1e-12)
