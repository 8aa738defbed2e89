"""The front of the Basel Face Model of 2009 as Deep3DFaceReconstruction has it: `BFM_model_front.mat`.

Deng et al., Accurate 3D Face Reconstruction with Weakly-Supervised Learning, CVPR Workshops 2019: S = meanshape +
idBase·α + exBase·β and T = meantex + texBase·γ over 35,709 vertices, in decimetres and in colours of [0, 255]. The
bases are already times the standard deviations, so that those of the coefficients are 1. Triangles tri, (M, 3), and
iBUG's 68 points, keypoints, are from one. Layout and formulas as `models/bfm.py` and `util/load_mats.py` of
Deep3DFaceRecon_pytorch have them.
"""

from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import IBUG68, SCHEME_SIZES
from face3dmm_ros.files.matlab_struct import read_matrices
from face3dmm_ros.morphable_model.formats.matlab_parts import (
    MOST_BASIS_NUMBERS,
    MOST_COMPONENTS,
    MOST_COORDINATES,
    columns,
    indices,
    points,
    triangles,
)
from face3dmm_ros.morphable_model.formats.source_head import Basis, SourceHead, in_our_convention, numbered
from face3dmm_ros.morphable_model.model import MOST_TRIANGLES, MorphableModel, SurfacePoints, check_counts

_MILLIMETRES_PER_UNIT = 100.0
_MATRICES = {
    "meanshape": MOST_COORDINATES,
    "idBase": MOST_BASIS_NUMBERS,
    "exBase": MOST_BASIS_NUMBERS,
    "meantex": MOST_COORDINATES,
    "texBase": MOST_BASIS_NUMBERS,
    "tri": 3 * MOST_TRIANGLES,
    "keypoints": MOST_COMPONENTS,
}


def load(path: Path) -> MorphableModel:
    """Read a model; what it has for training is left out.

    Raises:
        Face3DMMError: the file cannot be read, lacks a part, or has parts that are not finite, too large, or do not fit
            together.
    """
    fields = read_matrices(path, _MATRICES)
    mean = points(path, fields, "meanshape")
    count = len(mean)
    most = max(fields[name].shape[1] for name in ("idBase", "exBase", "texBase"))
    check_counts(str(path), count, len(fields["tri"]), most)
    landmarks = indices(path, fields, "keypoints", count).ravel()
    if len(landmarks) != SCHEME_SIZES[IBUG68]:
        raise Face3DMMError(f"{path}: keypoints must name {SCHEME_SIZES[IBUG68]} vertices, found {len(landmarks)}")
    shape, expression, albedo = (
        Basis.of_unit_sigma(columns(path, fields, name, count)) for name in ("idBase", "exBase", "texBase")
    )
    return in_our_convention(
        SourceHead(
            name=path.stem,
            unit=_MILLIMETRES_PER_UNIT,
            mean=mean,
            triangles=triangles(path, fields, "tri", count),
            shape=shape,
            expression=expression,
            expression_names=numbered(len(expression.sigma)),
            albedo_mean=points(path, fields, "meantex"),
            albedo=albedo,
            colour_unit=1.0 / 255.0,
            landmarks={IBUG68: SurfacePoints.at_vertices(landmarks)},
        )
    )
