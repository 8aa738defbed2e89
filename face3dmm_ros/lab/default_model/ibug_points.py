"""The 68 iBUG points (Sagonas et al., 300 Faces in-the-Wild, ICCV workshops 2013), placed by anatomy on the mean."""

import functools

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.landmark_schemes import FACE_OVAL
from face3dmm_ros.correspondence.surface import nearest_on_surface
from face3dmm_ros.lab.default_model.anatomy import Anatomy
from face3dmm_ros.lab.default_model.curves import interpolated
from face3dmm_ros.lab.default_model.face_mesh_points import along_loop, corners
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints

# What is set here of the jaw was settled by comparing the mean's points with those of AFLW2000-3D's mean
# (docs/model.md); the other numbers are chosen by hand.
# Height of the jaw line's ends above the eyes' middle, and how far they lie behind Face Mesh's outline, mm: as in
# 300W-LP (Zhu et al., CVPR 2016), the jaw's points keep their place on the head and end just before the ear.
_JAW_TOP, _JAW_BEHIND = -7.0, 8.0
# Face Mesh's lower and upper row along the left brow, from the nose side, and how far between them iBUG's points run.
_LEFT_BROW = (285, 295, 282, 283, 276), (336, 296, 334, 293, 300)
_BROW_HEIGHT = 1 / 3
_LEFT_INNER_EYE_CORNER = 362
# Face Mesh's points down the bridge of the nose, and below it from the right nostril to the left.
_BRIDGE = (168, 6, 197, 195, 5, 4, 1)
# Where the bridge's points begin, mm above the eyes' middle, and end, as an index into those.
_BRIDGE_TOP, _BRIDGE_END = -2.2, 5.3
_NOSTRILS = (98, 97, 2, 326, 327)
# Shares of the way from corner to corner in x: cupid's bow, lower lip, inner lips, and the eyelids' thirds.
_OUTER_UPPER = np.array([0.015, 0.20, 0.39, 0.5, 0.61, 0.80, 0.985])
_OUTER_LOWER = np.array([0.0, 0.20, 0.37, 0.5, 0.63, 0.80, 1.0])
_INNER = np.array([0.02, 0.34, 0.5, 0.66, 0.98])
_EYELID = np.array([0.0, 0.30, 0.68, 1.0])


def locate_ibug_points(model: MorphableModel, anatomy: Anatomy, mediapipe: SurfacePoints) -> SurfacePoints:
    """The 68 points on the mean face, in iBUG's order."""
    mean = model.mean.astype(np.float64)
    skin = model.regions["skin"] - model.regions["ears"] > 0.5
    surface = model.triangles[skin[model.triangles].all(axis=1) & (mean[model.triangles][:, :, 2].min(axis=1) > -95)]
    dense = mediapipe.interpolate(mean).astype(np.float64)
    free = np.vstack([_jaw(dense), _brows(dense), _nose(dense)])
    on_skin = nearest_on_surface(free, mean, surface)
    parts = [on_skin, *_eyes(mean, anatomy), *_lips(mean, anatomy)]
    return functools.reduce(SurfacePoints.followed_by, parts)


def _jaw(dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """0–16: along Face Mesh's outline from beside the right eye over the chin, evenly spaced as seen from the front."""
    outline = dense[list(FACE_OVAL)]
    chin = FACE_OVAL.index(152)
    right = outline[chin : chin + 13]
    top = int(np.argmax(right[:, 1] > _JAW_TOP))
    share = (_JAW_TOP - right[top - 1, 1]) / (right[top, 1] - right[top - 1, 1])
    right = np.vstack([right[:top], right[top - 1] + share * (right[top] - right[top - 1])])
    right = _even(right, right[:, :2], 9)
    right[0, 0] = 0.0
    right[:, 2] -= _JAW_BEHIND * np.minimum(np.arange(9) / 4, 1.0)
    return np.vstack([right[::-1], right[1:] * [-1, 1, 1]])


def _brows(dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """17–26: along the brows from the right tail to the left, evenly spaced as seen from the front.

    A brow begins above the inner corner of its eye, and its points run between Face Mesh's two rows, nearer to the
    lower one.
    """
    lower, upper = dense[list(_LEFT_BROW[0])], dense[list(_LEFT_BROW[1])]
    line = lower + _BROW_HEIGHT * (upper - lower)
    across = np.linspace(dense[_LEFT_INNER_EYE_CORNER, 0], line[-1, 0], 5)
    left = np.column_stack([across, interpolated(across, line[:, 0], line[:, 1:])])
    return np.vstack([left[::-1] * [-1, 1, 1], left])


def _nose(dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """27–30 down the bridge from between the eyes to the tip, evenly spaced; 31–35 below it, nostril to nostril."""
    bridge = dense[list(_BRIDGE)]
    top = float(np.interp(-_BRIDGE_TOP, -bridge[:, 1], np.arange(len(bridge))))
    fine = interpolated(np.linspace(top, _BRIDGE_END, 12), np.arange(float(len(bridge))), bridge)
    nostrils = dense[list(_NOSTRILS)]
    nostrils[[0, 4]] += 0.45 * (nostrils[[1, 3]] - nostrils[[0, 4]])
    return np.vstack([_even(fine, fine, 4), nostrils])


def _even(line: NDArray[np.float64], seen: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(count, 3) points along a polyline (n, 3), evenly spaced by the length of the line as `seen`, (n, 2 or 3)."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(seen, axis=0), axis=1))])
    return interpolated(np.linspace(0.0, length[-1], count), length, line)


def _eyes(mean: NDArray[np.float64], anatomy: Anatomy) -> list[SurfacePoints]:
    """36–47: outer corner, upper lid, inner corner, lower lid of the right eye; inner corner first for the left."""
    parts = []
    left, right = anatomy.left_eyelids["lash_line"], anatomy.right_eyelids["lash_line"]
    # The right loop is the left one's mirror image and runs the other way round; shares count from the person's right.
    for loop, shares in ((right[::-1], _EYELID), (left, 1 - _EYELID[::-1])):
        first, last = corners(mean, loop)
        parts.append(along_loop(mean, loop, first, last, shares[:-1]))
        parts.append(along_loop(mean, loop, last, first, (1 - shares)[:0:-1]))
    return parts


def _lips(mean: NDArray[np.float64], anatomy: Anatomy) -> list[SurfacePoints]:
    """48–59 along the vermilion border, 60–67 where the lips meet; both from the right corner over the upper lip.

    The lower lip's border is the loop that detectors see as its border, a little inside of the mesh's own.
    """
    parts = []
    border, below, meeting = anatomy.lips[0], anatomy.lips[1], anatomy.lips[-1]
    for above, under, upper, lower in ((border, below, _OUTER_UPPER, _OUTER_LOWER), (meeting, meeting, _INNER, _INNER)):
        parts.append(along_loop(mean, above, *corners(mean, above), upper))
        parts.append(along_loop(mean, under, *corners(mean, under)[::-1], lower[1:-1]))
    return parts
