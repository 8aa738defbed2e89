"""Google's GNM Head: gnm_head.npz.

GNM, Generative aNthropometric Model (https://github.com/google/GNM, Apache-2.0), version 3; the layout is that of its
``gnm/shape/gnm_data_loader.py`` and ``gnm_common.py``, and of the package body-models: metres, x toward the person's
left, y up, z forward; template_vertex_positions (V, 3); vertex_identity_basis (K, V, 3) and expression_basis (E, V, 3),
whose coefficients are normal with variance 1; template_joint_positions (J, 3) with joint_names; triangles (M, 3);
vertex_groups (G, V) with vertex_group_names. Its 68 landmarks are a text file of its repository, head_sparse_68.txt,
which is read where it lies beside the model.

Its eyes' joints become linear expressions, ``eye_left_yaw`` and so on, as FLAME's do (`turning_joints`): they carry the
groups ``left_eye`` and ``right_eye``, where the file has these. The pose of head and neck is the fit's.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import IBUG68, SCHEME_SIZES
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.files.array_archive import ArrayArchive, Form
from face3dmm_ros.morphable_model.formats.source_head import Basis, SourceHead, in_our_convention
from face3dmm_ros.morphable_model.formats.turning_joints import Turn, bounds, column, eye_turns, rigidly
from face3dmm_ros.morphable_model.model import MorphableModel, SurfacePoints, check_counts

LANDMARKS = "head_sparse_68.txt"
_MILLIMETRES = 1_000.0  # The layout is in m.
_MOST_GROUPS, _MOST_JOINTS, _MOST_NAME_BYTES = 300, 100, 800
"""By hand: version 3.0 has some dozens of groups and four joints."""
_MOST_LANDMARK_BYTES = 100_000
_EYES = ("left_eye", "right_eye")
"""Joints at the eyeballs' centres."""
_REGIONS = {
    "skin": ("skin", "skin_exterior"),
    "face": ("face",),
    "eyes": ("eyes", *_EYES, "eye_exteriors", "eye_interiors", "eyeball_exterior", "eyeball_interior"),
    "lips": ("lips", "upper_lip", "lower_lip"),
    "ears": ("ears", "left_ear", "right_ear"),
    "neck": ("neck",),
    "scalp": ("scalp",),
    "teeth": ("teeth", "upper_teeth", "lower_teeth", "upper_teeth_and_gums", "lower_teeth_and_gums"),
    "mouth_interior": ("mouth_sock", "gums", "tongue"),
}
"""Our regions, and the groups of vertices that make each, under the names that versions of the layout have."""
_JAW, _CHIN = slice(0, 17), 8
"""Of iBUG's 68."""


def load(path: Path) -> MorphableModel:
    """Read a model of V vertices.

    Raises:
        Face3DMMError: it cannot be read, is damaged or too large, or a part is missing or does not fit.
    """
    with ArrayArchive(path, "a readable GNM model (gnm_head.npz)") as archive:
        return in_our_convention(_head(path, archive))


def _head(path: Path, archive: ArrayArchive) -> SourceHead:
    def form(key: str, kinds: str, *shape: int | None) -> Form:
        """What an array is, before it is read; None in a shape stands for any length."""
        found = archive.form(key)
        if found is None:
            raise Face3DMMError(f"{path} lacks a part of the model: {key}")
        fits = len(found.shape) == len(shape) and all(
            length in (None, held) for length, held in zip(shape, found.shape, strict=True)
        )
        if not fits or found.dtype.kind not in kinds or found.dtype.itemsize > _MOST_NAME_BYTES:
            wanted = ", ".join("any" if length is None else str(length) for length in shape)
            raise Face3DMMError(
                f"{path}: {key} must have shape ({wanted}) and kind {kinds}, found {found.dtype} of shape {found.shape}"
            )
        return found

    def names(key: str, count: int) -> list[str]:
        form(key, "U", count)
        return [str(name) for name in archive.read(key)]

    count = form("template_vertex_positions", "f", None, 3).shape[0]
    identities = form("vertex_identity_basis", "f", None, count, 3).shape[0]
    expressions = form("expression_basis", "f", None, count, 3).shape[0]
    triangles = form("triangles", "iu", None, 3).shape[0]
    check_counts(str(path), count, triangles, max(identities, expressions))
    groups = form("vertex_groups", "fiub", None, count).shape[0]
    joints = form("template_joint_positions", "f", None, 3).shape[0]
    if groups > _MOST_GROUPS or joints > _MOST_JOINTS:
        raise Face3DMMError(
            f"{path} has {groups} groups of vertices and {joints} joints; up to {_MOST_GROUPS} and {_MOST_JOINTS} are "
            "read"
        )
    joint_names = names("joint_names", joints)
    if not set(_EYES) <= set(joint_names):
        raise Face3DMMError(f"{path}: its joints must have {' and '.join(_EYES)} among them, found {joint_names}")
    masks = dict(zip(names("vertex_group_names", groups), archive.read("vertex_groups"), strict=True))
    joint_places = archive.read("template_joint_positions")
    mean = archive.read("template_vertex_positions")
    eyes = np.array([joint_places[joint_names.index(eye)] for eye in _EYES], np.float64)
    turns, columns = _turns(mean.astype(np.float64), eyes, masks)
    expression = _basis(archive.read("expression_basis"))
    free = np.repeat([[-np.inf], [np.inf]], expressions, axis=1)
    return SourceHead(
        name="gnm_head",
        unit=_MILLIMETRES,
        mean=mean,
        triangles=archive.read("triangles").astype(np.int64),
        shape=_basis(archive.read("vertex_identity_basis")),
        expression=Basis(
            np.concatenate([expression.columns, columns], axis=1),
            np.concatenate([expression.sigma, [turn.sigma for turn in turns]]),
        ),
        expression_names=names("expression_names", expressions) + [turn.name for turn in turns],
        expression_bounds=np.concatenate([free, bounds(turns)], axis=1),
        landmarks=_landmarks(path.with_name(LANDMARKS), mean),
        eyes=eyes,
        regions={
            region: _united(masks[name] for name in parts if name in masks)
            for region, parts in _REGIONS.items()
            if masks.keys() & set(parts)
        },
    )


