"""FLAME: Faces Learned with an Articulated Model and Expressions (Li et al., SIGGRAPH Asia 2017), 2019 to 2023.

A pickle or an .npz with v_template (N, 3) in metres, f, shapedirs (N, 3, 300 + E) of identity and then expression,
posedirs (N, 3, 36), J_regressor (5, N), weights (N, 5) and kintree_table (2, 5): the layout that FLAME_PyTorch and
smplx read. The joints are the root, the neck, the jaw and the two eyes. Beside it may lie its landmarks
(``landmark_embedding.npy`` of DECA; or ``flame_static_embedding.pkl`` and ``flame_dynamic_embedding.npy`` of RingNet),
and the regions of ``FLAME_masks.pkl``. The files are licensed to their user and do not ship with this package.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import IBUG68
from face3dmm_ros.core.regular_file import require_regular
from face3dmm_ros.core.rotations import rotation_from_vector
from face3dmm_ros.files.array_archive import MOST_BYTES, ArrayArchive
from face3dmm_ros.files.npy_file import read_npy
from face3dmm_ros.files.safe_pickle import read_pickle
from face3dmm_ros.morphable_model.formats.pickled_parts import dictionary, finite_numbers
from face3dmm_ros.morphable_model.formats.source_head import Basis, SourceHead, in_our_convention, numbered
from face3dmm_ros.morphable_model.formats.turning_joints import Turn, bounds, column, eye_turns
from face3dmm_ros.morphable_model.model import MOST_VERTICES, MorphableModel, SurfacePoints

FIELDS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
_MILLIMETRES_PER_UNIT = 1e3
_IDENTITIES = 300
"""Columns of shapedirs that are identity's, as FLAME_PyTorch divides them."""
_JAW, _EYES = 2, (3, 4)
_PARENTS = [0, 1, 1, 1]
"""Of all joints but the root."""
_REGIONS = {
    "face": ("face",),
    "lips": ("lips",),
    "neck": ("neck", "boundary"),
    "scalp": ("scalp",),
    "ears": ("left_ear", "right_ear"),
}
"""Ours, of those in FLAME_masks.pkl. The eyeballs are told by the joints that turn them."""


# By hand. A mouth wide open is some 0.45 rad, speech some 0.1; a jaw goes aside by a tenth of its length.
_JAW_TURNS = (
    Turn("jaw_open", (1.0, 0.0, 0.0), 0.3, 0.0, 0.45, 0.15),
    Turn("jaw_left", (0.0, 1.0, 0.0), 0.1, -0.15, 0.15, 0.05),
)


