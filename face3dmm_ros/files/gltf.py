"""glTF 2.0 and VRM files: meshes with morph targets, skins, materials and the tree of nodes.

Khronos, glTF 2.0 specification (ISO/IEC 12113:2022). pygltflib parses the container and its JSON. Files are not
trusted: no number is used as an index, an offset or a size before it was checked against what it points into, and no
picture is decoded before its size is known.
"""

import json
import warnings
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.normals import vertex_normals
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.files.picture_decoding import decode_picture, picture_size

# What is read at most; chosen by hand, so that no file can fill the memory.
_LARGEST_FILE = 512 * 2**20  # with all files that it refers to
_LARGEST_JSON = 16 * 2**20  # in a GLB file
_LARGEST_TEXT = 192 * 2**20  # of a .gltf file, which may have its numbers within as text
_MOST_VALUES = 500_000  # commas and brackets in the JSON
_MOST_ITEMS = {
    "nodes": 5_000,
    "scenes": 1_000,
    "meshes": 1_000,
    "materials": 1_000,
    "skins": 1_000,
    "textures": 1_000,
    "images": 1_000,
    "buffers": 1_000,
    "bufferViews": 10_000,
    "accessors": 10_000,
}
_MOST_TRIANGLES = 4_000_000
_MOST = {
    "joints": 100_000,  # of all skins: some exporters write a skin of all bones for each mesh
    "primitives": 1_000,
    "morph targets": 5_000,  # of all primitives
    "vertices": 1_000_000,
    "triangles": _MOST_TRIANGLES,
    "vertices in its morph targets": 50_000_000,
    "vertices that its morph targets move": 10_000_000,
    "bytes in its pictures": _LARGEST_FILE,
}
_LONGEST_NAME = 200
_LARGEST_SIDE = 8192  # px of a picture in the file
_MOST_PIXELS = 160 * 2**20  # of all pictures in a file together, ten of 4096 px a side; those of 16 bits count twice

_KEPT_SIDE = 1024  # px; larger pictures are averaged down: no head in a camera picture shows more. Chosen by hand

# Component types, accessor types and primitive modes of the specification (3.6.2.2, 5.24.3).
_DTYPES = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6

_DECOMPRESS = "which is not supported: decompress it, e.g. with `npx @gltf-transform/cli {} IN.glb OUT.glb`"
_REFUSED = {
    "KHR_draco_mesh_compression": "Draco compression, " + _DECOMPRESS.format("copy"),
    "EXT_meshopt_compression": "meshopt compression, " + _DECOMPRESS.format("copy"),
    "KHR_meshopt_compression": "meshopt compression, " + _DECOMPRESS.format("copy"),
    "KHR_texture_basisu": "textures in KTX 2, " + _DECOMPRESS.format("ktxdecompress"),
}
_KNOWN = ("KHR_mesh_quantization", "KHR_texture_transform", "EXT_texture_webp", "KHR_materials_", "VRM")
"""Beginnings of the names of extensions that are understood, or change only how a surface reflects light."""

_READ = ("asset", "scene", *_MOST_ITEMS, "extensions", "extensionsRequired")
"""Of the JSON; animations and cameras are not."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Attributes:
        color: linear RGBA, by which the texture and the vertices' colours are multiplied.
        texture: index into the textures, -1 if none.
        alpha_mode: ``OPAQUE``, ``MASK`` or ``BLEND``.
        alpha_cutoff: in mode ``MASK``, what has a lower alpha is not drawn.
        double_sided: whether it shows from behind.
        shading: ``lit``, ``toon`` or ``unlit``.
        shade: linear RGB, the share of the colour that a toon's shadow keeps.
        order: blended surfaces with a lower one are drawn first.
    """

    color: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    texture: int = -1
    alpha_mode: str = "OPAQUE"
    alpha_cutoff: float = 0.5
    double_sided: bool = False
    shading: str = "lit"
    shade: tuple[float, ...] = (1.0, 1.0, 1.0)
    order: int = 0


