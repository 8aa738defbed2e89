"""Pictures with the parameters of their faces: 300W-LP and AFLW2000-3D with a BFM, and what this package wrote.

Beside NAME.jpg stands NAME.mat. In that of 300W-LP (Zhu et al., CVPR 2016): ``Pose_Para`` (pitch, yaw, roll, tx, ty,
tz, scale), ``Shape_Para`` and ``Exp_Para``, often ``Tex_Para``, and the 68 landmarks, ``pt3d_68`` here or ``pts_3d`` in
the data set's ``landmarks/SUBSET/NAME_pts.mat``. In those that `face3dmm synth --format dataset` and `face3dmm label`
write: ``scale``, ``rotation``, ``translation``, ``alpha``, ``beta``, ``gamma`` (empty unless labelled by pixels),
``model_digest`` and ``pt3d_68``.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.evaluation.dataset.datasets import read_300w_lp
from face3dmm_ros.files.pictures import find_pictures, read_picture
from face3dmm_ros.files.truth_files import matlab_shapes, read_matrices, read_text
from face3dmm_ros.lab.training.cropped_faces import CroppedFaces
from face3dmm_ros.lab.training.face_chunks import FaceRecord
from face3dmm_ros.lab.training.picture_folder import CACHE, kept_faces
from face3dmm_ros.lab.training.samples import SampleForm
from face3dmm_ros.morphable_model import MorphableModel, load_model

_MISFIT = 0.04
"""Greatest RMS distance of a label's landmarks from the model's, in sides of their box; chosen by hand: less
refuses coarse labels, more takes those of another model."""
_OURS = {"alpha", "beta", "scale", "rotation", "translation"}


def open_labelled_folder(
    path: str | Path,
    model: str = "default",
    form: SampleForm | None = None,
    cache: str | Path | None = None,
) -> CroppedFaces:
    """A data set of labelled pictures; those without a .mat beside them are left out.

    Args:
        path: of the folder, which may have subfolders.
        model: the one that the labels are coefficients of; as `load_model` takes it.
        form: of the samples; where it has no γ the labels need none.
        cache: folder to keep the faces in; `CACHE` below the path if None.

    Raises:
        Face3DMMError: there is no labelled picture, a file is damaged, labels are of another model or lack the albedo
            that is asked for, or the cache cannot be written to.
    """
    folder, loaded = Path(path), load_model(model)
    pictures = [picture for picture in find_pictures(folder) if picture.with_suffix(".mat").is_file()]
    if not pictures:
        raise Face3DMMError(f"{folder} holds pictures, but none has its truth beside it, as NAME.mat")
    kept = kept_faces(
        pictures, Path(cache or folder / CACHE), "labelled", loaded, lambda picture: [read_labelled(picture, loaded)]
    )
    faces = CroppedFaces(kept, loaded, form)
    if faces.texture_count and not kept.albedo_known.all():
        without = np.flatnonzero(~kept.albedo_known)
        raise Face3DMMError(
            f"{len(without)} of {len(pictures)} labels have no albedo of the model {loaded.name}, such as "
            f"{pictures[without[0]].with_suffix('.mat')}: make them with `face3dmm label --fit-method photometric`, or "
            "set texture_count to 0"
        )
    return faces


def read_labelled(picture: Path, model: MorphableModel) -> FaceRecord:
    """A picture and the parameters in the .mat beside it.

    Raises:
        Face3DMMError: a file is missing or damaged, or the label belongs to another model.
    """
    label = picture.with_suffix(".mat")
    shapes = matlab_shapes(label)
    if shapes.keys() >= _OURS:
        truth = _own_label(label, model)
    elif "Shape_Para" in shapes:
        truth = _label_of_300w_lp(picture, label, model)
    else:
        raise Face3DMMError(
            f"{label} has neither Shape_Para, as 300W-LP, nor {', '.join(sorted(_OURS))}, as face3dmm writes: it holds "
            f"{', '.join(shapes) or 'nothing'}"
        )
    return FaceRecord(read_picture(picture, upright=False), *truth)


_Label = tuple[WeakPerspective, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Camera, all α, all β, all γ or none, landmarks (68, 2)."""


def _own_label(path: Path, model: MorphableModel) -> _Label:
    """A label in this package's own layout."""
    digest = read_text(path, "model_digest")
    if digest != model.digest:
        raise Face3DMMError(
            f"{path} holds coefficients of the model with digest {digest[:12] or '(none)'}…, expected {model.name} "
            f"({model.digest[:12]}…): name the model that the labels were made with"
        )
    expected = {
        "alpha": (1, model.shape_count), "beta": (1, model.expression_count), "scale": (1, 1), "rotation": (3, 3),
        "translation": (1, 2), "pt3d_68": (3, 68),
    }  # fmt: skip
    # What was labelled by landmarks alone has an empty one.
    if 0 not in matlab_shapes(path).get("gamma", (0,)):
        expected["gamma"] = (1, len(model.albedo_sigma))
    found = read_matrices(path, expected)
    R = found["rotation"]
    if not (found["scale"] > 0 and np.allclose(R @ R.T, np.eye(3), atol=1e-4) and np.linalg.det(R) > 0):
        raise Face3DMMError(f"{path}: scale must be positive and rotation a proper rotation")
    camera = WeakPerspective(float(found["scale"][0, 0]), R, found["translation"][0])
    gamma = found["gamma"][0] if "gamma" in found else np.zeros(0)
    return camera, found["alpha"][0], found["beta"][0], gamma, found["pt3d_68"][:2].T


def _label_of_300w_lp(picture: Path, path: Path, model: MorphableModel) -> _Label:
    """R, α, β and γ as the file has them; s and t are those under which this face meets its landmarks best.

    So the model's origin and unit and the data set's pixel convention do not matter. A ``Tex_Para`` of more
    coefficients than the model has belongs to another albedo basis and is ignored.
    """
    truth = read_300w_lp(picture)
    assert truth.pose is not None
    landmarks, rotation = truth.points, rotation_from_pose_angles(*truth.pose)
    alpha = _coefficients(path, "Shape_Para", model.shape_count)
    beta = _coefficients(path, "Exp_Para", model.expression_count)
    gamma, L = np.zeros(0), len(model.albedo_sigma)
    if 0 < matlab_shapes(path).get("Tex_Para", (0,))[0] <= L:
        gamma = _coefficients(path, "Tex_Para", L)
    turned = model.scheme("ibug68").interpolate(model.vertices(alpha, beta)).astype(np.float64) @ rotation[:2].T
    around, seen = turned - turned.mean(axis=0), landmarks - landmarks.mean(axis=0)
    scale = float((around * seen).sum() / (around**2).sum())
    misfit = float(np.sqrt(((scale * around - seen) ** 2).sum(axis=1).mean()))
    if not (scale > 0 and misfit <= _MISFIT * np.ptp(landmarks, axis=0).max()):
        raise Face3DMMError(
            f"{path}: {model.name} with these coefficients misses the landmarks by {misfit:.1f} px (RMS): they belong "
            "to another model"
        )
    camera = WeakPerspective(scale, rotation, landmarks.mean(axis=0) - scale * turned.mean(axis=0))
    return camera, alpha, beta, gamma, landmarks


def _coefficients(path: Path, name: str, count: int) -> NDArray[np.float64]:
    """All coefficients of the model; a file may have fewer, the rest is zero."""
    column = read_matrices(path, {name: (None, 1)})[name]
    if len(column) > count:
        raise Face3DMMError(f"{path}: {name} has {len(column)} coefficients, but the model only {count}")
    return np.concatenate([column[:, 0], np.zeros(count - len(column))])
