"""The head cut out of MakeHuman's body: topology, and the linear map that carries every mesh and target to it.

Each vertex of the head is a fixed weighted sum of base-mesh vertices, so base mesh, morph targets and face units all
pass through the same sparse matrix.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from face3dmm_ros.lab.default_model.makehuman import BaseMesh, MakeHuman

MILLIMETRES = 102.5
"""Per unit of the base mesh: a decimetre, and 2.5 % more, by which its faces fall short of adults."""

EYES = ("left_eye", "right_eye")
PARTS = ("skin", *EYES, "upper_teeth", "lower_teeth", "tongue")

# The neck is cut by a plane that rises toward the nape; base-mesh units (dm). Chosen by hand, below chin and jaw.
_NECK_POINT = np.array([0.0, 5.88, 1.1])
_NECK_NORMAL = np.array([0.0, np.cos(np.radians(14)), np.sin(np.radians(14))])

LIMBUS = 23.4
"""Degrees from an eyeball's axis at which the iris ends, so that it is 12 mm wide as people's are (docs/model.md)."""
EYE_RINGS = np.array([7.0, 8.6, 15.0, 21.0, LIMBUS, 25.4, 34.0, 46.0, 60.0, 78.0, 100.0])
"""Rings of an eyeball's vertices, degrees from its axis: close pairs keep the edges of pupil (2 mm) and iris sharp."""
EYE_SEGMENTS = 24
"""Vertices of a ring; chosen by hand: enough for a round iris."""

# MakeHuman's teeth touch the lips and would shine through where they meet; its mouth cavity comes so near the cheeks
# that some people's would pierce them. Both are scaled about their middle, the cavity more and more from the first of
# these depths to the second, base-mesh units. Chosen by hand.
_TEETH_SIZE = 0.9
_CAVITY_SIZE = 0.76
_CAVITY_DEPTH = (1.43, 1.37)