@dataclass(frozen=True, eq=False)
class Deltas:
    """What a morph target at weight 1 adds to some vertices.

    Attributes:
        vertices: (K,) int32, each once.
        points: (K, 6) float32: what is added to positions, in the mesh's space, and to normals.
    """

    vertices: NDArray[np.int32]
    points: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Primitive:
    """Triangles of one material.

    Attributes:
        points: (N, 6) float32: positions in the mesh's space, and normals, of unit length where the file has them so.
        uv: (N, 2) float32 places in the base colour texture, (0, 0) its top left corner.
        colors: (N, 4) float32 linear RGBA, by which the material's colour is multiplied.
        triangles: (M, 3) int32, counter-clockwise seen from outside.
        joints: (N, J) int32 indices into the skin's joints; J is 0 without a skin.
        weights: (N, J) float32, rows sum to 1.
        material: index into the model's materials.
        morphs: one per morph target of the mesh.
    """

    points: NDArray[np.float32]
    uv: NDArray[np.float32]
    colors: NDArray[np.float32]
    triangles: NDArray[np.int32]
    joints: NDArray[np.int32]
    weights: NDArray[np.float32]
    material: int
    morphs: tuple[Deltas, ...]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A mesh: its primitives, and the names of its morph targets ("" where the file has none)."""

    primitives: tuple[Primitive, ...]
    target_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Node:
    """A node of the tree.

    Attributes:
        name: "" where it has none.
        parent: index of the node above it, -1 for a root.
        matrix: (4, 4) float64, its space → its parent's.
        mesh: index of its mesh, -1 if none.
        skin: index of the skin that deforms its mesh, -1 if none.
    """

    name: str
    parent: int
    matrix: NDArray[np.float64]
    mesh: int
    skin: int


@dataclass(frozen=True, eq=False)
class Skin:
    """Joints that move a mesh.

    Attributes:
        joints: (J,) int32 node indices.
        inverse_bind: (J, 4, 4) float64, the mesh's space → a joint's.
    """

    joints: NDArray[np.int32]
    inverse_bind: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gltf:
    """A file's default scene.

    Attributes:
        path: of the file.
        nodes: all, also those outside the scene.
        in_scene: (nodes,) bool.
        meshes, skins, materials: as nodes and primitives refer to them; the last material is glTF's default.
        textures: (H, W, 4) uint8 sRGB RGBA with straight alpha each, as materials refer to them.
        extensions: the JSON of the file's own extensions, by name: ``VRM`` and ``VRMC_vrm`` among them; unchecked.
    """

    path: Path
    nodes: tuple[Node, ...]
    in_scene: NDArray[np.bool_]
    meshes: tuple[Mesh, ...]
    skins: tuple[Skin, ...]
    materials: tuple[Material, ...]
    textures: tuple[NDArray[np.uint8], ...]
    extensions: Mapping[str, Any]


def load_gltf(path: Path) -> Gltf:
    """Read a .gltf, .glb or .vrm file.

    Args:
        path: other files that a .gltf file refers to must lie in its folder or below.

    Raises:
        Face3DMMError: pygltflib is missing, or the file cannot be read, is damaged, is too large, or uses what is not
            supported; the message names the file, and a remedy where there is one.
    """
    try:
        import pygltflib
    except ImportError as error:
        raise Face3DMMError(
            "glTF and VRM files need pygltflib, which is not installed: "
            "pip install 'face3dmm_ros[avatar]', or pip install pygltflib"
        ) from error
    data = read_regular(path, _LARGEST_FILE)
    try:
        text, blob = _split(path, data)
        return _Reader(path, _parse(pygltflib, path, text), blob, len(data)).read()
    except Face3DMMError:
        raise
    # JSON may hold anything anywhere, and pygltflib checks no types: what then fails is the file's fault.
    except Exception as error:
        raise Face3DMMError(
            f"{path}: not a well-formed glTF file ({type(error).__name__}: {error}); "
            "Khronos' glTF validator tells where it is broken"
        ) from error


def glb_parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON and the buffer of a binary file that `load_gltf` has read.

    Raises:
        Face3DMMError: it cannot be read, or is a .gltf, whose parts are other files.
    """
    data = read_regular(path, _LARGEST_FILE)
    if data[:4] != b"glTF":
        raise Face3DMMError(
            f"{path} is glTF in several files, expected one (.glb, .vrm): convert it, e.g. with "
            "`npx @gltf-transform/cli copy IN.gltf OUT.glb`"
        )
    text, blob = _split(path, data)
    return json.loads(text.decode("utf-8")), bytes(blob)


