"""Our expressions on other heads: they deform as ours does, wherever they lie and whatever their size."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from test_correspondence import Stranger, stranger

from face3dmm_ros.correspondence.correspond import Found
from face3dmm_ros.correspondence.deformation_transfer import transferred_shapes, with_our_expressions
from face3dmm_ros.correspondence.registration import KnownPairs, Registration, Similarity, register
from face3dmm_ros.correspondence.surface import Surface
from face3dmm_ros.correspondence.transfer import transfer
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints

SHAPES = ("jawOpen", "mouthSmileLeft", "browInnerUp")


def registered(head: MorphableModel, skin: NDArray, ours: MorphableModel, known: SurfacePoints) -> Registration:
    """A head registered by points of it that are known to be the 51 inner ones of ours; `skin` are its triangles."""
    mean = Surface(ours.mean.astype(np.float64), ours.triangles)
    goal = ours.scheme("ibug68").at(slice(17, 68)).interpolate(mean.vertices).astype(np.float64)
    places = known.interpolate(head.mean).astype(np.float64)
    similarity = Similarity.between(places, goal)
    pairs = KnownPairs(similarity.of(places), goal, np.full(len(goal), 0.05))
    theirs = Surface(head.mean.astype(np.float64), skin)
    return register(theirs, similarity, mean, ours.regions["skin"] > 0.5, pairs)


@pytest.fixture(scope="module")
def on_ourselves(default_model: MorphableModel) -> Registration:
    on_skin = (default_model.regions["skin"] > 0.5)[default_model.triangles].all(axis=1)
    known = default_model.scheme("ibug68").at(slice(17, 68))
    return registered(default_model, default_model.triangles[on_skin], default_model, known)


@pytest.fixture(scope="module")
def on_stranger(default_model: MorphableModel) -> tuple[Stranger, Registration]:
    head = stranger(default_model, default_model.regions["skin"] > 0.5)
    known = default_model.scheme("ibug68").at(slice(17, 68))
    nearest = np.argmax(known.weights, axis=1)
    vertices = head.vertex_of_ours[known.vertices[np.arange(51), nearest]]
    here = np.where(vertices >= 0, vertices, 0)
    return head, registered(head.model, head.model.triangles, default_model, SurfacePoints.at_vertices(here))


def shape(basis: NDArray, model: MorphableModel, name: str) -> NDArray:
    return basis.reshape(-1, 3, model.expression_count)[:, :, model.expression_names.index(name)]


def alike(a: NDArray, b: NDArray) -> float:
    """Cosine between two displacements (V, 3)."""
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


@pytest.mark.parametrize("name", SHAPES)
def test_on_our_own_head_they_are_our_own(default_model: MorphableModel, on_ourselves: Registration, name: str) -> None:
    mean = Surface(default_model.mean.astype(np.float64), default_model.triangles)
    found = shape(transferred_shapes(default_model, mean, on_ourselves), default_model, name)
    own = shape(default_model.expression_basis, default_model, name)
    face = (default_model.regions["face"] > 0.5) & (default_model.regions["skin"] > 0.5)
    assert np.linalg.norm((found - own)[face], axis=1).mean() < 0.05 * np.linalg.norm(own[face], axis=1).max()


@pytest.mark.parametrize("name", SHAPES)
def test_on_a_head_that_is_larger_and_turned_they_are_larger_and_turned(
    default_model: MorphableModel, on_stranger: tuple[Stranger, Registration], name: str
) -> None:
    head, registration = on_stranger
    theirs = Surface(head.model.mean.astype(np.float64), head.model.triangles)
    found = shape(transferred_shapes(default_model, theirs, registration), default_model, name)
    here = (head.vertex_of_ours >= 0) & (default_model.regions["face"] > 0.5)
    own = shape(default_model.expression_basis, default_model, name)[here]
    found = found[head.vertex_of_ours[here]]
    expected = registration.similarity.direction(own.astype(np.float64))
    assert alike(found, expected) > 0.95
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=0.2)


def test_what_lies_far_from_our_head_stays(
    default_model: MorphableModel, on_stranger: tuple[Stranger, Registration]
) -> None:
    head, registration = on_stranger
    mean = head.model.mean.astype(np.float64)
    far = np.vstack([mean, mean.mean(axis=0) + 1000.0 + np.eye(3)])
    triangles = np.vstack([head.model.triangles, len(mean) + np.arange(3)])
    bent = np.vstack([registration.bent.vertices, 1000.0 + np.eye(3)])
    with_it = replace(registration, bent=Surface(bent, registration.bent.triangles))
    shapes = transferred_shapes(default_model, Surface(far, triangles), with_it)
    assert not shapes.reshape(-1, 3, default_model.expression_count)[-3:].any()


def test_the_model_has_arkits_names_and_a_digest_of_its_own(
    default_model: MorphableModel, on_stranger: tuple[Stranger, Registration]
) -> None:
    head, registration = on_stranger
    theirs = Surface(head.model.mean.astype(np.float64), head.model.triangles)
    found = Found(transfer(default_model, theirs, registration), registration)
    model = with_our_expressions(head.model, default_model, found)
    assert model.expression_names == default_model.expression_names
    assert model.digest != head.model.digest
    assert "mediapipe478" in model.landmarks