@dataclass(frozen=True, eq=False)
class Head:
    """The head's topology.

    Attributes:
        from_base: (N, base vertices) sparse weights of base-mesh vertices.
        triangles: (M, 3) int32, counter-clockwise seen from outside.
        part: (N,) index into `PARTS`.
        mirror: (N,) int64, each vertex's counterpart on the other side.
        eye_direction: (N, 3) unit direction from the eyeball's centre; zero outside the eyeballs.
        of_base_vertex: (base vertices,) int64, the head's vertex that is this vertex of the base mesh, or −1.
    """

    from_base: scipy.sparse.csr_array
    triangles: NDArray[np.int32]
    part: NDArray[np.int64]
    mirror: NDArray[np.int64]
    eye_direction: NDArray[np.float64]
    of_base_vertex: NDArray[np.int64]

    def carry(self, base_values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at base-mesh vertices, (base vertices, …), at the head's vertices, (N, …)."""
        return self.from_base @ base_values

    @property
    def skin_triangles(self) -> NDArray[np.int32]:
        """The triangles (S, 3) whose corners are all of skin."""
        return self.triangles[self.is_part("skin")[self.triangles].all(axis=1)]

    def is_part(self, *names: str) -> NDArray[np.bool_]:
        """(N,) mask of the vertices in these parts."""
        return np.isin(self.part, [PARTS.index(name) for name in names])


def homogeneous(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) with a fourth column of ones: in these coordinates an affine map of an eyeball is one matrix."""
    return np.column_stack([directions, np.ones(len(directions))])


def build_head(makehuman: MakeHuman) -> Head:
    """Cut the head at the neck, triangulate it and give it eyeballs fine enough for a round iris."""
    base = makehuman.base
    pieces = [
        _skin(base, makehuman.mask("inside-mouth")),
        _eyeball(base, "helper-l-eye", mirrored=False),
        _eyeball(base, "helper-r-eye", mirrored=True),
        _group(base, "helper-upper-teeth", _TEETH_SIZE),
        _group(base, "helper-lower-teeth", _TEETH_SIZE),
        _group(base, "helper-tongue", 1.0),
    ]
    offsets = np.cumsum([0] + [weights.shape[0] for weights, _ in pieces])
    from_base = scipy.sparse.csr_array(scipy.sparse.vstack([weights for weights, _ in pieces]))
    triangles = np.concatenate([tris + offset for (_, tris), offset in zip(pieces, offsets, strict=False)])
    part = np.repeat(np.arange(len(PARTS)), np.diff(offsets))
    position = from_base @ base.vertices
    directions = np.zeros_like(position)
    for k in (1, 2):
        directions[part == k] = _eye_directions(mirrored=k == 2)
    # Of the head's vertices, only eyeballs and the neck's rim are mixtures.
    entries = from_base.tocoo()
    copies = entries.data == 1.0
    of_base_vertex = np.full(len(base.vertices), -1)
    of_base_vertex[entries.col[copies]] = entries.row[copies]
    mirror = _mirror(position, part)
    return Head(from_base, triangles.astype(np.int32), part, mirror, directions, of_base_vertex)


def _triangulate(quads: NDArray[np.int64], position: NDArray[np.float64]) -> NDArray[np.int64]:
    """Split quads along their shorter diagonal: the same on both sides of a symmetric mesh."""
    a, b, c, d = (position[quads[:, k]] for k in range(4))
    along_ac = np.linalg.norm(a - c, axis=1) <= np.linalg.norm(b - d, axis=1) + 1e-9
    halves = np.where(along_ac[:, None], quads[:, [0, 1, 2, 0, 2, 3]], quads[:, [0, 1, 3, 1, 2, 3]])
    return halves.reshape(-1, 3)


def _selection(indices: NDArray[np.int64], base_count: int) -> scipy.sparse.csr_array:
    ones = np.ones(len(indices))
    return scipy.sparse.csr_array((ones, (np.arange(len(indices)), indices)), shape=(len(indices), base_count))


def _cavity(
    position: NDArray[np.float64], inside_mouth: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(N,) which vertices are the mouth's inside, and (N,) the factor by which each is scaled about its middle."""
    inside = inside_mouth > 0.5
    front, back = _CAVITY_DEPTH
    depth = np.clip((front - position[:, 2]) / (front - back), 0.0, 1.0)
    return inside, np.where(inside, 1 - (1 - _CAVITY_SIZE) * depth, 1.0)


def _scaled(
    weights: scipy.sparse.csr_array, members: NDArray[np.bool_], size: NDArray[np.float64]
) -> scipy.sparse.csr_array:
    """Rows of weights scaled by (N,) sizes about the mean of the member rows."""
    middle = scipy.sparse.csr_array(weights[np.flatnonzero(members)].mean(axis=0)[None])
    scaled = scipy.sparse.csr_array(scipy.sparse.diags_array(size) @ weights)
    return scipy.sparse.csr_array(scaled + scipy.sparse.csr_array((1 - size)[:, None]) @ middle)


def _group(base: BaseMesh, name: str, size: float) -> tuple[scipy.sparse.csr_array, NDArray[np.int64]]:
    """A group of the base mesh, scaled about its middle."""
    indices = base.group(name)
    triangles = _triangulate(base.quads[base.group_of_quad == name], base.vertices)
    everything = np.ones(len(indices), bool)
    weights = _scaled(_selection(indices, len(base.vertices)), everything, np.full(len(indices), size))
    return weights, np.searchsorted(indices, triangles)


def _skin(base: BaseMesh, inside_mouth: NDArray[np.float64]) -> tuple[scipy.sparse.csr_array, NDArray[np.int64]]:
    """The body above the neck plane; triangles that cross it are clipped, so the rim is a clean curve."""
    triangles = _triangulate(base.quads[base.group_of_quad == "body"], base.vertices)
    height = (base.vertices - _NECK_POINT) @ _NECK_NORMAL
    # The arms hang below the neck, so a plane parts the head from the rest of the body.
    above = height[triangles] > 0
    kept = [triangles[above.all(axis=1)]]
    cut_edges: dict[tuple[int, int], int] = {}
    count = len(base.vertices)

    def on_edge(inside: int, outside: int) -> int:
        return cut_edges.setdefault((inside, outside), count + len(cut_edges))

    for triangle, inside in zip(triangles, above, strict=True):
        if inside.sum() == 1:
            a, b, c = np.roll(triangle, -int(np.argmax(inside)))
            kept.append(np.array([[a, on_edge(a, b), on_edge(a, c)]]))
        elif inside.sum() == 2:
            c, a, b = np.roll(triangle, -int(np.argmin(inside)))
            kept.append(np.array([[a, b, on_edge(a, c)], [b, on_edge(b, c), on_edge(a, c)]]))
    faces = np.concatenate(kept)
    used = np.unique(faces[faces < count])
    weights = [_scaled(_selection(used, count), *_cavity(base.vertices[used], inside_mouth[used]))]
    rim = np.array(list(cut_edges))
    share = (height[rim[:, 0]] / (height[rim[:, 0]] - height[rim[:, 1]]))[:, None]
    rows = np.repeat(np.arange(len(rim)), 2)
    values = np.hstack([1 - share, share]).ravel()
    weights.append(scipy.sparse.csr_array((values, (rows, rim.ravel())), shape=(len(rim), count)))
    index = np.full(count + len(rim), -1)
    index[used] = np.arange(len(used))
    index[count:] = len(used) + np.arange(len(rim))
    return scipy.sparse.csr_array(scipy.sparse.vstack(weights)), index[faces]


def _eye_directions(mirrored: bool) -> NDArray[np.float64]:
    """Unit directions of an eyeball's vertices: the pole that looks along +z, then ring by ring."""
    azimuth = np.arange(EYE_SEGMENTS) * (2 * np.pi / EYE_SEGMENTS)
    polar = np.radians(EYE_RINGS)[:, None]
    side = -1.0 if mirrored else 1.0
    x, y = side * np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)
    rings = np.stack([x, y, np.broadcast_to(np.cos(polar), x.shape)], axis=-1).reshape(-1, 3)
    return np.vstack([[0.0, 0.0, 1.0], rings])


