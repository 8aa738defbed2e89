"""The formats that are read, each a module of its own; which one a file is, its contents tell and not its name."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.morphable_model.formats.blendshape_files import are_blendshapes
from face3dmm_ros.morphable_model.formats.contents import FOLDER, GLTF, HDF5, MATLAB, NPZ, PICKLE, Contents, contents
from face3dmm_ros.morphable_model.formats.npz_file import SHIPPED, licence_of
from face3dmm_ros.morphable_model.model import MorphableModel


@dataclass(frozen=True)
class ModelFormat:
    """A layout of face models.

    Attributes:
        title: as people call it.
        kind: of file, as `Contents.kind` has it.
        needs: names that a file's contents have.
        module: in this package; its ``load(path)`` makes the `MorphableModel`, or raises `Face3DMMError`. Those of
            pickles are also given what the pickle holds.
        file_name: the file's usual name; ``*`` for any part of it.
        owner: where its owners give it out; empty where it is anybody's.
        licence: what its owners say who may use it for what; files themselves seldom do.
        tells: whether names of a file's contents, with those that it needs among them, are this format's.
    """

    title: str
    kind: str
    needs: frozenset[str]
    module: str
    file_name: str
    owner: str = ""
    licence: str = "not told by the file"
    tells: Callable[[frozenset[str]], bool] = lambda _: True


def _names(*names: str) -> frozenset[str]:
    return frozenset(names)


_BASEL = (
    "https://faces.dmi.unibas.ch/bfm/",
    "research and teaching by whoever has signed the University of Basel's terms",
)
_TDDFA = "https://github.com/cleardusk/3DDFA_V2", "as the Basel Face Model that it is made of"
_FLAME = _names("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
_FLAME_FROM = (
    "https://flame.is.tue.mpg.de",
    "FLAME 2023 Open: CC BY 4.0; the others: research alone, by whoever has agreed to the owners' terms",
)

FORMATS = (
    ModelFormat("this package's own", NPZ, _names("format_version", "shape_basis_int16"), "npz_file", "*.npz"),
    ModelFormat(
        "face3d's struct of the Basel Face Model", MATLAB, _names("model"), "face3d_struct", "BFM.mat", *_BASEL
    ),
    ModelFormat(
        "the Basel Face Model of 2009",
        MATLAB,
        _names("shapeMU", "shapePC", "shapeEV", "tl"),
        "bfm2009",
        "01_MorphableModel.mat",
        *_BASEL,
    ),
    ModelFormat(
        "Deep3DFaceReconstruction's front of the Basel Face Model",
        MATLAB,
        _names("meanshape", "idBase", "exBase", "tri", "keypoints"),
        "deep3d",
        "BFM_model_front.mat",
        "https://github.com/sicxu/Deep3DFaceRecon_pytorch",
        "as the Basel Face Model that it is made of",
    ),
    ModelFormat(
        "the Basel Face Model of 2017 or 2019",
        HDF5,
        _names("shape/model/pcaBasis", "shape/model/pcaVariance", "expression/model/pcaBasis"),
        "bfm2017",
        "model201*.h5",
        *_BASEL,
    ),
    ModelFormat("FLAME", PICKLE, _FLAME, "flame", "*flame*.pkl", *_FLAME_FROM),
    ModelFormat("FLAME", NPZ, _FLAME, "flame", "*flame*.npz", *_FLAME_FROM),
    ModelFormat(
        "3DDFA_V2's Basel Face Model", PICKLE, _names("u", "w_shp", "w_exp", "keypoints"), "tddfa", "bfm*.pkl", *_TDDFA
    ),
    ModelFormat("3DDFA_V2's Basel Face Model", FOLDER, _names("bfm_noneck_v3.pkl"), "tddfa", "configs", *_TDDFA),
    ModelFormat(
        "3DDFA's Basel Face Model",
        FOLDER,
        _names("u_shp.npy", "u_exp.npy", "w_shp_sim.npy", "w_exp_sim.npy", "keypoints_sim.npy"),
        "tddfa",
        "train.configs",
        *_TDDFA,
    ),
    ModelFormat(
        "ICT-FaceKit's light model",
        FOLDER,
        _names("generic_neutral_mesh.obj", "vertex_indices.json"),
        "ict_facekit",
        "FaceXModel",
        "https://github.com/ICT-VGL/ICT-FaceKit (FaceXModel)",
        "MIT",
    ),
    ModelFormat(
        "Google's GNM Head",
        NPZ,
        _names("template_vertex_positions", "vertex_identity_basis", "expression_basis"),
        "gnm",
        "gnm_head.npz",
        "https://huggingface.co/google/gnm-v3",
        "Apache-2.0",
    ),
    ModelFormat(
        "a folder of blendshapes with ARKit's names (neutral.obj, jawOpen.obj and more)",
        FOLDER,
        _names(),
        "obj_blendshapes",
        "*",
        tells=are_blendshapes,
    ),
    ModelFormat("glTF or VRM with ARKit's morph targets", GLTF, _names(), "gltf_head", "*.glb"),
)
"""In the order in which they are tried."""


def read_model(path: Path) -> MorphableModel:
    """The model in a file or folder of any of the `FORMATS`.

    Raises:
        Face3DMMError: there is none, it is of no known format, or it is damaged; said are what was found, what was
            expected, and where the owners of a licensed model give it out.
    """
    known, found = _recognised(path)
    load: Callable[..., MorphableModel] = importlib.import_module(f"{__package__}.{known.module}").load
    return load(path, found.pickled) if found.kind == PICKLE else load(path)


def licence_at(path: Path, known: ModelFormat) -> str:
    """What is known of who may use the model at a path, of a format, for what.

    Raises:
        Face3DMMError: the file cannot be read.
    """
    if path == package_file(SHIPPED):
        return "CC0 1.0: anybody's"
    return (licence_of(path) if known.module == "npz_file" else "") or known.licence


def format_at(path: Path) -> ModelFormat:
    """The format of a file or folder.

    Raises:
        Face3DMMError: as `read_model`, but nothing large is read, other than a pickle.
    """
    return _recognised(path)[0]


def _recognised(path: Path) -> tuple[ModelFormat, Contents]:
    if not path.exists():
        raise Face3DMMError(f"there is no model at {path}{_where_to_get(path.name)}")
    found = contents(path)
    for known in FORMATS:
        if known.kind == found.kind and known.needs <= found.names and known.tells(found.names):
            return known, found
    raise Face3DMMError(f"{path} is not a face model that can be read: it is {found}. {_expected(found)}")


def _expected(found: Contents) -> str:
    """The end of an error about what is no model: the formats of its kind, and what it lacks of those it resembles."""
    alike = [known for known in FORMATS if known.kind == found.kind]
    if not alike:
        return f"A model is one of these: {', '.join(dict.fromkeys(known.kind for known in FORMATS))}"
    told = []
    for known in alike:
        lacking = ", ".join(sorted(known.needs - found.names)) if known.needs & found.names else ""
        told.append(f"{known.title} ({known.file_name}{f', here without {lacking}' if lacking else ''})")
    return f"Of this kind can: {'; '.join(told)}"


def _where_to_get(name: str) -> str:
    """The end of an error about a file of a name that is not there."""
    for known in FORMATS:
        if known.owner and Path(name).match(known.file_name):
            return f"; {known.title} is given out by its owners at {known.owner}"
    return ""
