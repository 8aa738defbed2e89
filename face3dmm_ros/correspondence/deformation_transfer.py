"""Our ARKit shapes for a head without expressions (Sumner & Popović, Deformation Transfer for Triangle Meshes, SIGGRAPH
2004).

Each of our triangles' deformations, turning, stretching and shearing, is asked of the other's triangles that lie in its
place; the vertices then follow by least squares. It is solved as Botsch et al. (Deformation Transfer for
Detail-Preserving Surface Editing, VSRT 2006) showed to be the same: a Poisson equation, whose matrix is factorised once
for all shapes. Triangles that answer to none of ours keep their form; what is apart from the skin, teeth and eyeballs,
follows what is nearest of ours.
"""

from dataclasses import replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from face3dmm_ros.correspondence.correspond import Found
from face3dmm_ros.correspondence.registration import Registration
from face3dmm_ros.correspondence.surface import Surface, unit
from face3dmm_ros.morphable_model import MorphableModel

# All of these are chosen by hand.
_SAME_PLACE_MM = (8.0, 25.0)
"""How far a vertex of theirs, once bent, may lie from ours to deform as it does, and from where on it stays:
throats differ more than faces, and jaws move them."""
_STAYS = 1e-3
"""Weight, against a triangle's, with which a vertex that answers to none of ours stays where it is; per mm² of skin."""
_FOLLOWS = 1e-5
"""The same with which one that answers to ours moves as far as ours does, which tells where the whole lies."""


def with_our_expressions(model: MorphableModel, ours: MorphableModel, found: Found) -> MorphableModel:
    """A model with our expressions, ARKit's, in place of its own, and with the landmarks that were found.

    It is another model, with a digest of its own.
    """
    shapes = transferred_shapes(ours, Surface(model.mean.astype(np.float64), model.triangles), found.registration)
    return found.correspondence.added_to(
        replace(
            model,
            expression_basis=shapes,
            expression_sigma=ours.expression_sigma,
            expression_names=ours.expression_names,
            expression_bounds=ours.expression_bounds,
            expression_correlation=ours.expression_correlation,
        )
    )


def transferred_shapes(ours: MorphableModel, theirs: Surface, registration: Registration) -> NDArray[np.float32]:
    """Our expression basis on another head, (3V, E) in its unit per unit of β; row 3i + k as in `MorphableModel`.

    Args:
        ours: the default model.
        theirs: the whole of the other's mean in its own unit, of whose triangles the registration has those of skin.
        registration: of both.
    """
    similarity = registration.similarity
    mean = Surface(ours.mean.astype(np.float64), ours.triangles)
    shapes = ours.expression_basis.reshape(-1, 3, ours.expression_count).transpose(2, 0, 1).astype(np.float64)
    moved = Surface(similarity.of(theirs.vertices), registration.bent.triangles)
    skin = np.unique(moved.triangles)
    nearest = mean.nearest(registration.bent.vertices, registration.bent.normals)
    off = np.linalg.norm(nearest.interpolate(mean.vertices) - registration.bent.vertices, axis=1)
    low, high = _SAME_PLACE_MM
    near = np.clip((high - off) / (high - low), 0.0, 1.0)
    followed = np.stack([nearest.interpolate(shape) for shape in shapes]) * near[:, None]
    displaced = _solved(mean, shapes, moved, registration.bent, followed, near)
    apart = np.setdiff1d(np.unique(theirs.triangles), skin)
    displaced[:, apart] = followed[:, apart]
    unused = np.setdiff1d(np.arange(len(theirs.vertices)), np.unique(theirs.triangles))
    displaced[:, unused] = 0.0
    return similarity.direction(displaced).transpose(1, 2, 0).reshape(-1, len(shapes)).astype(np.float32)


def _solved(
    mean: Surface,
    shapes: NDArray[np.float64],
    moved: Surface,
    bent: Surface,
    followed: NDArray[np.float64],
    near: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Displacements (E, V, 3), mm, whose gradients over the moved head's triangles are those of ours in their place."""
    gradient, area = _gradient(moved)
    ours_gradient, _ = _gradient(mean)
    middle = bent.vertices[bent.triangles].mean(axis=1)
    source = _triangles_under(mean, middle, bent.facing)
    known = near[bent.triangles].min(axis=1)
    weight = np.repeat(area, 3)
    used = np.bincount(bent.triangles.ravel(), np.repeat(area / 3, 3), minlength=len(moved.vertices))
    holding = (near * _FOLLOWS + (1.0 - near) * _STAYS) * used + (used == 0)
    matrix = gradient.T @ scipy.sparse.diags_array(weight) @ gradient + scipy.sparse.diags_array(holding)
    solver = splu(scipy.sparse.csc_array(matrix))
    across = moved.facing
    solved = np.empty_like(followed)
    for number, shape in enumerate(shapes):
        # (M, 3, 3): row k is the derivative along axis k of the displacement of the triangle of ours in each place.
        wanted = (ours_gradient @ shape).reshape(-1, 3, 3)[source] * known[:, None, None]
        # Along our normal the gradient of a surface is 0, and theirs may lean otherwise.
        wanted -= across[:, :, None] * np.einsum("mk,mkc->mc", across, wanted)[:, None]
        right = gradient.T @ (weight[:, None] * wanted.reshape(-1, 3)) + holding[:, None] * followed[number]
        solved[number] = solver.solve(right)
    return solved


def _gradient(surface: Surface) -> tuple[scipy.sparse.csr_array, NDArray[np.float64]]:
    """The gradient (3M, V) of what varies linearly over each triangle, row 3m + k along axis k, and the areas (M,)."""
    corners = surface.vertices[surface.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double = np.maximum(np.linalg.norm(normal, axis=1), 1e-9)
    opposite = corners[:, [2, 0, 1]] - corners[:, [1, 2, 0]]
    slope = np.cross(unit(normal)[:, None], opposite) / double[:, None, None]
    M = len(corners)
    rows = np.broadcast_to(3 * np.arange(M)[:, None, None] + np.arange(3), (M, 3, 3))
    columns = np.broadcast_to(surface.triangles[:, :, None], (M, 3, 3))
    shape = (3 * M, len(surface.vertices))
    return scipy.sparse.csr_array((slope.ravel(), (rows.ravel(), columns.ravel())), shape=shape), double / 2


def _triangles_under(surface: Surface, points: NDArray[np.float64], facing: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which triangle of a surface is nearest to (P, 3) points among those that face as they do, (P,)."""
    found = surface.nearest(points, facing)
    order = np.sort(surface.triangles, axis=1)
    number = {tuple(corner): index for index, corner in enumerate(order.tolist())}
    return np.array([number[tuple(corner)] for corner in np.sort(found.vertices, axis=1).tolist()])