@contextmanager
def reading_extension(path: Path, what: str) -> Iterator[None]:
    """A context for code that takes an extension's JSON apart, whose types nothing has checked.

    Args:
        path: of the file.
        what: of VRM is being read, with its verb, such as "humanoid is".

    Raises:
        Face3DMMError: the code fails, because a key is missing or a value has the wrong type.
    """
    try:
        yield
    except (
        AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError
    ) as error:  # fmt: skip
        raise Face3DMMError(f"{path}: its VRM {what} damaged ({type(error).__name__}: {error})") from error


def parents_first(nodes: Sequence[Node]) -> list[int]:
    """All nodes but those in a cycle, each after its parent."""
    children: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        children.setdefault(node.parent, []).append(index)
    order = list(children.get(-1, []))
    for index in order:
        order.extend(children.get(index, []))
    return order


def _split(path: Path, data: bytes) -> tuple[bytes, memoryview]:
    """A file's JSON, and the numbers that a GLB file has behind it."""
    if data[:4] == b"glTF":
        length = int.from_bytes(data[8:12], "little")
        if len(data) < 20 or length > len(data):
            raise Face3DMMError(
                f"{path}: the file is cut short: its header says {length} bytes, it has {len(data)}; copy it anew"
            )
        if int.from_bytes(data[4:8], "little") != 2:
            raise Face3DMMError(
                f"{path}: expected version 2 of the GLB container, found another: convert it to glTF 2.0"
            )
        if data[16:20] != b"JSON":
            raise Face3DMMError(f"{path}: expected JSON in the first chunk of a GLB file, found {data[16:20]!r}")
        end = 20 + int.from_bytes(data[12:16], "little")
        if end > 20 + _LARGEST_JSON:
            raise Face3DMMError(f"{path}: its JSON has {end - 20} bytes; up to {_LARGEST_JSON} are read: simplify it")
        size = int.from_bytes(data[end : end + 4], "little") if data[end + 4 : end + 8] == b"BIN\0" else 0
        return data[20:end], memoryview(data)[end + 8 : min(end + 8 + size, length)]
    if data.lstrip()[:1] == b"{":
        if len(data) > _LARGEST_TEXT:
            raise Face3DMMError(f"{path} has {len(data)} bytes; up to {_LARGEST_TEXT} are read: save it as .glb")
        return data, memoryview(b"")
    kind = "an empty file" if not data else f"a file that begins with {data[:8]!r}"
    raise Face3DMMError(f"{path}: expected a glTF 2.0, GLB or VRM file, found {kind}")