class Skin(NamedTuple):
    """What a joint carries along, in metres.

    Attributes:
        vertices: (N, 3).
        correctives: posedirs, (N, 3, 36).
        joints: (5, 3).
        weights: (N, 5).
    """

    vertices: NDArray[np.float64]
    correctives: NDArray[np.float64]
    joints: NDArray[np.float64]
    weights: NDArray[np.float64]

    def turned(self, joint: int, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Linear blend skinning where one joint without children turns by a rotation vector, rad: (N, 3).

        T′ = T + P·vec(R − I); and T′ + w (R − I)(T′ − J), since the weights of a vertex sum to 1.
        """
        change = rotation_from_vector(vector) - np.eye(3)
        corrected = self.vertices + self.correctives[:, :, 9 * (joint - 1) : 9 * joint] @ change.ravel()
        return corrected + self.weights[:, joint, None] * ((corrected - self.joints[joint]) @ change.T)


def load(path: Path, pickled: Any = None) -> MorphableModel:
    """Read a FLAME model, with all its components; σ is 1 for identity and expression.

    After the expressions ``exp_00`` and on come the jaw's and the eyes' turns, in radians: ``jaw_open``, ``jaw_left``
    (toward the person's left), ``eye_left_yaw``, ``eye_left_pitch`` and so on the right, where yaw is toward the
    person's left and pitch up. The neck is left to the pose. The columns are secants of the mean's skinning with
    posedirs: through rest and 0.3 rad for the opening jaw, and through both sides for what turns both ways. At a point
    r from the joint's axis, true skinning differs by r |(1 − cos φ) − φ/φ₀ (1 − cos φ₀)| across and
    r |sin φ − φ/φ₀ sin φ₀| along the way of a jaw of φ₀ = 0.3: 1.1 mm up to φ₀ and 3.4 mm at 0.45 rad, where
    r = 100 mm; and by r (1 − cos φ) of an eye: 0.2 mm at 0.2 rad and 1.5 mm at 0.5 rad, where r = 12 mm. Joints stay
    where the mean has them.

    Args:
        path: of the model.
        pickled: what the file holds, where it is a pickle that was read already.

    Raises:
        Face3DMMError: not readable, a field missing, or fields that are not finite numbers or do not fit together.
    """
    fields = _fields(path) if pickled is None else dictionary(path, pickled)
    vertices = _numbers(path, fields, "v_template", (None, 3))
    count = len(vertices)
    if not 0 < count <= MOST_VERTICES:
        raise Face3DMMError(f"{path}: v_template has {count} vertices; a face model has 1 to {MOST_VERTICES}")
    triangles = _indices(path, fields, "f", count)
    components = _numbers(path, fields, "shapedirs", (count, 3, None)).reshape(3 * count, -1)
    if components.shape[1] < _IDENTITIES:
        raise Face3DMMError(
            f"{path}: shapedirs has {components.shape[1]} columns; FLAME has {_IDENTITIES} of identity, and then those "
            "of expression"
        )
    weights = _numbers(path, fields, "weights", (count, 5))
    if not (np.abs(weights.sum(axis=1) - 1.0) < 1e-3).all():
        raise Face3DMMError(f"{path}: the weights of each vertex must sum to 1")
    parents = _numbers(path, fields, "kintree_table", (2, 5))[0, 1:]
    if parents.tolist() != _PARENTS:
        raise Face3DMMError(f"{path}: kintree_table must have the parents {_PARENTS} of neck, jaw and eyes")
    joints = _numbers(path, fields, "J_regressor", (5, count)) @ vertices
    skin = Skin(vertices, _numbers(path, fields, "posedirs", (count, 3, 36)), joints, weights)
    turns, columns = _turns(skin)
    expressions = components.shape[1] - _IDENTITIES
    free = np.repeat([[-np.inf], [np.inf]], expressions, axis=1)
    carried = (weights[:, list(_EYES)].max(axis=1) > 0.5).astype(np.float32)
    return in_our_convention(
        SourceHead(
            name=path.stem,
            unit=_MILLIMETRES_PER_UNIT,
            mean=vertices,
            triangles=triangles,
            shape=Basis(components[:, :_IDENTITIES], np.ones(_IDENTITIES)),
            expression=Basis(
                np.concatenate([components[:, _IDENTITIES:], columns], axis=1),
                np.concatenate([np.ones(expressions), [turn.sigma for turn in turns]]),
            ),
            expression_names=numbered(expressions) + [turn.name for turn in turns],
            expression_bounds=np.concatenate([free, bounds(turns)], axis=1),
            landmarks=_landmarks(path.parent, triangles),
            eyes=joints[list(_EYES)],
            regions={**_regions(path.parent / "FLAME_masks.pkl", count), "eyes": carried},
        )
    )


def _fields(path: Path) -> Mapping[str, Any]:
    require_regular(path, MOST_BYTES)
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    if zipped:
        with ArrayArchive(path, "a FLAME model (.npz)") as archive:
            return {name: archive.read(name) for name in FIELDS if name in archive.keys}
    return dictionary(path, read_pickle(path))


def _numbers(path: Path, fields: Mapping[str, Any], name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """A field as finite numbers of a shape, where None is any length."""
    numbers = finite_numbers(path, name, fields.get(name))
    fits = len(numbers.shape) == len(shape) and all(b in (None, a) for a, b in zip(numbers.shape, shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise Face3DMMError(f"{path}: {name} must have shape ({wanted}), found {numbers.shape}")
    return numbers


def _indices(path: Path, fields: Mapping[str, Any], name: str, count: int) -> NDArray[np.int64]:
    """Triangles, (M, 3)."""
    found = _numbers(path, fields, name, (None, 3))
    if not len(found) or (found != np.round(found)).any() or found.min() < 0 or found.max() >= count:
        raise Face3DMMError(f"{path}: {name} must hold vertex numbers from 0 to {count - 1}")
    return found.astype(np.int64)


def _turns(skin: Skin) -> tuple[list[Turn], NDArray[np.float64]]:
    """The expressions by which joints turn, and their columns, (3N, C), in metres per radian."""
    left, right = sorted(_EYES, key=lambda joint: -skin.joints[joint, 0])
    of_joints = [(_JAW, turn) for turn in _JAW_TURNS]
    for joint, side in ((left, "left"), (right, "right")):
        of_joints += [(joint, turn) for turn in eye_turns(side)]
    columns = [column(partial(skin.turned, joint), turn) for joint, turn in of_joints]
    return [turn for _, turn in of_joints], np.stack(columns, axis=1)


def _landmarks(folder: Path, triangles: NDArray[np.int64]) -> dict[str, SurfacePoints]:
    """iBUG's points of the embeddings beside a model; the jaw line's are where a frontal face has them."""
    full, static, contour = (
        folder / name
        for name in ("landmark_embedding.npy", "flame_static_embedding.pkl", "flame_dynamic_embedding.npy")
    )
    if full.exists():
        fields = dictionary(full, read_npy(full))
        faces, weights = fields.get("full_lmk_faces_idx"), fields.get("full_lmk_bary_coords")
        if (
            isinstance(faces, np.ndarray)
            and isinstance(weights, np.ndarray)
            and (faces.size, weights.size) == (68, 204)
        ):
            return {IBUG68: _points(full, faces.ravel(), weights.reshape(68, 3), triangles)}
        raise Face3DMMError(f"{full} must hold full_lmk_faces_idx and full_lmk_bary_coords of 68 points")
    if static.exists() and contour.exists():
        inner = _embedded(static, read_pickle(static), 51, triangles)
        # A row for each degree of yaw, from straight ahead.
        rows = dictionary(contour, read_npy(contour))
        ahead = {name: _first(contour, rows, name) for name in ("lmk_face_idx", "lmk_b_coords")}
        return {IBUG68: _embedded(contour, ahead, 17, triangles).followed_by(inner)}
    return {}


def _first(path: Path, rows: Mapping[str, Any], name: str) -> Any:
    found = rows.get(name)
    if not (isinstance(found, list) or (isinstance(found, np.ndarray) and found.ndim)) or not len(found):
        raise Face3DMMError(f"{path} must hold rows of {name}")
    return found[0]


def _embedded(path: Path, found: Any, count: int, triangles: NDArray[np.int64]) -> SurfacePoints:
    fields = dictionary(path, found)
    faces = _numbers(path, fields, "lmk_face_idx", (count,))
    return _points(path, faces, _numbers(path, fields, "lmk_b_coords", (count, 3)), triangles)


def _points(path: Path, faces: NDArray, weights: NDArray, triangles: NDArray[np.int64]) -> SurfacePoints:
    if faces.dtype.kind not in "iuf" or weights.dtype.kind != "f" or weights.shape[1:] != (3,):
        raise Face3DMMError(f"{path}: landmarks must be numbers of triangles and three weights each")
    if not ((faces >= 0) & (faces < len(triangles))).all():
        raise Face3DMMError(f"{path}: landmarks must be on triangles 0 to {len(triangles) - 1}")
    return SurfacePoints(triangles[faces.astype(np.int64)].astype(np.int32), weights.astype(np.float32))


def _regions(path: Path, count: int) -> dict[str, NDArray[np.float32]]:
    if not path.exists():
        return {}
    fields, masks = dictionary(path, read_pickle(path)), {}
    for region, names in _REGIONS.items():
        mask = np.zeros(count, np.float32)
        for name in names:
            if name in fields:
                vertices = _numbers(path, fields, name, (None,))
                if not ((vertices >= 0) & (vertices < count)).all():
                    raise Face3DMMError(f"{path}: {name} must hold vertex numbers from 0 to {count - 1}")
                mask[vertices.astype(np.int64)] = 1.0
        if mask.any():
            masks[region] = mask
    return masks
