"""MakeHuman's published assets on the default model: skins, hair, brows, lashes, beards, teeth and eyes of a folder.

An asset is a Wavefront .obj and a .mhclo beside it, in which each vertex hangs on three vertices of the base mesh, by
weights and an offset in units of three distances on the head; beards are JSON files with the same references. The
files may come from anywhere, so all of them are checked.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.interpolate import CloughTocher2DInterpolator
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.normals import vertex_normals
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.core.srgb import encoded, linear
from face3dmm_ros.files.picture_decoding import decode_picture
from face3dmm_ros.lab.synthesis.panorama import SUFFIXES, Panorama, read_panorama
from face3dmm_ros.lab.synthesis.scene import IRIS_IN_PICTURE
from face3dmm_ros.lab.synthesis.worn import Asset, Binding
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.makehuman_layout import MakeHumanLayout
from face3dmm_ros.morphable_model.scalp import SKULL_MIDDLE
from face3dmm_ros.rendering.texture import DEFAULT_TEXTURE_SIZE, texture_fragments, unwrap

_LARGEST_FILE = 64_000_000  # bytes; MakeHuman's largest assets have a tenth of that
_SCALES = (("x_scale", 5399, 11998), ("y_scale", 791, 881), ("z_scale", 962, 5320))
"""The distances in which MakeHuman measures offsets on the head: their names in .mhclo files, and their vertices."""
_FOLLOWED = 6
"""Vertices of the model that one follows which the model lacks; chosen by hand: fewer show as steps."""
_EYE_MIDDLE, _EYE_HALF = (0.2944, 0.7012), 0.2695
"""Of MakeHuman's pictures of eyes: the left one's pupil, and half the side of the square in which its white is whole;
shares of the picture's side, measured in the pictures."""
_LEAST_ALPHA = 24  # of 255, below which a picture's colour says nothing; chosen by hand
_HAIRY = 0.2  # alpha from which on brows are there; chosen by hand
_FRONT = -5.0  # mm; in front of it the face is a height over the plane of x and y; chosen by hand
_CONTRAST = 0.75  # exponent of a picture's brightness, for highlights that are painted on; chosen by hand


