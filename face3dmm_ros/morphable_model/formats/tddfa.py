"""The Basel Face Model as 3DDFA has it (Guo et al., ECCV 2020; Zhu et al., CVPR 2016): a folder, or version 2's pickle.

Version 1's folder ``train.configs`` has u_shp.npy, u_exp.npy (3N, 1), w_shp_sim.npy, w_exp_sim.npy (3N, C) and
keypoints_sim.npy, 204 rows of 68 points; the triangles are in tri.mat, one-based, there or in ``visualize`` beside it.
Version 2's ``configs`` has all in bfm_noneck_v3.pkl, by the names u, w_shp, w_exp, keypoints and tri, (3, M)
zero-based, or the triangles in tri.pkl, which its own code prefers. µm; row 3i + k is coordinate k of vertex i. Its
code turns y about, from up to an image's downward, and nothing else: x is to the person's left, y up and z out of the
face, as `SourceHead` wants them; so has version 1's public mean, whose nose lies before the eyes and these above the
mouth. The files are licensed to their user and do not ship with this package.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import IBUG68
from face3dmm_ros.files.matlab_struct import read_matrices
from face3dmm_ros.files.npy_file import read_npy
from face3dmm_ros.files.safe_pickle import read_pickle
from face3dmm_ros.morphable_model.formats.pickled_parts import dictionary, finite_numbers
from face3dmm_ros.morphable_model.formats.source_head import Basis, SourceHead, in_our_convention, numbered
from face3dmm_ros.morphable_model.model import MOST_TRIANGLES, MOST_VERTICES, MorphableModel, SurfacePoints

_PICKLE = "bfm_noneck_v3.pkl"
_FIELDS = ("u", "w_shp", "w_exp", "keypoints")
_MILLIMETRES_PER_UNIT = 1e-3
_POSE, _SHAPE = 12, 40
"""Of the parameters whose spread is told: a pose, then identity, then expression."""
_SPREADS = (("param_mean_std_62d_120x120.pkl", "mean", "std"), ("param_whitening.pkl", "param_mean", "param_std"))
_TYPICAL = {"w_shp": 1.5, "w_exp": 1.0}
"""mm that one standard deviation of the first component moves a vertex by, root mean square, where no spread is told;
by hand, after the Basel Face Model's. The later ones move it by less, as 1/√k."""


