"""Small good files of the kinds that the package reads, from which hostile ones are made."""

import base64
import contextlib
import io
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from benchmarks.random_model import random_model
from face3dmm_ros.cli.main import main
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.frame_source import sample_clip
from face3dmm_ros.morphable_model.formats.npz_file import save_npz

CALIBRATION: dict[str, Any] = {
    "image_width": 640,
    "image_height": 480,
    "camera_name": "head",
    "camera_matrix": {"rows": 3, "cols": 3, "data": [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]},
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, -0.1, 0.0, 0.0, 0.0]},
    "rectification_matrix": {"rows": 3, "cols": 3, "data": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]},
    "projection_matrix": {"rows": 3, "cols": 4, "data": [500.0, 0, 320.0, 0, 0, 500.0, 240.0, 0, 0, 0, 1.0, 0]},
}
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"
MHCLO = b"basemesh hm08\nname x\nobj_file x.obj\nx_scale 1 2 1.5\nverts 0\n0 1 2 0.3 0.3 0.4 0 0 0\n4\n"
PTS = b"version: 1\nn_points: 68\n{\n" + b"".join(b"%d.5 %d.5\n" % (10 + k, 20 + 2 * k) for k in range(68)) + b"}\n"
ASSET: dict[str, Any] = {
    "metadata": {"ref_vIdxs": [[0, 1, 2]] * 3, "weights": [[0.3, 0.3, 0.4]] * 3, "offsets": [[0, 0, 0]] * 3},
    "uvs": [[0, 0, 1, 0, 0, 1]],
    "faces": [10, 0, 1, 2, 0, 0, 1, 2],
}


