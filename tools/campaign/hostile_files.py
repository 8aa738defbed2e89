"""Hostile files of each kind that the package reads, made from small good ones by what their format makes possible."""

import io
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import yaml
from numpy.random import Generator
from numpy.typing import NDArray

from face3dmm_ros.avatar.gltf.avatar import GltfAvatar
from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.core.calibration import read_calibration
from face3dmm_ros.evaluation.dataset.datasets import read_aflw2000, read_pts
from face3dmm_ros.files.frame_source import open_source
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.lab.synthesis.makehuman_assets import read_json, read_mhclo, read_obj
from face3dmm_ros.lab.synthesis.panorama import read_panorama
from face3dmm_ros.morphable_model import load_model
from tools.campaign import seeds
from tools.campaign.mutations import damaged_array, damaged_bytes, damaged_tree

CANARY = "canary"
"""Name of a file beside the folder of the hostile ones, to which they point: nothing may read it."""
_MOST_FRAMES = 300
"""Of a hostile film that are shown; chosen by hand."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        suffix: of its files.
        good: the bytes of a good one.
        make: the bytes of a hostile one.
        read: reads one as the package does; whatever is wrong with it must be a `Face3DMMError`.
    """

    suffix: str
    good: bytes
    make: Callable[[Generator], bytes]
    read: Callable[[Path], object]


def kinds() -> dict[str, Kind]:
    """All kinds, by name."""
    tree, blob = seeds.gltf()
    found = {
        "video .mp4": _bytewise(".mp4", seeds.clip(), _play),
        "calibration .yaml": _treelike(".yaml", seeds.CALIBRATION, _yaml, read_calibration),
        "training .yaml": _treelike(".yaml", seeds.training(), _yaml, _read_training),
        "model .npz": _arraywise(".npz", seeds.model_arrays(), _npz, _load_model),
        "model .mat": _arraywise(".mat", seeds.bfm_fields(), lambda arrays: _mat({"model": arrays}), _load_model),
        "model .mat, BFM 2009": _arraywise(".mat", seeds.bfm2009_fields(), _mat, _load_model),
        "model .h5": _arraywise(".h5", seeds.bfm2017_fields(), _hdf5, _load_model),
        "model .pkl": _arraywise(".pkl", seeds.flame_fields(), _pickle, _load_model),
        "model .npz, GNM": _arraywise(".npz", seeds.gnm_arrays(), _npz, _load_model),
        "head .glb": _treelike(".glb", tree, lambda tree: seeds.glb(tree, blob), _load_model),
        "truth .mat": _arraywise(".mat", seeds.aflw_fields(), _mat, lambda path: read_aflw2000(path)),
        "truth .pts": _bytewise(".pts", seeds.PTS, read_pts),
        "avatar .glb": _treelike(".glb", tree, lambda tree: seeds.glb(tree, blob), _open_avatar),
        "avatar .vrm": _bytewise(".vrm", seeds.glb(tree, blob), _open_avatar),
        "avatar .gltf": _treelike(".gltf", tree, lambda tree: seeds.loose_gltf(tree, blob), _open_avatar),
        "mesh .obj": _bytewise(".obj", seeds.OBJ, read_obj),
        "asset .mhclo": _bytewise(".mhclo", seeds.MHCLO, read_mhclo),
        "asset .json": _treelike(".json", seeds.ASSET, lambda tree: json.dumps(tree).encode(), read_json),
        "panorama .hdr": _bytewise(".hdr", seeds.panorama(), read_panorama),
        "recording .mcap": _bytewise(".mcap", seeds.recording(), _read_bag),
    }
    found |= {f"picture {suffix}": _bytewise(suffix, data, read_picture) for suffix, data in seeds.pictures().items()}
    return found


def _bytewise(suffix: str, good: bytes, read: Callable[[Path], object]) -> Kind:
    return Kind(suffix, good, lambda rng: damaged_bytes(good, rng), read)


def _treelike(suffix: str, good: Any, written: Callable[[Any], bytes], read: Callable[[Path], object]) -> Kind:
    """Files of a tree, of which every fourth is damaged as text too."""

    def make(rng: Generator) -> bytes:
        data = written(damaged_tree(good, rng))
        return damaged_bytes(data, rng) if rng.random() < 0.25 else data

    return Kind(suffix, written(good), make, read)


def _arraywise(
    suffix: str,
    good: Mapping[str, NDArray],
    written: Callable[[dict[str, NDArray]], bytes],
    read: Callable[[Path], object],
) -> Kind:
    """Files of named arrays: one of them changed or missing, or the file damaged."""

    def make(rng: Generator) -> bytes:
        arrays = dict(good)
        if rng.random() < 0.3:
            return damaged_bytes(written(arrays), rng)
        name = list(arrays)[int(rng.integers(len(arrays)))]
        if rng.random() < 0.1:
            del arrays[name]
        else:
            arrays[name] = damaged_array(arrays[name], rng)
        return written(arrays)

    return Kind(suffix, written(dict(good)), make, read)


def _yaml(tree: Any) -> bytes:
    return yaml.dump(tree, Dumper=yaml.CSafeDumper).encode()


def _npz(arrays: dict[str, NDArray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=True, **arrays)
    return file.getvalue()


def _mat(fields: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, dict(fields), do_compression=True)
    return file.getvalue()


def _hdf5(arrays: dict[str, NDArray]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as archive:
        for name, values in arrays.items():
            # HDF5 knows neither objects nor NumPy's texts.
            archive[name] = values.astype("S") if values.dtype.kind in "OU" else values
    return file.getvalue()


def _pickle(arrays: dict[str, NDArray]) -> bytes:
    return pickle.dumps(arrays, 2)


def _load_model(path: Path) -> object:
    return load_model(str(path))


def _read_training(path: Path) -> object:
    from face3dmm_ros.lab.training.config import read_config

    return read_config(path)


def _open_avatar(path: Path) -> object:
    with GltfAvatar(path) as avatar:
        return avatar.report


def _play(path: Path) -> object:
    source = open_source(str(path))
    try:
        return sum(source.retrieve().size for _ in range(_MOST_FRAMES) if source.grab())
    finally:
        source.close()


def _read_bag(path: Path) -> object:
    with BagReader(path) as bag:
        return [recorded.pixels().shape for recorded in bag.images(bag.image_topic())]