def load(path: Path, pickled: Any = None) -> MorphableModel:
    """Read a 3DDFA model, without colours.

    Where param_mean_std_62d_120x120.pkl or param_whitening.pkl lies beside, σ is what it tells of the 40 identity and
    10 expression coefficients, and the mean face is that of its mean coefficients; those that it does not tell of are
    left out, as 3DDFA does. Else σ is such that a component moves the face by a typical amount. Expressions, ``exp_00``
    and on, are unbounded.

    Args:
        path: of the folder, or of version 2's file.
        pickled: what version 2's file holds, where it was read already.

    Raises:
        Face3DMMError: not readable, a part missing, or parts that are not finite numbers or do not fit together.
    """
    folder = path if path.is_dir() else path.parent
    parts = _version_1(path) if path.is_dir() and not (path / _PICKLE).exists() else _version_2(path, pickled)
    mean = finite_numbers(path, "u", parts["u"]).ravel()
    count = len(mean) // 3
    if not count or len(mean) != 3 * count or count > MOST_VERTICES:
        raise Face3DMMError(f"{path}: u must have 3N numbers of up to {MOST_VERTICES} vertices, found {len(mean)}")
    columns = {name: finite_numbers(path, name, parts[name]) for name in ("w_shp", "w_exp")}
    for name, each in columns.items():
        if each.ndim != 2 or len(each) != len(mean):
            raise Face3DMMError(f"{path}: {name} must have shape ({len(mean)}, C), found {each.shape}")
    triangles = finite_numbers(path, "tri", parts["tri"])
    if triangles.ndim != 2 or triangles.shape[0] != 3 or not 0 < triangles.shape[1] <= MOST_TRIANGLES:
        raise Face3DMMError(f"{path}: tri must have shape (3, M), found {triangles.shape}")
    rows = finite_numbers(path, "keypoints", parts["keypoints"]).ravel()
    if len(rows) != 204 or (rows != np.round(rows)).any() or rows.min() < 0 or rows.max() >= len(mean):
        raise Face3DMMError(f"{path}: keypoints must be 204 rows of 0 to {len(mean) - 1}, found {len(rows)}")
    bases, shift = _bases(folder, columns)
    return in_our_convention(
        SourceHead(
            name=path.stem,
            unit=_MILLIMETRES_PER_UNIT,
            mean=(mean + shift).reshape(-1, 3),
            triangles=triangles.T.astype(np.int64),
            shape=bases["w_shp"],
            expression=bases["w_exp"],
            expression_names=numbered(len(bases["w_exp"].sigma)),
            landmarks={IBUG68: SurfacePoints.at_vertices(rows[::3].astype(np.int64) // 3)},
        )
    )


def _version_1(folder: Path) -> dict[str, Any]:
    found = {name: read_npy(folder / f"{name}.npy") for name in ("u_shp", "u_exp", "w_shp_sim", "w_exp_sim")}
    means = [finite_numbers(folder, name, found[name]).ravel() for name in ("u_shp", "u_exp")]
    if means[0].shape != means[1].shape:
        raise Face3DMMError(f"{folder}: u_shp has {means[0].size} numbers and u_exp {means[1].size}; expected as many")
    places = (folder / "tri.mat", folder / "visualize" / "tri.mat", folder.parent / "visualize" / "tri.mat")
    place = next((each for each in places if each.exists()), None)
    if place is None:
        raise Face3DMMError(f"{folder} has no triangles: put 3DDFA's visualize/tri.mat there")
    return {
        "u": means[0] + means[1],
        "w_shp": found["w_shp_sim"],
        "w_exp": found["w_exp_sim"],
        "keypoints": read_npy(folder / "keypoints_sim.npy"),
        "tri": read_matrices(place, {"tri": 3 * MOST_TRIANGLES})["tri"] - 1.0,
    }


def _version_2(path: Path, pickled: Any) -> dict[str, Any]:
    file = path / _PICKLE if path.is_dir() else path
    found = dictionary(file, read_pickle(file) if pickled is None else pickled)
    beside = file.parent / "tri.pkl"
    triangles = read_pickle(beside) if beside.exists() and file.name == _PICKLE else found.get("tri")
    parts = {**{name: found.get(name) for name in _FIELDS}, "tri": triangles}
    missing = [name for name, part in parts.items() if part is None]
    if missing:
        raise Face3DMMError(f"{file} has no {missing[0]}; 3DDFA's model has {', '.join(_FIELDS)} and tri, or tri.pkl")
    return parts


def _bases(folder: Path, columns: dict[str, NDArray[np.float64]]) -> tuple[dict[str, Basis], Any]:
    """Components, and what their mean coefficients add to the mean."""
    for name, mean_key, deviation_key in _SPREADS:
        if (folder / name).exists():
            return _told(folder / name, mean_key, deviation_key, columns)
    return {name: Basis(each, _typical_sigma(each, _TYPICAL[name])) for name, each in columns.items()}, 0.0


def _told(
    path: Path, mean_key: str, deviation_key: str, columns: dict[str, NDArray[np.float64]]
) -> tuple[dict[str, Basis], NDArray[np.float64]]:
    found = dictionary(path, read_pickle(path))
    mean, deviation = (finite_numbers(path, key, found.get(key)).ravel() for key in (mean_key, deviation_key))
    told = len(mean) - _POSE - _SHAPE
    shapes, expressions = (columns[name].shape[1] for name in ("w_shp", "w_exp"))
    if len(mean) != len(deviation) or told < 1 or shapes < _SHAPE or expressions < told:
        raise Face3DMMError(
            f"{path} tells of {len(mean)} and {len(deviation)} parameters: expected {_POSE} of the pose, {_SHAPE} of "
            f"identity and those of expression, of the {shapes} and {expressions} there"
        )
    shape, expression = slice(_POSE, _POSE + _SHAPE), slice(_POSE + _SHAPE, None)
    bases = {
        "w_shp": Basis(columns["w_shp"][:, :_SHAPE], deviation[shape]),
        "w_exp": Basis(columns["w_exp"][:, :told], deviation[expression]),
    }
    return bases, bases["w_shp"].columns @ mean[shape] + bases["w_exp"].columns @ mean[expression]


def _typical_sigma(columns: NDArray[np.float64], millimetres: float) -> NDArray[np.float64]:
    """Of components with no spread told: each moves a vertex by so many mm, less with its place."""
    moved = _MILLIMETRES_PER_UNIT * np.sqrt(3.0 * np.square(columns).mean(axis=0))
    return millimetres / np.sqrt(1.0 + np.arange(columns.shape[1])) / np.maximum(moved, 1e-12)