def _eyeball(base: BaseMesh, name: str, mirrored: bool) -> tuple[scipy.sparse.csr_array, NDArray[np.int64]]:
    """A finely meshed eyeball that follows the coarse one of the base mesh as an affine function of its vertices."""
    coarse = base.group(name)
    position = base.vertices[coarse]
    direction = position - position.mean(axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    fine = _eye_directions(mirrored)
    weights = homogeneous(fine) @ np.linalg.pinv(homogeneous(direction))
    matrix = scipy.sparse.csr_array(weights @ _selection(coarse, len(base.vertices)))

    here = np.arange(EYE_SEGMENTS)
    there = (here + 1) % EYE_SEGMENTS
    triangles = [np.column_stack([np.zeros(EYE_SEGMENTS, np.int64), 1 + here, 1 + there])]
    for ring in range(len(EYE_RINGS) - 1):
        inner, outer = 1 + ring * EYE_SEGMENTS, 1 + (ring + 1) * EYE_SEGMENTS
        triangles.append(np.column_stack([inner + here, outer + here, outer + there]))
        triangles.append(np.column_stack([inner + here, outer + there, inner + there]))
    faces = np.concatenate(triangles)
    return matrix, faces[:, ::-1] if mirrored else faces


def _mirror(position: NDArray[np.float64], part: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each vertex's counterpart across x = 0 of the symmetric base mesh."""
    swapped = np.choose(part, [0, 2, 1, 3, 4, 5])
    # A part label far apart in a fourth dimension keeps counterparts within their own part.
    tree = cKDTree(np.column_stack([position, 100.0 * part]))
    distance, mirror = tree.query(np.column_stack([position * [-1, 1, 1], 100.0 * swapped]))
    # Teeth and tongue are symmetric only to a fraction of a millimetre.
    assert distance.max() < 0.03, "the base mesh is not symmetric"
    assert (mirror[mirror] == np.arange(len(mirror))).all(), "two vertices share a mirror image"
    return mirror