def pictures() -> dict[str, bytes]:
    """A picture's bytes by suffix, in each format that is read."""
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    found = {suffix: _encoded(suffix, picture) for suffix in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm")}
    animated = io.BytesIO()
    Image.fromarray(picture).save(animated, "GIF", save_all=True, append_images=[Image.fromarray(picture[::-1])])
    return found | {".gif": animated.getvalue()}


def panorama() -> bytes:
    """The light of a place, as Radiance's .hdr."""
    return _encoded(".hdr", np.random.default_rng(0).uniform(0.0, 2.0, (16, 32, 3)).astype(np.float32))


def _encoded(suffix: str, picture: NDArray) -> bytes:
    return cv2.imencode(suffix, picture)[1].tobytes()


def clip() -> bytes:
    """The sample clip."""
    return sample_clip().read_bytes()


def training() -> dict[str, Any]:
    """The training that ships as `light`."""
    found: dict[str, Any] = yaml.safe_load(package_file("config/train/light.yaml").read_text())
    return found


def model_arrays() -> dict[str, NDArray]:
    """A small model's arrays, as its .npz has them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        save_npz(random_model(vertices=120, shape=4, expression=2, landmarks=68), path)
        with np.load(path) as arrays:
            return dict(arrays)


def bfm_fields() -> dict[str, NDArray]:
    """The fields of a small Basel Face Model, as its .mat has them."""
    rng = np.random.default_rng(0)
    small = random_model(vertices=120, shape=4, expression=2, landmarks=68)
    size = 3 * small.vertex_count
    return {
        "shapeMU": 1000.0 * small.mean.reshape(-1, 1),
        "shapePC": rng.normal(size=(size, 4)),
        "shapeEV": np.array([[9e5], [5e5], [2e5], [1e5]]),
        "expMU": np.zeros((size, 1)),
        "expPC": rng.normal(size=(size, 2)),
        "expEV": np.array([[3e4], [1e4]]),
        "texMU": rng.uniform(0, 255, (size, 1)),
        "texPC": rng.normal(size=(size, 3)),
        "texEV": np.array([[900.0], [500.0], [100.0]]),
        "tri": small.triangles.T + 1,
        "kpt_ind": 1 + np.arange(68)[None],
    }


def bfm2009_fields() -> dict[str, NDArray]:
    """The variables of a small Basel Face Model of 2009, as its owners' .mat has them."""
    fields = bfm_fields()
    kept = {name: fields[name] for name in ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV")}
    return kept | {"tl": fields["tri"].T.astype(np.float64)}


def bfm2017_fields() -> dict[str, NDArray]:
    """The arrays of a small Basel Face Model of 2017, by their paths in its HDF5 file."""
    rng = np.random.default_rng(0)
    small = random_model(vertices=120, shape=4, expression=2, landmarks=68)
    fields: dict[str, NDArray] = {"shape/representer/cells": small.triangles.T}
    means: dict[str, NDArray] = {"shape": small.mean.ravel(), "expression": np.zeros(360), "color": np.full(360, 0.5)}
    for part, mean in means.items():
        fields[f"{part}/model/mean"] = mean.astype(np.float32)
        fields[f"{part}/model/pcaBasis"] = rng.normal(scale=0.05, size=(360, 3)).astype(np.float32)
        fields[f"{part}/model/pcaVariance"] = np.array([3, 2, 1], np.float32)
    return fields


def flame_fields() -> dict[str, NDArray]:
    """The arrays of a small FLAME, as its pickle has them."""
    rng = np.random.default_rng(0)
    small = random_model(vertices=120, shape=4, expression=2, landmarks=68)
    weights = rng.uniform(size=(120, 5))
    return {
        "v_template": 1e-3 * small.mean.astype(np.float64),
        "f": small.triangles.astype(np.uint32),
        "shapedirs": rng.normal(scale=1e-3, size=(120, 3, 302)),
        "posedirs": rng.normal(scale=1e-4, size=(120, 3, 36)),
        "J_regressor": np.full((5, 120), 1 / 120),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
    }


def gnm_arrays() -> dict[str, NDArray]:
    """The arrays of a small GNM Head, as its .npz has them."""
    rng = np.random.default_rng(0)
    small = random_model(vertices=120, shape=4, expression=2, landmarks=68)
    return {
        "template_vertex_positions": 1e-3 * small.mean,
        "vertex_identity_basis": rng.normal(scale=1e-3, size=(3, 120, 3)).astype(np.float32),
        "expression_basis": rng.normal(scale=1e-3, size=(2, 120, 3)).astype(np.float32),
        "expression_names": np.array(["first", "second"]),
        "template_joint_positions": np.array([[0.03, 0, 0], [-0.03, 0, 0]], np.float32),
        "joint_names": np.array(["left_eye", "right_eye"]),
        "triangles": small.triangles,
        "vertex_group_names": np.array(["skin"]),
        "vertex_groups": np.ones((1, 120), np.float32),
    }


def aflw_fields() -> dict[str, NDArray]:
    """The fields of a photograph's truth in AFLW2000-3D's .mat."""
    return {"pt3d_68": np.random.default_rng(0).uniform(0, 450, (3, 68)), "Pose_Para": np.full((1, 7), 0.1)}


def recording() -> bytes:
    """A rosbag2 of two images of a rendered face, as MCAP."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        arguments = ["synth", "--out", folder, "--size", "64x48", "--duration", "0.2", "--fps", "10"]
        arguments += ["--record-images", "jpeg"]
        if main(arguments) != 0:
            raise RuntimeError("no recording could be made")
        return next(Path(folder).rglob("*.mcap")).read_bytes()


def gltf() -> tuple[dict[str, Any], bytes]:
    """A figure's JSON and the buffer that it refers to: a triangle with two morph targets, a skin, a picture, VRM's
    bones and expressions."""
    png = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    parts: dict[str, NDArray] = {
        "position": np.array([[0, 1, 0], [0.1, 1, 0], [0, 1.1, 0]], np.float32),
        "uv": np.array([[0, 0], [1, 0], [0, 1]], np.float32),
        "joints": np.zeros((3, 4), np.uint8),
        "weights": np.array([[1, 0, 0, 0]] * 3, np.float32),
        "index": np.array([0, 1, 2], np.uint16),
        "delta": np.array([[0, 0, 0.01]] * 3, np.float32),
        "bind": np.eye(4, dtype=np.float32)[None].repeat(2, 0),
        "png": np.frombuffer(png, np.uint8),
    }
    blob, views = bytearray(), []
    for values in parts.values():
        blob += bytes(-len(blob) % 4)
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": values.nbytes})
        blob += values.tobytes()
    kinds = {"position": (5126, "VEC3"), "uv": (5126, "VEC2"), "joints": (5121, "VEC4"), "weights": (5126, "VEC4"),
             "index": (5123, "SCALAR"), "delta": (5126, "VEC3"), "bind": (5126, "MAT4")}  # fmt: skip
    place = {name: number for number, name in enumerate(parts)}
    accessors = [
        {"bufferView": place[name], "componentType": component, "count": len(parts[name]), "type": kind}
        for name, (component, kind) in kinds.items()
    ]
    primitive = {
        "attributes": {"POSITION": 0, "TEXCOORD_0": 1, "JOINTS_0": 2, "WEIGHTS_0": 3},
        "indices": 4,
        "material": 0,
        "targets": [{"POSITION": 5}, {"POSITION": 5}],
    }
    tree = {
        "asset": {"version": "2.0"},
        "extensionsUsed": ["VRM"],
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [
            {"name": "face", "mesh": 0, "skin": 0},
            {"name": "neck", "children": [2], "translation": [0, 0.9, 0]},
            {"name": "head", "rotation": [0, 0, 0, 1]},
        ],
        "meshes": [{"primitives": [primitive], "extras": {"targetNames": ["jawOpen", "eyeBlinkLeft"]}}],
        "skins": [{"joints": [1, 2], "inverseBindMatrices": 6}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}, "alphaMode": "OPAQUE"}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": place["png"], "mimeType": "image/png"}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(blob)}],
        "extensions": {
            "VRM": {
                "humanoid": {"humanBones": [{"bone": "head", "node": 2}, {"bone": "neck", "node": 1}]},
                "blendShapeMaster": {
                    "blendShapeGroups": [{"presetName": "a", "binds": [{"mesh": 0, "index": 0, "weight": 100}]}]
                },
                "firstPerson": {"lookAtTypeName": "Bone"},
            }
        },
    }
    return tree, bytes(blob)


def glb(tree: dict[str, Any], blob: bytes) -> bytes:
    """A figure as one file."""
    chunks = b""
    for kind, content, filler in ((b"JSON", json.dumps(tree).encode(), b" "), (b"BIN\0", blob, b"\0")):
        content += filler * (-len(content) % 4)
        chunks += struct.pack("<I", len(content)) + kind + content
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def loose_gltf(tree: dict[str, Any], blob: bytes) -> bytes:
    """A figure as text, with its buffer in it."""
    address = "data:application/octet-stream;base64," + base64.b64encode(blob).decode()
    return json.dumps(tree | {"buffers": [{"byteLength": len(blob), "uri": address}]}).encode()