@dataclass(frozen=True, eq=False)
class Fitting:
    """How V vertices hang on the base mesh.

    Attributes:
        vertices: (V, 3) int64 base vertices.
        weights: (V, 3) of theirs.
        offsets: (V, 3) dm, added to the weighted vertices.
        scales: per axis two base vertices, and their distance along it, dm, for which the offsets hold.
    """

    vertices: NDArray[np.int64]
    weights: NDArray[np.float64]
    offsets: NDArray[np.float64]
    scales: Mapping[str, tuple[int, int, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PicturedMesh:
    """A mesh whose corners lie in a picture.

    Attributes:
        corners: (C,) int32 vertices; along seams one is there more than once.
        uv: (C, 2) float32, u right and v down.
        triangles: (M, 3) int32 of the C.
        vertex_count: of the mesh.
    """

    corners: NDArray[np.int32]
    uv: NDArray[np.float32]
    triangles: NDArray[np.int32]
    vertex_count: int

    @staticmethod
    def of(
        faces: Sequence[Sequence[tuple[int, int]]], texture: NDArray[np.float64], vertex_count: int, path: Path
    ) -> "PicturedMesh":
        """From polygons of (vertex, texture vertex), counted from 0, and (T, 2) texture coordinates, v up.

        Raises:
            Face3DMMError: an index is out of range, or there is no polygon.
        """
        triangles = [(face[0], face[k], face[k + 1]) for face in faces for k in range(1, len(face) - 1)]
        if not triangles:
            raise Face3DMMError(f"{path}: found no faces")
        try:
            pairs = np.array(triangles, np.int64).reshape(-1, 2)
        except OverflowError:
            raise Face3DMMError(f"{path}: a face names what is not there") from None
        for column, count, what in ((0, vertex_count, "vertex"), (1, len(texture), "texture vertex")):
            if pairs[:, column].min() < 0 or pairs[:, column].max() >= count:
                raise Face3DMMError(f"{path}: a face names a {what} that is not there; there are {count}")
        unique, index = np.unique(pairs, axis=0, return_inverse=True)
        uv = texture[unique[:, 1]] * [1.0, -1.0] + [0.0, 1.0]
        corners = index.reshape(-1, 3).astype(np.int32)
        return PicturedMesh(unique[:, 0].astype(np.int32), uv.astype(np.float32), corners, vertex_count)


def read_obj(path: Path) -> PicturedMesh:
    """The mesh of a Wavefront .obj with texture coordinates.

    Raises:
        Face3DMMError: it cannot be read, or is not such a file.
    """
    count, texture, faces = 0, [], []
    for number, words in _lines(path):
        try:
            if words[0] == "v":
                count += 1
            elif words[0] == "vt":
                texture.append((float(words[1]), float(words[2])))
            elif words[0] == "f":
                corners = [corner.split("/") for corner in words[1:]]
                faces.append([(int(corner[0]) - 1, int(corner[1]) - 1) for corner in corners])
        except (ValueError, IndexError):
            raise Face3DMMError(f"{path}, line {number}: not a line of an .obj with texture coordinates") from None
    return PicturedMesh.of(faces, _finite(texture, 2, path), count, path)


def read_mhclo(path: Path) -> tuple[Fitting, dict[str, str]]:
    """How an asset hangs on the base mesh, and the file's other entries, such as ``obj_file``.

    Raises:
        Face3DMMError: it cannot be read, or is not such a file.
    """
    rows: list[list[float]] = []
    scales: dict[str, tuple[int, int, float]] = {}
    entries: dict[str, str] = {}
    listing = False
    names = {name: axis for axis, (name, _, _) in zip("xyz", _SCALES, strict=True)}
    for number, words in _lines(path):
        try:
            if words[0] in names:
                scales[names[words[0]]] = int(words[1]), int(words[2]), float(words[3])
            elif words[0] == "verts":
                listing = True
            elif listing and words[0].isdigit():
                numbers = [float(word) for word in words]
                if len(numbers) not in (1, 9):
                    raise ValueError
                rows.append(numbers if len(numbers) == 9 else [*(numbers * 3), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
            elif words[0] in ("delete_verts", "weights"):
                listing = False
            else:
                entries[words[0]] = " ".join(words[1:])
        except (ValueError, IndexError):
            raise Face3DMMError(f"{path}, line {number}: not a line of an .mhclo") from None
    return _fitting(_finite(rows, 9, path), scales, path), entries


def read_json(path: Path) -> tuple[Fitting, PicturedMesh]:
    """An asset in the JSON that MakeHuman's exporter for three.js writes (format 3.1), with its references.

    Raises:
        Face3DMMError: it cannot be read, or is not such a file.
    """
    try:
        content = json.loads(_read(path))
        data = content["metadata"]
        rows = np.hstack([np.asarray(data[name], np.float64) for name in ("ref_vIdxs", "weights", "offsets")])
        texture = _finite(np.reshape(content["uvs"][0], (-1, 2)), 2, path)
        faces = _json_faces(content["faces"])
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, RecursionError):
        raise Face3DMMError(f"{path}: not a mesh in MakeHuman's JSON with references to the base mesh") from None
    return _fitting(_finite(rows, 9, path), {}, path), PicturedMesh.of(faces, texture, len(rows), path)


def bind(fitting: Fitting, layout: MakeHumanLayout, model: MorphableModel) -> Binding:
    """Hang something on a model in place of the base mesh.

    Where the model lacks a vertex of the base mesh, such as the helper geometry that long hair hangs on, the nearest
    ones that it has stand for it, each with the way from it to the missing one.

    Raises:
        Face3DMMError: the fitting names vertices that the base mesh does not have.
    """
    if fitting.vertices.size and not 0 <= fitting.vertices.min() <= fitting.vertices.max() < len(layout.base):
        raise Face3DMMError(
            f"an asset hangs on vertex {fitting.vertices.max()} of MakeHuman's base mesh, which has {len(layout.base)}"
        )
    V, B, N = len(fitting.vertices), len(layout.base), model.vertex_count
    on_base = scipy.sparse.csr_array(
        (fitting.weights.ravel(), (np.repeat(np.arange(V), 3), fitting.vertices.ravel())), shape=(V, B)
    )
    used = np.unique(fitting.vertices)
    vertex_of = _vertex_of(layout)
    weights, constant = _base_from_model(used, vertex_of, layout, model)
    to_used = scipy.sparse.csr_array(on_base[:, used])
    scales = [fitting.scales.get(axis) for axis in "xyz"]
    ends, lengths = np.zeros((2, 3), np.int32), np.ones(3)
    for k, (scale, (_, first, second)) in enumerate(zip(scales, _SCALES, strict=True)):
        a, b, length = scale or (first, second, abs(float(layout.base[first, k] - layout.base[second, k])))
        if not (0 <= a < B and 0 <= b < B and vertex_of[a] >= 0 and vertex_of[b] >= 0 and length > 0):
            raise Face3DMMError(f"an asset's {'xyz'[k]}_scale {a} {b} {length} names no distance on the head")
        ends[:, k] = vertex_of[[a, b]]
        lengths[k] = length * np.sign(layout.base[a, k] - layout.base[b, k])
    assert weights.shape[1] == N
    return Binding(
        scipy.sparse.csr_array(to_used @ weights).astype(np.float32),
        np.asarray(to_used @ constant, np.float32),
        (fitting.offsets / lengths).astype(np.float32),
        ends,
    )


def _vertex_of(layout: MakeHumanLayout) -> NDArray[np.int64]:
    """(B,) the model's vertex for each of the base mesh, −1 where there is none."""
    vertex_of = np.full(len(layout.base), -1)
    there = np.flatnonzero(layout.base_vertex >= 0)
    vertex_of[layout.base_vertex[there]] = there
    return vertex_of


def _base_from_model(
    used: NDArray[np.int64], vertex_of: NDArray[np.int64], layout: MakeHumanLayout, model: MorphableModel
) -> tuple[scipy.sparse.csr_array, NDArray[np.float64]]:
    """Base vertices, U of them, as weights (U, N) of the model's and a constant (U, 3), mm.

    `vertex_of` is what `_vertex_of` gives.
    """
    inside = np.maximum(
        *(model.regions.get(name, np.zeros(model.vertex_count)) for name in ("mouth_interior", "teeth"))
    )
    outside = np.flatnonzero((layout.base_vertex >= 0) & (inside < 0.5))
    there = np.flatnonzero(layout.base_vertex >= 0)
    # The way from one to the other is turned and scaled as the model's mean is against the base mesh.
    homogeneous = np.column_stack([layout.base[layout.base_vertex[there]], np.ones(len(there))])
    to_model = np.linalg.lstsq(homogeneous, model.mean[there].astype(np.float64), rcond=None)[0][:3]
    missing = vertex_of[used] < 0
    rows, columns = [np.flatnonzero(~missing)], [vertex_of[used[~missing]]]
    values = [np.ones((~missing).sum())]
    constant = np.zeros((len(used), 3))
    if missing.any():
        positions = layout.base[layout.base_vertex[outside]].astype(np.float64)
        wanted = layout.base[used[missing]].astype(np.float64)
        distance, near = cKDTree(positions).query(wanted, k=_FOLLOWED)
        weight = 1.0 / np.maximum(distance, 1e-4)
        weight /= weight.sum(axis=1, keepdims=True)
        constant[missing] = (wanted - (weight[..., None] * positions[near]).sum(axis=1)) @ to_model
        rows.append(np.repeat(np.flatnonzero(missing), _FOLLOWED))
        columns.append(outside[near].ravel())
        values.append(weight.ravel())
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return scipy.sparse.csr_array(entries, shape=(len(used), model.vertex_count)), constant


def make_asset(
    name: str,
    kind: str,
    fitting: Fitting,
    mesh: PicturedMesh,
    picture: NDArray[np.uint8],
    layout: MakeHumanLayout,
    model: MorphableModel,
) -> Asset:
    """An asset on a model, with a picture (H, W, 4) in the order red, green, blue, alpha."""
    if mesh.vertex_count != len(fitting.vertices):
        raise Face3DMMError(
            f"{kind} {name!r}: its mesh has {mesh.vertex_count} vertices, but {len(fitting.vertices)} hang on the base"
            " mesh"
        )
    binding = bind(fitting, layout, model)
    position = binding.vertices(model.mean)[mesh.corners].astype(np.float64)
    normals = vertex_normals(position, mesh.triangles)
    openness = _openness(position) if kind == "hair" else np.full(len(position), 0.9)
    return Asset(
        name, kind, binding, mesh.corners, mesh.uv, mesh.triangles, normals,
        openness.astype(np.float32), _quarter(picture) if kind == "teeth" else _brightness(picture),
    )  # fmt: skip


def on_the_brows(asset: Asset, model: MorphableModel) -> Asset:
    """A pair of brows moved along the skin to where the model's landmarks say that brows are.

    MakeHuman's lie on the edge of the eye sockets, below those of people.
    """
    points = model.scheme("ibug68").interpolate(model.mean)[17:27].astype(np.float64)
    side = np.abs(points[:, 0])
    curve = np.polyfit(side, points[:, 1], 2)
    position = asset.binding.vertices(model.mean).astype(np.float64)
    on_picture = np.array([asset.picture.shape[1], asset.picture.shape[0]])
    middle = position[asset.corners][asset.triangles].mean(axis=1)
    at = np.clip(asset.uv[asset.triangles].mean(axis=1) * on_picture, 0, on_picture - 1).astype(int)
    seen = asset.picture[at[:, 1], at[:, 0], 3] / 255.0
    hairy = seen > _HAIRY
    if not hairy.any():
        return asset
    # Their inner ends come to the landmarks', the outer ends stay, and between them they follow the landmarks' curve.
    along = np.abs(middle[:, 0])
    inner, outer = along[hairy].min(), along[hairy].max()

    def moved_aside(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return outer - (outer - np.abs(x)) * (outer - side.min()) / max(outer - inner, 1.0)

    away = np.polyval(curve, moved_aside(along)) - middle[:, 1]
    rise = np.polyval(np.polyfit(along, away, 1, w=seen + 1e-3), np.abs(position[:, 0]))
    moved = np.column_stack(
        [np.sign(position[:, 0]) * moved_aside(position[:, 0]), position[:, 1] + rise, position[:, 2]]
    )
    front = (model.regions["face"] > 0.5) & (model.mean[:, 2] > _FRONT)
    height = CloughTocher2DInterpolator(model.mean[front, :2], model.mean[front, 2])
    sunk = height(moved[:, :2]) - height(position[:, :2])
    moved[:, 2] += np.nan_to_num(sunk)
    constant = asset.binding.constant + (moved - position).astype(np.float32)
    return replace(asset, binding=replace(asset.binding, constant=constant))


def _openness(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the light from everywhere that reaches points of hair, (C,): less where others lie farther out."""
    outward = position - SKULL_MIDDLE
    radius = np.linalg.norm(outward, axis=1)
    _, near = cKDTree(outward / radius[:, None]).query(outward / radius[:, None], k=min(24, len(position)))
    depth = radius[near].max(axis=1) - radius
    return np.asarray(0.35 + 0.65 * np.exp(-depth / 9.0))  # mm; chosen by hand


def _brightness(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture whose colours are its brightness alone, as `Asset.picture` has it, also around what there is."""
    light = linear(picture[..., :3] / 255.0).mean(axis=2)
    there = picture[..., 3] >= _LEAST_ALPHA
    if there.any():
        light = light[tuple(distance_transform_edt(~there, return_distances=False, return_indices=True))]
        # Some pictures are all black.
        light = (light + 1e-3) ** _CONTRAST
        light = light / light[there].mean()
    grey = np.round(255 * encoded(0.25 * light)).astype(np.uint8)
    return np.dstack([grey, grey, grey, picture[..., 3]])


def _quarter(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture with a quarter of its light."""
    rgb = np.round(255 * encoded(0.25 * linear(picture[..., :3] / 255.0))).astype(np.uint8)
    return np.dstack([rgb, picture[..., 3]])


def bake_skin(picture: NDArray[np.uint8], model: MorphableModel, layout: MakeHumanLayout) -> NDArray[np.uint8]:
    """A skin in MakeHuman's texture coordinates, (H, W, 3) RGB, on the model's own unwrapping, (1024, 1024, 4)."""
    triangle, weights = _texels(model, layout)
    size = len(triangle)
    there = triangle >= 0
    corners = layout.uv[triangle[there]].astype(np.float64)
    uv = (weights[there][..., None] * corners).sum(axis=1)
    height, width = picture.shape[:2]
    x, y = np.zeros((2, size, size), np.float32)
    x[there], y[there] = uv[:, 0] * width - 0.5, (1.0 - uv[:, 1]) * height - 0.5
    result = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    # Continued beyond the surface's edges, so that no other colour is mixed in there.
    nearest = distance_transform_edt(~there, return_distances=False, return_indices=True)
    result = result[tuple(nearest)]
    rows = np.flatnonzero(there.any(axis=1))
    alpha = np.zeros((size, size, 1), np.uint8)
    alpha[: rows[-1] + 1] = 255
    return np.ascontiguousarray(np.concatenate([result, alpha], axis=2))


def crop_eye(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The left one of the two eyes in MakeHuman's picture, as `Eyes.picture`.

    Raises:
        Face3DMMError: the picture is no square.
    """
    side = picture.shape[0]
    if picture.shape[1] != side:
        raise Face3DMMError(f"a picture of eyes is a square, not {picture.shape[1]}×{side}")
    (x, y), half = np.round(np.array(_EYE_MIDDLE) * side).astype(int), round(_EYE_HALF * side)
    return np.ascontiguousarray(picture[y - half : y + half, x - half : x + half])


@lru_cache(maxsize=1)
def _texels(model: MorphableModel, layout: MakeHumanLayout) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The skin's triangle at each texel, −1 for none, and the weights of its corners."""
    unwrapping = unwrap(model)
    fragments = texture_fragments(model, unwrapping, DEFAULT_TEXTURE_SIZE)
    usable = np.append(unwrapping.skin & np.isfinite(layout.uv).all(axis=(1, 2)), False)
    return np.where(usable[fragments.triangle], fragments.triangle, -1), fragments.weights


def find_assets(folder: Path) -> dict[str, dict[str, Path]]:
    """The files of a folder's assets by kind (``skin``, ``eye``, ``place``, and `worn.KINDS`) and name, in order.

    Raises:
        Face3DMMError: the folder is none, or holds no assets.
    """
    if not folder.is_dir():
        raise Face3DMMError(f"{folder} is not a folder: expected one with MakeHuman's skins, hair, eyebrows, …")
    patterns = {
        "hair": ("hair/*/*.mhclo",),
        "brows": ("eyebrows/*/*.mhclo",),
        "lashes": ("eyelashes/*/*.mhclo",),
        "teeth": ("teeth/*/*.mhclo",),
        "beard": ("beard/*beard*.json",),
        "moustache": ("beard/*oustache*.json",),
        "skin": ("skins/*_diffuse*.png", "skins/textures/*_diffuse*.png"),
        "eye": ("eyes/*/*_eye.png",),
        "place": tuple(f"hdri/*{suffix}" for suffix in SUFFIXES),
    }
    found = {
        kind: {path.stem: path for path in sorted(path for glob in globs for path in folder.glob(glob))}
        for kind, globs in patterns.items()
    }
    if not any(found.values()):
        wanted = ", ".join(glob for globs in patterns.values() for glob in globs)
        raise Face3DMMError(f"{folder} holds none of MakeHuman's assets; expected some of {wanted}")
    return found


@lru_cache(maxsize=2)
def open_assets(folder: Path, model: MorphableModel) -> "MakeHumanAssets":
    """The assets of a folder on a model, opened once; as `MakeHumanAssets`."""
    return MakeHumanAssets(folder, model)


class MakeHumanAssets:
    """The assets of a folder, each read when it is first asked for, and kept."""

    def __init__(self, folder: Path, model: MorphableModel) -> None:
        """Look what there is.

        Raises:
            Face3DMMError: the folder is none, holds no assets, or the model is not the default one.
        """
        self.folder, self._model = folder, model
        self._paths = find_assets(folder)
        self._layout = MakeHumanLayout.of(model)
        self._assets: dict[tuple[str, str], Asset] = {}
        self._skins: dict[str, NDArray[np.uint8]] = {}
        self._eyes: dict[str, NDArray[np.uint8]] = {}
        self._irises: dict[str, NDArray[np.float64]] = {}
        self._tones: dict[str, NDArray[np.float64]] = {}
        self._places: dict[str, Panorama] = {}

    def names(self, kind: str) -> list[str]:
        """Names of what there is of a kind: ``skin``, ``eye``, ``place``, or one of `worn.KINDS`; in order."""
        return list(self._paths[kind])

    def skin(self, name: str) -> NDArray[np.uint8]:
        """A skin on the model's unwrapping, as `SkinPicture.pixels`.

        Raises:
            Face3DMMError: the picture cannot be read.
        """
        if name not in self._skins:
            picture = _read_picture(self._paths["skin"][name])[..., :3]
            self._skins[name] = bake_skin(picture, self._model, self._layout)
        return self._skins[name]

    def skin_tone(self, name: str) -> NDArray[np.float64]:
        """The mean linear red, green and blue of a skin's face, (3,)."""
        if name not in self._tones:
            face = self._model.regions["face"][self._model.triangles].min(axis=1) > 0.5
            triangle, _ = _texels(self._model, self._layout)
            texels = self.skin(name)[np.append(face, False)[triangle]][:, :3]
            self._tones[name] = linear(texels / 255.0).mean(axis=0)
        return self._tones[name]

    def eye(self, name: str) -> NDArray[np.uint8]:
        """An eye, as `Eyes.picture`.

        Raises:
            Face3DMMError: the picture cannot be read, or is no square.
        """
        if name not in self._eyes:
            self._eyes[name] = crop_eye(_read_picture(self._paths["eye"][name]))
        return self._eyes[name]

    def iris_color(self, name: str) -> NDArray[np.float64]:
        """The mean sRGB of an eye's iris, (3,) in [0, 1]."""
        if name not in self._irises:
            eye = self.eye(name)
            off = np.hypot(*(np.indices(eye.shape[:2]) - (len(eye) - 1) / 2)) / (0.5 * IRIS_IN_PICTURE * len(eye))
            self._irises[name] = eye[(off > 0.4) & (off < 0.9), :3].mean(axis=0) / 255.0
        return self._irises[name]

    def place(self, name: str) -> Panorama:
        """A panorama.

        Raises:
            Face3DMMError: as `read_panorama`.
        """
        if name not in self._places:
            self._places[name] = read_panorama(self._paths["place"][name])
        return self._places[name]

    def asset(self, kind: str, name: str) -> Asset:
        """An asset of one of `worn.KINDS`.

        Raises:
            Face3DMMError: a file of it cannot be read, or is broken.
        """
        key = kind, name
        if key not in self._assets:
            path = self._paths[kind][name]
            if path.suffix == ".json":
                fitting, mesh = read_json(path)
                picture = self._picture_named(f"{path.stem}_black_diff.png", path.parent, self.folder / "hair")
            else:
                fitting, entries = read_mhclo(path)
                mesh = read_obj(_beside(path, entries.get("obj_file", f"{name}.obj")))
                material = _beside(path, entries.get("material", f"{name}.mhmat"))
                if not material.is_file():
                    material = path.parents[1] / "materials" / material.name
                named = [words[1] for _, words in _lines(material) if words[0] == "diffuseTexture" and len(words) > 1]
                if not named:
                    raise Face3DMMError(f"{material} names no diffuseTexture")
                picture = self._picture_named(named[0], path.parent, path.parents[1])
            asset = make_asset(name, kind, fitting, mesh, _read_picture(picture), self._layout, self._model)
            self._assets[key] = on_the_brows(asset, self._model) if kind == "brows" else asset
        return self._assets[key]

    @staticmethod
    def _picture_named(name: str, *folders: Path) -> Path:
        name = Path(name).name
        tried = [place / name for folder in folders for place in (folder, folder / "textures", folder / "materials")]
        for path in tried:
            if path.is_file():
                return path
        raise Face3DMMError(f"{tried[0]} is missing; it is neither there nor in {tried[-1].parent}")


def _beside(path: Path, name: str) -> Path:
    """A file that another one names, in the same folder: names from files lead nowhere else."""
    return path.parent / Path(name).name


def _read(path: Path) -> str:
    return read_regular(path, _LARGEST_FILE).decode("utf-8", errors="replace")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The words of each line that is neither empty nor a comment, and the line's number."""
    split = ((number, line.split()) for number, line in enumerate(_read(path).splitlines(), 1))
    return [(number, words) for number, words in split if words and not words[0].startswith("#")]


def _finite(rows: Sequence[Sequence[float]] | NDArray[np.float64], columns: int, path: Path) -> NDArray[np.float64]:
    values = np.asarray(rows, np.float64).reshape(-1, columns)
    if not len(values) or not np.isfinite(values).all():
        raise Face3DMMError(f"{path}: expected rows of {columns} numbers, found none, or numbers that are not finite")
    return values


def _fitting(rows: NDArray[np.float64], scales: Mapping[str, tuple[int, int, float]], path: Path) -> Fitting:
    vertices = rows[:, :3]
    if (
        (vertices != np.round(vertices)).any()
        or not 0 <= vertices.min() <= vertices.max() < 1e9
        or (np.abs(rows[:, 3:]).max() > 1e3)
    ):
        raise Face3DMMError(f"{path}: its references to the base mesh are no vertices, weights and offsets")
    return Fitting(vertices.astype(np.int64), rows[:, 3:6], rows[:, 6:9], scales)


def _json_faces(numbers: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Polygons of three.js's format 3.1: a sum of flags (1 quad, 2 material, 8 texture vertices), then the indices."""
    faces, at = [], 0
    while at < len(numbers):
        flags = numbers[at]
        if flags & ~0b1011 or not flags & 8:
            raise ValueError
        count = 4 if flags & 1 else 3
        first = at + 1 + count + bool(flags & 2)
        vertices, texture = numbers[at + 1 : at + 1 + count], numbers[first : first + count]
        faces.append([(int(v), int(t)) for v, t in zip(vertices, texture, strict=True)])
        at = first + count
    return faces


def _read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture as (H, W, 4) uint8: red, green, blue, alpha."""
    content = read_regular(path, _LARGEST_FILE)
    image = decode_picture(content, str(path), cv2.IMREAD_UNCHANGED)
    if image.dtype != np.uint8 or image.ndim != 3:
        raise Face3DMMError(f"{path} is not a picture of 8 bits a colour")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA), np.uint8)
