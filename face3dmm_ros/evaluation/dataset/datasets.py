"""Labelled pictures on disk: AFLW2000-3D, 300W-LP and folders of iBUG's .pts files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.truth_files import check_truth_file, matlab_shapes, read_matrices, read_text

LANDMARK_COUNT = 68
"""Of iBUG's scheme (Sagonas et al., 300 Faces in-the-Wild Challenge, 2013)."""


@dataclass(frozen=True, eq=False)
class FaceTruth:
    """What is known of the face in a picture.

    Attributes:
        points: (68, 2) float64, px, in iBUG's order.
        depth: (68,) float64, px, smaller is nearer to the camera; None where unknown.
        pose: (pitch, yaw, roll), radians, as `camera.rotation_from_pose_angles` takes them; None where unknown.
        shape: the coefficients that made the face and their model's digest, for rendered faces; otherwise None.
    """

    points: NDArray[np.float64]
    depth: NDArray[np.float64] | None = None
    pose: tuple[float, float, float] | None = None
    shape: "ShapeTruth | None" = None


@dataclass(frozen=True, eq=False)
class ShapeTruth:
    """Exact coefficients: (K,) α and (E,) β of the model with this digest."""

    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    model_digest: str


@dataclass(frozen=True)
class DatasetFormat:
    """The layout of a data set on disk, and the meaning of its outline landmarks.

    Attributes:
        truth_suffix: of the file beside a picture that holds its truth.
        nested: pictures lie in subfolders.
        visible_outline: outline landmarks mark the visible edge of the face; otherwise they are fixed points of the
            skin, which turning the head can hide.
        read: the truth of a picture, given its path.
    """

    truth_suffix: str
    nested: bool
    visible_outline: bool
    read: Callable[[Path], FaceTruth]


def dataset_format(name: str) -> DatasetFormat:
    """The format of that name.

    Raises:
        Face3DMMError: the name is unknown.
    """
    if name not in FORMATS:
        raise Face3DMMError(f"unknown data set format {name!r}; known: {', '.join(FORMATS)}")
    return FORMATS[name]


def read_aflw2000(picture: Path) -> FaceTruth:
    """The truth in AFLW2000-3D's .mat beside a picture (Zhu et al., CVPR 2016).

    `pt3d_68` holds x, y and z in rows, z toward the viewer. Its outline points are fixed points of the skin. Whether
    its pixels count from 0 or 1 is documented nowhere; here it is 0. Sets that this package renders also carry `alpha`,
    `beta` and `model_digest`.

    Raises:
        Face3DMMError: the file is missing or damaged, or its fields are missing or of another shape.
    """
    path = picture.with_suffix(".mat")
    fields = read_matrices(path, {"pt3d_68": (3, LANDMARK_COUNT), "Pose_Para": (1, 7)})
    points = fields["pt3d_68"]
    check_extent(path, points[:2].T)
    return FaceTruth(points[:2].T.copy(), -points[2], _pose(fields), _shape(path))


def read_300w_lp(picture: Path) -> FaceTruth:
    """The truth of a picture of 300W-LP, which is laid out like AFLW2000-3D but in subfolders.

    The published .mat files have no `pt3d_68`; the projections of the 3D points are `pts_3d` in
    ``landmarks/SUBSET/NAME_pts.mat``, without depth.

    Raises:
        Face3DMMError: as `read_aflw2000`.
    """
    path = picture.with_suffix(".mat")
    companion = picture.parent.parent / "landmarks" / picture.parent.name / f"{picture.stem}_pts.mat"
    if not companion.is_file():
        return read_aflw2000(picture)
    points = read_matrices(companion, {"pts_3d": (LANDMARK_COUNT, 2)})["pts_3d"]
    check_extent(companion, points)
    return FaceTruth(points, pose=_pose(read_matrices(path, {"Pose_Para": (1, 7)})))


def read_pts(picture: Path) -> FaceTruth:
    """The 68 points in the .pts file beside a picture, whose pixels count from 1 (Sagonas et al., 2013).

    Raises:
        Face3DMMError: the file is missing, or has another format or number of points.
    """
    path = picture.with_suffix(".pts")
    check_truth_file(path)
    head, brace, rest = path.read_text(encoding="ascii", errors="replace").partition("{")
    body, closing, _ = rest.partition("}")
    if not (head.startswith("version") and brace and closing):
        raise Face3DMMError(f"{path.name} is not a .pts file: expected 'version: 1', then points between {{ and }}")
    try:
        numbers = np.array([float(word) for word in body.split()])
    except ValueError as error:
        raise Face3DMMError(f"{path.name} holds something other than numbers between {{ and }}: {error}") from error
    if numbers.size != 2 * LANDMARK_COUNT:
        raise Face3DMMError(f"{path.name} holds {numbers.size} coordinates, expected {LANDMARK_COUNT} points")
    points = numbers.reshape(LANDMARK_COUNT, 2) - 1.0
    check_extent(path, points)
    return FaceTruth(points)


FORMATS: Mapping[str, DatasetFormat] = {
    "aflw2000": DatasetFormat(".mat", nested=False, visible_outline=False, read=read_aflw2000),
    "300wlp": DatasetFormat(".mat", nested=True, visible_outline=False, read=read_300w_lp),
    "pts": DatasetFormat(".pts", nested=True, visible_outline=True, read=read_pts),
}


def check_extent(path: Path, points: NDArray[np.float64]) -> None:
    """Check that points (N, 2), px, can be a face's.

    Raises:
        Face3DMMError: they are not finite, span less than 1 px in x or y, or lie beyond 100,000 px.
    """
    if not np.isfinite(points).all():
        raise Face3DMMError(f"{path.name} holds points that are not finite (NaN or infinity)")
    if (np.ptp(points, axis=0) < 1.0).any() or np.abs(points).max() > 1e5:
        raise Face3DMMError(f"{path.name} holds points that cannot be a face's: they span {np.ptp(points, axis=0)} px")


def _pose(fields: Mapping[str, NDArray[np.float64]]) -> tuple[float, float, float]:
    """(pitch, yaw, roll), radians in [−π, π): some published angles went round more than once."""
    pitch, yaw, roll = ((float(angle) + np.pi) % (2.0 * np.pi) - np.pi for angle in fields["Pose_Para"][0, :3])
    return pitch, yaw, roll


def _shape(path: Path) -> ShapeTruth | None:
    """The exact coefficients of a rendered face, where the file carries them."""
    found = matlab_shapes(path)
    if "model_digest" not in found or any(found.get(name, ())[:1] != (1,) for name in ("alpha", "beta")):
        return None
    fields = read_matrices(path, {"alpha": (1, None), "beta": (1, None)})
    return ShapeTruth(fields["alpha"][0], fields["beta"][0], read_text(path, "model_digest"))