def _parse(pygltflib: Any, path: Path, text: bytes) -> Any:
    """The library's object of a file's JSON; how much that holds is checked first, for the library takes its time."""
    values = sum(text.count(character) for character in (b",", b"[", b"{"))
    if values > _MOST_VALUES:
        raise Face3DMMError(f"{path}: its JSON has some {values} values; up to {_MOST_VALUES} are read: simplify it")
    content = json.loads(text.decode("utf-8"))
    for name, most in _MOST_ITEMS.items():
        if len(content.get(name) or ()) > most:
            raise Face3DMMError(f"{path}: it has {len(content[name])} {name}; an avatar may have {most}: simplify it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what is missing, which is checked for here
        return pygltflib.GLTF2.from_dict({key: content[key] for key in _READ if key in content}, infer_missing=True)


class _Reader:
    """Turns the library's object into checked arrays."""

    def __init__(self, path: Path, file: Any, blob: memoryview, size: int) -> None:
        self._path, self._file, self._blob = path, file, blob
        self._bytes = size  # of all files so far
        self._buffers: dict[int, bytes | memoryview] = {}
        self._binds: dict[tuple[int, int], NDArray[np.float64]] = {}  # by accessor and number of joints
        self._pictures: dict[int, bytes] = {}  # encoded, by index of the image
        self._pixels = 0
        self._totals = dict.fromkeys(_MOST, 0)

    def read(self) -> Gltf:
        if not str(self._file.asset.version).startswith("2."):
            raise self._fail(f"expected glTF 2.0, found {self._file.asset.version!r}: convert it, e.g. with Blender")
        self._check_extensions()
        nodes = self._nodes()
        materials = [self._material(index) for index in range(len(self._file.materials))]
        skins = tuple(self._skin(skin) for skin in self._file.skins)
        # Once all of their sizes are known.
        textures = tuple(self._decoded(index) for index in list(self._pictures))
        # Only meshes that some node carries are read.
        carried = {node.mesh for node in nodes}
        meshes = tuple(
            self._mesh(mesh, len(materials)) if index in carried else Mesh((), ())
            for index, mesh in enumerate(self._file.meshes)
        )
        return Gltf(
            self._path,
            nodes,
            self._scene(nodes),
            meshes,
            skins,
            (*materials, Material()),
            textures,
            dict(self._file.extensions or {}),
        )

    def _fail(self, problem: str) -> Face3DMMError:
        return Face3DMMError(f"{self._path}: {problem}")

    def _check_extensions(self) -> None:
        for name in self._file.extensionsRequired or []:
            if name in _REFUSED:
                raise self._fail(f"the file uses {_REFUSED[name]}")
            if not name.startswith(_KNOWN):
                raise self._fail(f"the file requires the glTF extension {name!r}, which is not supported")

    def _item(self, items: Sequence[_Item] | None, index: object, what: str) -> _Item:
        """The element at an index that the file gives; raises if there is none. `what` names it in the message."""
        count = len(items or ())
        if items is None or type(index) is not int or not 0 <= index < count:
            raise self._fail(f"it refers to {what} {index!r}, but has {count} (counted from 0)")
        return items[index]

    def _nodes(self) -> tuple[Node, ...]:
        nodes = self._file.nodes
        parents = [-1] * len(nodes)
        for index, node in enumerate(nodes):
            for child in node.children or []:
                self._item(nodes, child, "node")
                if parents[child] >= 0:
                    raise self._fail(f"node {child} hangs below two others, {parents[child]} and {index}")
                parents[child] = index
        for node in nodes:
            for index, items, what in ((node.mesh, self._file.meshes, "mesh"), (node.skin, self._file.skins, "skin")):
                if index is not None:
                    self._item(items, index, what)
        return tuple(
            Node(
                _short(node.name),
                parent,
                self._local(node),
                -1 if node.mesh is None else node.mesh,
                -1 if node.skin is None else node.skin,
            )
            for parent, node in zip(parents, nodes, strict=True)
        )

    @np.errstate(over="ignore", invalid="ignore")  # it is checked for at the end
    def _local(self, node: Any) -> NDArray[np.float64]:
        if node.matrix:
            matrix = np.asarray(node.matrix, np.float64).reshape(4, 4).T
        else:
            matrix = np.eye(4)
            rotation = Rotation.from_quat(node.rotation or (0.0, 0.0, 0.0, 1.0)).as_matrix()
            matrix[:3, :3] = rotation * np.asarray(node.scale or (1.0, 1.0, 1.0), np.float64).reshape(3)
            matrix[:3, 3] = np.asarray(node.translation or (0.0, 0.0, 0.0), np.float64)
        return self._finite(matrix, f"the transform of node {node.name!r}")

    def _scene(self, nodes: tuple[Node, ...]) -> NDArray[np.bool_]:
        """Which nodes are in the default scene: its roots and what hangs below them."""
        if self._file.scenes:
            roots = self._item(self._file.scenes, self._file.scene or 0, "scene").nodes or []
        else:
            roots = [index for index, node in enumerate(nodes) if node.parent < 0]
        for index in roots:
            if self._item(nodes, index, "node").parent >= 0:
                raise self._fail(f"node {index} is a root of the scene, and hangs below node {nodes[index].parent}")
        inside = np.zeros(len(nodes), bool)
        inside[roots] = True
        for index in parents_first(nodes):
            if nodes[index].parent >= 0:
                inside[index] = inside[nodes[index].parent]
        return inside

    def _skin(self, skin: Any) -> Skin:
        self._count("joints", len(skin.joints))
        for joint in skin.joints:
            self._item(self._file.nodes, joint, "node")
        J = len(skin.joints)
        if skin.inverseBindMatrices is None:
            bind = np.tile(np.eye(4), (J, 1, 1))
        else:
            bind = self._inverse_bind(skin.inverseBindMatrices, J)
        if not J or len(bind) != J:
            raise self._fail(f"a skin has {J} joints and {len(bind)} inverse bind matrices")
        return Skin(np.array(skin.joints, np.int32), bind)

    def _inverse_bind(self, index: int, J: int) -> NDArray[np.float64]:
        """The first J matrices of an accessor, which may have more; skins may share them."""
        if (index, J) not in self._binds:
            matrices = self._accessor(index, ("MAT4",), most=J).astype(np.float64)
            self._binds[index, J] = matrices.reshape(-1, 4, 4).transpose(0, 2, 1)
        return self._binds[index, J]

    def _mesh(self, mesh: Any, default_material: int) -> Mesh:
        primitives = [
            self._primitive(primitive, default_material)
            for primitive in mesh.primitives
            if (_TRIANGLES if primitive.mode is None else primitive.mode) in (_TRIANGLES, _STRIP, _FAN)
        ]
        count = max((len(primitive.morphs) for primitive in primitives), default=0)
        if any(len(primitive.morphs) != count for primitive in primitives):
            raise self._fail(f"the primitives of mesh {mesh.name!r} have different numbers of morph targets")
        names = _target_names(mesh)
        return Mesh(
            tuple(primitives),
            tuple(_short(names[i]) if i < len(names) else "" for i in range(count)),
        )

    def _primitive(self, primitive: Any, default_material: int) -> Primitive:
        self._count("primitives", 1)
        self._count("morph targets", len(primitive.targets or []))
        attributes = primitive.attributes
        positions = self._accessor(attributes.get("POSITION"), ("VEC3",))
        N = len(positions)
        self._count("vertices", N)
        triangles = self._indices(primitive, N)
        material = default_material if primitive.material is None else primitive.material
        info = self._texture_info(material)
        uv_set = f"TEXCOORD_{(info and info.texCoord) or 0}"
        colors = self._attribute(attributes, "COLOR_0", ("VEC3", "VEC4"), np.ones((N, 4), np.float32))
        normals = self._attribute(attributes, "NORMAL", ("VEC3",), np.zeros((N, 3), np.float32))
        if attributes.get("NORMAL") is None:
            normals = vertex_normals(positions, triangles)
        return Primitive(
            np.concatenate([positions, normals], axis=1),
            _transformed(self._attribute(attributes, uv_set, ("VEC2",), np.zeros((N, 2), np.float32)), info),
            np.concatenate([colors, np.ones((N, 4 - colors.shape[1]), np.float32)], axis=1),
            triangles,
            *self._influences(attributes, N),
            material,
            tuple(self._deltas_of(target, N) for target in primitive.targets or []),
        )

    def _count(self, what: str, number: int) -> None:
        self._totals[what] += number
        if self._totals[what] > _MOST[what]:
            raise self._fail(f"it has {self._totals[what]} {what}; an avatar may have {_MOST[what]}: simplify it")

    def _indices(self, primitive: Any, N: int) -> NDArray[np.int32]:
        if primitive.indices is None:
            indices = np.arange(N, dtype=np.int32)
        else:
            values = self._accessor(primitive.indices, ("SCALAR",), integers=True)
            if values.size and int(values.max()) >= N:
                raise self._fail(f"a triangle refers to vertex {values.max()} of {N}")
            indices = values.ravel().astype(np.int32)
        lists = primitive.mode not in (_STRIP, _FAN)
        self._count("triangles", len(indices) // 3 if lists else max(len(indices) - 2, 0))
        first = np.arange(0 if lists else max(len(indices) - 2, 0))
        if primitive.mode == _STRIP:
            odd = first % 2
            return indices[np.stack([first + odd, first + 1 - odd, first + 2], axis=1)]
        if primitive.mode == _FAN:
            return indices[np.stack([first + 1, first + 2, 0 * first], axis=1)]
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)

    def _influences(self, attributes: Mapping[str, Any], N: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        sets = [which for which in range(4) if attributes.get(f"JOINTS_{which}") is not None]
        if not sets:
            return np.zeros((N, 0), np.int32), np.zeros((N, 0), np.float32)
        joints = [self._accessor(attributes[f"JOINTS_{k}"], ("VEC4",), integers=True, count=N) for k in sets]
        weights = [self._accessor(attributes.get(f"WEIGHTS_{k}"), ("VEC4",), count=N) for k in sets]
        w = np.maximum(np.concatenate(weights, axis=1), 0.0)
        w[w.sum(axis=1) == 0.0, 0] = 1.0
        return np.concatenate(joints, axis=1).astype(np.int32), w / w.sum(axis=1, keepdims=True)

    def _deltas_of(self, target: Mapping[str, Any], N: int) -> Deltas:
        self._count("vertices in its morph targets", N)
        nothing = np.zeros((N, 3), np.float32)
        added = [self._attribute(target, name, ("VEC3",), nothing) for name in ("POSITION", "NORMAL")]
        points = np.concatenate(added, axis=1)
        moved = np.flatnonzero(points.any(axis=1)).astype(np.int32)
        self._count("vertices that its morph targets move", len(moved))
        return Deltas(moved, points[moved])

    def _attribute(
        self, attributes: Mapping[str, Any], name: str, types: tuple[str, ...], default: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """A vertex attribute, as long as its default, which stands for one that the file does not have."""
        index = attributes.get(name)
        return default if index is None else self._accessor(index, types, count=len(default))

    def _accessor(
        self,
        index: object,
        types: tuple[str, ...],
        *,
        integers: bool = False,
        count: int | None = None,
        most: int = 3 * _MOST_TRIANGLES,
    ) -> NDArray:
        """(count, width) values of an accessor, as float32, or as they are stored with `integers`.

        Args:
            index: of the accessor.
            types: that it may have.
            integers: whether to leave its values as they are.
            count: that it must have, if that is known.
            most: how many of its values are read, the first ones.
        """
        accessor = self._item(self._file.accessors, index, "accessor")
        if accessor.type not in types:
            raise self._fail(f"accessor {index} holds {accessor.type!r}, expected {' or '.join(types)}")
        if type(accessor.count) is not int or not 0 <= accessor.count <= 3 * _MOST_TRIANGLES:
            raise self._fail(f"accessor {index} has {accessor.count!r} elements; up to {3 * _MOST_TRIANGLES} are read")
        if count is not None and accessor.count != count:
            raise self._fail(f"accessor {index} has {accessor.count} elements for {count} vertices")
        width = _WIDTHS[accessor.type]
        what = f"accessor {index}"
        used = min(accessor.count, most)
        if accessor.bufferView is None:
            values = np.zeros((used, width), self._dtype(accessor.componentType, what))
        else:
            values = self._view(accessor, accessor.componentType, (used, width), what)
        if accessor.sparse is not None:
            values = self._patched(values, accessor, what)
        if integers:
            if values.dtype.kind != "u":
                raise self._fail(f"{what} holds indices as {values.dtype}, expected unsigned integers")
            return values
        if values.dtype.kind != "f":
            # Integers that stand for [0, 1] or [-1, 1] (specification, 3.11).
            scale = np.iinfo(values.dtype).max if accessor.normalized else 1
            values = np.maximum(values.astype(np.float32) / scale, -1.0 if accessor.normalized else -np.inf)
        return self._finite(np.ascontiguousarray(values, np.float32), what)

    def _patched(self, values: NDArray, accessor: Any, what: str) -> NDArray:
        """Values with those that a sparse accessor replaces."""
        sparse = accessor.sparse
        if type(sparse.count) is not int or not 0 <= sparse.count <= accessor.count:
            raise self._fail(f"{what} replaces {sparse.count!r} of its {accessor.count} elements")
        rows = self._view(sparse.indices, sparse.indices.componentType, (sparse.count, 1), what).ravel()
        replaced = self._view(sparse.values, accessor.componentType, (sparse.count, values.shape[1]), what)
        if rows.dtype.kind != "u" or (rows.size and int(rows.max()) >= accessor.count):
            raise self._fail(f"{what} replaces elements that it does not have")
        values = np.array(values)
        used = rows < len(values)
        values[rows[used]] = replaced[used]
        return values

    def _view(self, source: Any, component: object, shape: tuple[int, int], what: str) -> NDArray:
        """(count, width) values, read-only, in the buffer view that a JSON object names with an offset."""
        content = self._view_bytes(source.bufferView)
        dtype = self._dtype(component, what)
        offset = source.byteOffset or 0
        count, width = shape
        stride = self._file.bufferViews[source.bufferView].byteStride or width * dtype.itemsize
        if any(type(number) is not int for number in (offset, stride)) or offset < 0 or not 0 < stride <= 1024:
            raise self._fail(f"{what} has the offset {offset!r} and the stride {stride!r}")
        needed = offset + (count - 1) * stride + width * dtype.itemsize if count else 0
        if needed > len(content):
            raise self._fail(f"{what} needs {needed} bytes, its buffer view has {len(content)}: the file is damaged")
        return np.ndarray(shape, dtype, content, offset, (stride, dtype.itemsize))

    def _dtype(self, component: object, what: str) -> np.dtype:
        if component not in _DTYPES:
            raise self._fail(f"{what} has the component type {component!r}, which glTF does not know")
        return np.dtype(_DTYPES[component]).newbyteorder("<")

    def _view_bytes(self, index: object) -> memoryview:
        """The bytes of a buffer view."""
        view = self._item(self._file.bufferViews, index, "buffer view")
        buffer = self._buffer(view.buffer)
        begin, length, size = view.byteOffset or 0, view.byteLength, len(buffer)
        if type(begin) is not int or type(length) is not int or min(begin, length) < 0 or begin + length > size:
            raise self._fail(
                f"buffer view {index} takes {length!r} bytes from {begin!r} of a buffer of {size}: the file is damaged"
            )
        return memoryview(buffer)[begin : begin + length]

    def _buffer(self, index: int) -> bytes | memoryview:
        buffer = self._item(self._file.buffers, index, "buffer")
        if index not in self._buffers:
            inside = buffer.uri is None
            self._buffers[index] = self._blob if inside else self._resource(buffer.uri)
        return self._buffers[index]

    def _resource(self, uri: str) -> bytes:
        """What a URI holds or names."""
        left = _LARGEST_FILE - self._bytes
        if uri.startswith("data:"):
            return b64decode(uri.partition(",")[2])  # of a size that the file's own bounds
        name = unquote(uri)
        folder = self._path.resolve().parent
        target = (folder / name).resolve()
        # Joined to a folder, an absolute path replaces it, and ".." and links may lead out of it.
        if "\\" in name or ":" in name or not target.is_relative_to(folder):
            raise self._fail(f"it refers to {uri!r}; only files in its own folder or below are read")
        try:
            data = read_regular(target, left)
        except Face3DMMError as error:
            all_bytes = f" (of {_LARGEST_FILE} for all files of an avatar)"
            raise self._fail(f"it refers to a file that cannot be used: {error}{all_bytes}") from error
        self._bytes += len(data)
        return data

    def _texture_info(self, material: int) -> Any:
        """The base colour texture's JSON of a material, None if it has none."""
        if material == len(self._file.materials):
            return None
        surface = self._item(self._file.materials, material, "material").pbrMetallicRoughness
        return surface.baseColorTexture if surface else None

    def _material(self, index: int) -> Material:
        material = self._file.materials[index]
        surface = material.pbrMetallicRoughness
        info = self._texture_info(index)
        mode = material.alphaMode or "OPAQUE"
        if mode not in ("OPAQUE", "MASK", "BLEND"):
            raise self._fail(f"material {index} has the alpha mode {mode!r}")
        cutoff = 0.5 if material.alphaCutoff is None else float(material.alphaCutoff)
        return Material(
            self._color((surface and surface.baseColorFactor) or (1.0, 1.0, 1.0, 1.0), 4, f"material {index}"),
            -1 if info is None else self._texture(info.index),
            mode,
            min(max(cutoff, 0.0), 1.0),
            bool(material.doubleSided),
            *self._shading(index, material.extensions or {}),
        )

    def _shading(self, index: int, extensions: Mapping[str, Any]) -> tuple[str, tuple[float, ...], int]:
        """A material's shading, the colour of its shadows, and its place among the blended ones."""
        white = (1.0, 1.0, 1.0)
        what = f"the shade of material {index}"
        toon = extensions.get("VRMC_materials_mtoon")
        if toon is not None:
            order = int(toon.get("renderQueueOffsetNumber", 0))
            return "toon", self._color(toon.get("shadeColorFactor", white), 3, what), order
        properties = (self._file.extensions or {}).get("VRM", {}).get("materialProperties", [])
        if index < len(properties):
            old = properties[index]
            order = int(old.get("renderQueue", 0))
            if "MToon" in str(old.get("shader", "")):
                shade = np.asarray(old.get("vectorProperties", {}).get("_ShadeColor", white), np.float64)[:3]
                return "toon", self._color(np.abs(shade) ** 2.2, 3, what), order  # VRM 0 keeps colours in sRGB
            if "Unlit" in str(old.get("shader", "")):
                return "unlit", white, order
        return "unlit" if "KHR_materials_unlit" in extensions else "lit", white, 0

    def _color(self, values: Any, count: int, what: str) -> tuple[float, ...]:
        color = np.asarray(values, np.float64).reshape(count)
        return tuple(np.clip(self._finite(color, f"the colour of {what}"), 0.0, 1.0).tolist())

    def _texture(self, index: object) -> int:
        texture = self._item(self._file.textures, index, "texture")
        source = ((texture.extensions or {}).get("EXT_texture_webp") or {}).get("source", texture.source)
        image = self._item(self._file.images, source, "image")
        if source not in self._pictures:
            self._pictures[source] = self._encoded(source, image)
        return list(self._pictures).index(source)

    def _encoded(self, index: int, image: Any) -> bytes:
        """The bytes of a picture, whose size was checked."""
        view = self._view_bytes(image.bufferView) if image.uri is None else memoryview(self._resource(image.uri))
        self._count("bytes in its pictures", len(view))
        data = bytes(view)
        width, height = picture_size(data, self._image(index), ("PNG", "JPEG", "WebP"), _LARGEST_SIDE**2)
        deep = data[:4] == b"\x89PNG" and data[24:25] == b"\x10"  # 16 bits a sample
        self._pixels += width * height * (2 if deep else 1)
        if max(width, height) > _LARGEST_SIDE or self._pixels > _MOST_PIXELS:
            raise self._fail(
                f"image {index} has {width}×{height} px; up to {_LARGEST_SIDE} px a side are read, "
                f"and {_MOST_PIXELS >> 20} Mpx in all: make the textures smaller"
            )
        return data

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        as_stored = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        return _rgba(decode_picture(self._pictures.pop(index), self._image(index), as_stored, _LARGEST_SIDE**2))

    def _image(self, index: int) -> str:
        return f"{self._path}: image {index}"

    def _finite(self, array: NDArray, what: str) -> NDArray:
        if not np.isfinite(array).all():
            raise self._fail(f"{what} holds values that are not finite (NaN or infinity)")
        return array


def _short(name: object) -> str:
    """A name as text of limited length; "" for None."""
    return str(name or "")[:_LONGEST_NAME]


def _target_names(mesh: Any) -> Sequence[Any]:
    """The names of a mesh's morph targets, which exporters put into the extras of the mesh or its first primitive."""
    for holder in (mesh, *mesh.primitives[:1]):
        names = holder.extras.get("targetNames") if isinstance(holder.extras, dict) else None
        if isinstance(names, list):
            return names
    return ()


def _transformed(uv: NDArray[np.float32], info: Any) -> NDArray[np.float32]:
    """Places in a texture after KHR_texture_transform: moved, turned and scaled."""
    transform = (info.extensions or {}).get("KHR_texture_transform") if info else None
    if not transform:
        return uv
    sx, sy = transform.get("scale", (1.0, 1.0))
    c, s = np.cos(transform.get("rotation", 0.0)), np.sin(transform.get("rotation", 0.0))
    matrix = np.array([[c * sx, s * sy], [-s * sx, c * sy]])
    return (uv @ matrix.T + np.asarray(transform.get("offset", (0.0, 0.0)))).astype(np.float32)


def _rgba(pixels: NDArray) -> NDArray[np.uint8]:
    """A decoded picture as (H, W, 4) uint8 RGBA, no side longer than `_KEPT_SIDE`."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    longest = max(pixels.shape[:2])
    if longest > _KEPT_SIDE:
        height, width = (max(1, side * _KEPT_SIDE // longest) for side in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    conversion = {2: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
    channels = 2 if pixels.ndim == 2 else pixels.shape[2]
    return np.asarray(cv2.cvtColor(pixels, conversion[channels]), np.uint8)