def _turns(
    mean: NDArray[np.float64], eyes: NDArray[np.float64], masks: dict[str, NDArray]
) -> tuple[list[Turn], NDArray[np.float64]]:
    """The expressions by which the eyes turn, and their columns, (3V, C), in metres per radian; none without groups."""
    turns: list[Turn] = []
    columns = [np.zeros((mean.size, 0))]
    for centre, group, side in zip(eyes, _EYES, ("left", "right"), strict=True):
        if group in masks:
            weights = np.clip(np.nan_to_num(masks[group].astype(np.float64)), 0.0, 1.0)
            turned = rigidly(mean, centre, weights)
            turns += eye_turns(side)
            # Numbers that are not finite the model refuses.
            with np.errstate(over="ignore", invalid="ignore"):
                columns += [column(turned, turn)[:, None] for turn in eye_turns(side)]
    return turns, np.concatenate(columns, axis=1)


def _basis(offsets: NDArray[np.floating]) -> Basis:
    """Components (C, V, 3) as columns, with standard deviation 1."""
    count, vertices, _ = offsets.shape
    return Basis(offsets.astype(np.float32).reshape(count, 3 * vertices).T, np.ones(count))


def _united(masks: Iterable[NDArray]) -> NDArray[np.float32]:
    """The strongest of some weights of vertices, (V,)."""
    return np.clip(np.nan_to_num(np.max([mask.astype(np.float32) for mask in masks], axis=0)), 0.0, 1.0)


def _landmarks(path: Path, mean: NDArray[np.floating]) -> dict[str, SurfacePoints]:
    """The 68 points of a text file: on each line three vertices with a weight behind each; none without a file."""
    if not path.exists():
        return {}
    size = SCHEME_SIZES[IBUG68]
    try:
        # Text can be anything; it is only ever read as numbers.
        rows = np.array([line.split() for line in read_regular(path, _MOST_LANDMARK_BYTES).splitlines()], np.float64)
        with np.errstate(invalid="ignore"):
            vertices, weights = rows[:, ::2].astype(np.int64), rows[:, 1::2]
        fits = rows.shape == (size, 6) and (vertices == rows[:, ::2]).all() and vertices.min() >= 0
    except Face3DMMError:
        raise
    except Exception as error:
        raise Face3DMMError(f"{path}: expected {size} lines of numbers: {error}") from error
    sums = weights.sum(axis=1, keepdims=True)
    if not fits or vertices.max() >= len(mean) or not (np.abs(sums - 1.0) < 0.01).all():
        raise Face3DMMError(
            f"{path}: expected {size} lines of three vertices from 0 to {len(mean) - 1}, each with its weight, which "
            "sum to 1"
        )
    # Written to three digits.
    points = SurfacePoints(vertices.astype(np.int32), (weights / sums).astype(np.float32))
    return {IBUG68: points.at(_down_and_up(points.interpolate(mean)))}


def _down_and_up(points: NDArray[np.floating]) -> NDArray[np.intp]:
    """An order of the 68 in which the jaw's run from one ear down to the chin and up to the other, as iBUG's do.

    In version 3.0's file those of the right cheek run the other way: its points 2 to 6 mirror 10 to 14 and not 14 to
    10.
    """
    order = np.arange(len(points))
    height = points[_JAW, 1]
    order[:_CHIN] = np.argsort(-height[:_CHIN], kind="stable")
    order[_CHIN + 1 : _JAW.stop] = _CHIN + 1 + np.argsort(height[_CHIN + 1 :], kind="stable")
    return order
