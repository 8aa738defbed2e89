"""Portraits with 189 points set by hand, as the Face Research Lab publishes them, and where the points lie on a model.

The template is that of DeBruine & Jones (Face Research Lab London Set; Young Adult White Faces, 2017): NAME.jpg with
NAME.json beside it, whose `points` are [x, y] px.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.lab.synthesis.people_folder import PeopleFolder

POINT_COUNT = 189
"""Points of the template."""

# fmt: off
_CURVES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    # Lids, from the outer corner, above and below; the right eye first.
    ((18, 19, 20, 21, 22), (33, 246, 161, 160, 159, 158, 157, 173, 133)),
    ((18, 28, 29, 30, 22), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((27, 26, 25, 24, 23), (263, 466, 388, 387, 386, 385, 384, 398, 362)),
    ((27, 33, 32, 31, 23), (263, 249, 390, 373, 374, 380, 381, 382, 362)),
    # Lips: corner, peaks and dip of the bow above, the outline below, and where they meet.
    ((87, 88, 89), (61, 185, 40, 39, 37)), ((89, 90, 91), (37, 0, 267)), ((91, 92, 93), (267, 269, 270, 409, 291)),
    ((87, 104, 105, 106), (61, 146, 91, 181, 84, 17)), ((106, 107, 108, 93), (17, 314, 405, 321, 375, 291)),
    ((87, 94, 95, 96, 97, 98, 93), (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)),
    ((87, 99, 100, 101, 102, 103, 93), (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)),
)
"""Curves of the template, and those of Face Mesh that they lie on: both have the same ends."""

_POINTS: tuple[tuple[int, tuple[int, ...]], ...] = (
    # Brows, the upper edge from the temple and then the lower one; the right one first.
    (71, (46, 70)), (72, (63,)), (73, (105,)), (74, (66,)), (75, (107,)), (76, (55,)), (83, (53, 52)), (84, (65,)),
    (82, (276, 300)), (81, (293,)), (80, (334,)), (79, (296,)), (78, (336,)), (77, (285,)), (86, (283, 282)),
    (85, (295,)),
    # Wings and base of the nose, nostrils, septum; the chin.
    (61, (131,)), (62, (49,)), (63, (64,)), (64, (240,)), (65, (79,)), (179, (238,)), (180, (141,)), (170, (97,)),
    (66, (360,)), (67, (279,)), (68, (294,)), (69, (460,)), (70, (309,)), (182, (458,)), (181, (370,)), (172, (326,)),
    (55, (94,)), (128, (176,)), (129, (152,)), (130, (400,)),
)
"""Points of the template and those of Face Mesh whose middle they lie on: the nearest in the mean over 37 portraits."""

_STILL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 234, 127, 162, 21, 54, 103, 67, 109, 93, 132,
          151, 9, 50, 280, 205, 425, 123, 352, 69, 299)
"""Face Mesh's points on forehead, temples and cheeks, about which the template says nothing."""

_FACE_OUTLINE = (*range(134, 145), 112, 113, 114, 133, 132, 131, 130, 129, 128, 127, 126, 125, 111, 110, 109)
"""The template's points along the hairline, before the ears and along the jaw: around bare skin."""
# fmt: on


@dataclass(frozen=True, eq=False)
class Portrait:
    """A photograph of a calm face from the front.

    Attributes:
        name: of the file.
        image: (H, W, 3) uint8 BGR.
        points: (189, 2) set by hand, px.
    """

    name: str
    image: NDArray[np.uint8]
    points: NDArray[np.float64]

    @staticmethod
    def read(path: Path) -> "Portrait":
        """Read NAME.jpg with NAME.json beside it.

        Raises:
            Face3DMMError: a file is missing or damaged, or there are not 189 points.
        """
        image = read_picture(path)
        beside = path.with_suffix(".json")
        try:
            points = np.array(json.loads(beside.read_text())["points"], np.float64)
        except OSError as error:
            raise Face3DMMError(
                f"{beside} cannot be read: {error.strerror}; it holds the points of {path.name}"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise Face3DMMError(
                f'{beside} is damaged: expected {{"points": [[x, y], …]}} with {POINT_COUNT} points, px'
            ) from error
        if points.shape != (POINT_COUNT, 2) or not np.isfinite(points).all():
            raise Face3DMMError(
                f"{beside} has points of shape {points.shape}, expected ({POINT_COUNT}, 2) finite numbers"
            )
        return Portrait(path.stem, image, points)

    @property
    def outline(self) -> NDArray[np.float64]:
        """(n, 2) px, a polygon along hairline, ears and jaw."""
        return self.points[list(_FACE_OUTLINE)]

    def correspondences(self, face_mesh: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where points of a model are, (n, 2) px, and where they should be, (n, 2) px.

        Args:
            face_mesh: (478, 2) Face Mesh's points on the model, projected into the picture, px.
        """
        at: dict[int, NDArray[np.float64]] = {}
        for hand, curve in _CURVES:
            at |= dict(zip(hand, _along(face_mesh[list(curve)], _shares(self.points[list(hand)])), strict=True))
        at |= {hand: face_mesh[list(middle)].mean(axis=0) for hand, middle in _POINTS}
        still = face_mesh[list(_STILL)]
        return np.concatenate([list(at.values()), still]), np.concatenate([self.points[list(at)], still])


def portraits_of(folder: str) -> list[Path]:
    """The neutral portraits in a folder, named as `PeopleFolder.parse` has it; ``*_smile*`` are left out.

    Raises:
        Face3DMMError: no such folder, no such portrait in it, or a name without a number where numbers count.
    """
    portraits = [path for path in PeopleFolder.parse(folder).pictures(nested=False) if "_smile" not in path.name]
    if not portraits:
        raise Face3DMMError(f"{folder} holds no neutral portraits")
    return portraits


def _shares(curve: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far along a polyline (n, 2) each of its points lies, from 0 to 1."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    return length / max(length[-1], 1e-9)


def _along(curve: NDArray[np.floating], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points (m, 2) of a polyline (n, 2) at shares (m,) of its length."""
    at = _shares(curve)
    return np.column_stack([np.interp(shares, at, curve[:, axis]) for axis in (0, 1)])
