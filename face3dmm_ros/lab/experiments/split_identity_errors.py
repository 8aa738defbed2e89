"""Why detected points tell so little of an identity, and what a better use of the same points would tell.

    tools/in_environment.sh python -m face3dmm_ros.lab.experiments.split_identity_errors --people 60 --heads FOLDER

Random people are seen as `measure_identity` sees them. Each one's 468 points of skin are found in space from the
detected points of all views alone, without the model. What the detector does to a person in all views alike strays
there; the rest differs between views. It prints

- the errors' RMS by part of the face: those of all people, of a person, of a view, and how people truly differ;
- the slope and the correlation of the displacement found on the true one, by part, by axis and along the principal
  directions in which people differ: a slope below one is pulled to the mean face, and a correlation near one says that
  this could be undone;
- the same of α as it is fitted;
- the identity's error, mm, if it is read from these points linearly: by errors that are independent, and by the errors'
  covariance as measured on other people (in turns of a sixth). `--heads` judges the same on ICT-FaceKit's people,
  from whom nothing is learnt.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from face3dmm_ros.core.camera import estimate_weak_perspective
from face3dmm_ros.core.similarity import align
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.fitting.joint import turned
from face3dmm_ros.fitting.several_pictures import PersonFitter
from face3dmm_ros.lab.default_model.registration import ICT_FOLDER, ict_folder
from face3dmm_ros.lab.experiments.measure_identity import People, SeenPerson, identity_error_mm
from face3dmm_ros.landmarks.schemes import (
    BROWS,
    LEFT_EYE_RING,
    LIP_RINGS,
    MEDIAPIPE478,
    RIGHT_EYE_RING,
    SKIN_COUNT,
)
from face3dmm_ros.morphable_model import MorphableModel, load_model

# All of these are chosen by hand.
_FEWEST = 4
"""Views with a face that a person needs: fewer do not tell a shape in space."""
_ROUNDS, _SETTLED_MM = 25, 0.02
_HELD = 0.02
"""Precision with which a point is held at the mean face, mm⁻²: for one that no view is sure of."""
_TURNS = 6
_SMOOTH_SHARE, _SMOOTH_REACH_MM, _OWN_MM = 0.3, 12.0, 0.1
"""A covariance of few people is mixed with one that says only that neighbours err alike, within a reach."""
_ALONG = 8
_COMPONENTS = (0, 1, 2, 4, 8, 16, 32, 100)

Covariance = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Of errors (n, P, 3), mm, of points whose mean is (P, 3): (3P, 3P)."""


@dataclass(frozen=True, eq=False)
class Displacements:
    """How people's points differ from the mean face's after a similarity, mm.

    Attributes:
        true: (n, 468, 3).
        found: (n, 468, 3), from the detected points.
        in_view: (n, 468) RMS over the views of what they stray by beyond that, per coordinate of the image.
    """

    true: NDArray[np.float64]
    found: NDArray[np.float64]
    in_view: NDArray[np.float64]


def structure(mean: NDArray[np.float64], views: Sequence[Landmarks]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A shape in space (P, 3), mm, placed on the mean (P, 3), from its points in some views, weighed by their σ.

    Poses and points are solved in turns, from the mean face on. Also returns the points' RMS distance (P,) from where
    the shape has them, mm per coordinate.
    """
    shape = mean
    cameras = [estimate_weak_perspective(mean, each.points[: len(mean)].astype(np.float64)) for each in views]
    for _ in range(_ROUNDS):
        precision = np.tile(_HELD * np.eye(3), (len(mean), 1, 1))
        weighed, strayed = _HELD * mean, np.zeros(len(mean))
        for index, each in enumerate(views):
            assert each.deviation is not None
            seen, noise = each.points[: len(mean)].T.astype(np.float64), each.deviation[: len(mean)].astype(np.float64)
            camera = cameras[index] = turned(cameras[index], shape.T, seen, noise, np.inf)
            P = camera.rotation[:2]
            on_face = (seen - camera.translation[:, None]).T / camera.scale
            weight = (camera.scale / noise) ** 2
            precision += weight[:, None, None] * (P.T @ P)
            weighed = weighed + weight[:, None] * (on_face @ P)
            strayed += ((on_face - shape @ P.T) ** 2).sum(axis=1) / 2
        before, shape = shape, align(np.linalg.solve(precision, weighed[..., None])[..., 0], mean)
        if np.abs(shape - before).max() < _SETTLED_MM:
            break
    return shape, np.sqrt(strayed / len(views))


def displacements(mean: NDArray[np.float64], model: MorphableModel, people: Sequence[SeenPerson]) -> Displacements:
    """Of people seen in enough views; the mean (468, 3)."""
    surface = model.scheme(MEDIAPIPE478).at(slice(SKIN_COUNT))
    true = [align(surface.interpolate(person.vertices), mean) - mean for person in people]
    found, in_view = zip(*(structure(mean, person.detected) for person in people), strict=True)
    return Displacements(np.array(true), np.array(found) - mean, np.array(in_view))


def slope_and_correlation(found: NDArray[np.float64], true: NDArray[np.float64]) -> tuple[float, float]:
    """Of what is found on what is true, (n, …), each about its mean over the n people."""
    f, t = found - found.mean(axis=0), true - true.mean(axis=0)
    both = float((f * t).sum())
    return both / float((t * t).sum()), both / float(np.sqrt((t * t).sum() * (f * f).sum()))


@dataclass(frozen=True, eq=False)
class LinearReading:
    """α, in standard deviations, from displacements: the mean of its posterior under a covariance of their errors.

    Attributes:
        basis: (3P, K) displacements, mm, by α, without those that a similarity makes.
        similarity: (3P, 7) orthonormal, the displacements that a similarity makes.
    """

    basis: NDArray[np.float64]
    similarity: NDArray[np.float64]

    @staticmethod
    def of(model: MorphableModel, mean: NDArray[np.float64]) -> "LinearReading":
        """Of a model's points of skin, whose mean (P, 3) is given."""
        about = mean - mean.mean(axis=0)
        shifts = [np.tile(axis, (len(mean), 1)) for axis in np.eye(3)]
        turns = [np.cross(axis, about) for axis in np.eye(3)]
        similarity = np.linalg.qr(np.stack([*shifts, *turns, about]).reshape(7, -1).T)[0]
        surface = model.scheme(MEDIAPIPE478).at(slice(len(mean)))
        basis = (model.at_points(surface).shape * model.shape_sigma).reshape(-1, model.shape_count)
        return LinearReading(basis - similarity @ (similarity.T @ basis), similarity)

    def read(self, found: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
        """α (n, K) of displacements (n, P, 3)."""
        weights = np.linalg.solve(self.basis @ self.basis.T + covariance, self.basis)
        flat = found.reshape(len(found), -1)
        return (flat - (flat @ self.similarity) @ self.similarity.T) @ weights


def independent(errors: NDArray[np.float64], _: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance (3P, 3P) of errors (n, P, 3) as if each point strayed by itself."""
    return np.diag(np.repeat((errors**2).mean(axis=(0, 2)), 3))


def measured(errors: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance (3P, 3P) of errors (n, P, 3) about 0, as a bias is an error too; the points' mean is (P, 3)."""
    distance = cdist(mean, mean)
    near = np.exp(-((distance / _SMOOTH_REACH_MM) ** 2))
    deviation = np.sqrt((near @ (errors**2).mean(axis=0)) / near.sum(axis=1, keepdims=True)).ravel()
    smooth = np.kron(np.exp(-distance / _SMOOTH_REACH_MM), np.eye(3)) * np.outer(deviation, deviation)
    flat = errors.reshape(len(errors), -1)
    own = _OWN_MM**2 * np.eye(len(deviation))
    return (1 - _SMOOTH_SHARE) * flat.T @ flat / len(flat) + _SMOOTH_SHARE * smooth + own


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=60, metavar="N", help="random people")
    parser.add_argument("--heads", type=ict_folder, metavar="FOLDER", help=f"{ICT_FOLDER}: half as many of its people")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="dense", help="the landmark backend (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.people < 2 * _TURNS:
        parser.error(f"--people must be at least {2 * _TURNS}, to learn from some and judge others")
    model = load_model("default")
    mean = model.scheme(MEDIAPIPE478).at(slice(SKIN_COUNT)).interpolate(model.mean).astype(np.float64)
    origins = {"our people": (People.of(model), arguments.people)}
    if arguments.heads is not None:
        origins["ICT's people"] = People.of(model, arguments.heads), arguments.people // 2
    reading, known = LinearReading.of(model, mean), None
    for name, (people, count) in origins.items():
        seen = people.seen(count, arguments.seed, arguments.backend)
        looked_at = [person for person in seen if len(person.detected) >= _FEWEST]
        print(f"\n{name}: {len(looked_at)} of {count}, seen in {_FEWEST} views and more")
        moved = displacements(mean, model, looked_at)
        _print_parts(moved, mean)
        alphas = np.array([PersonFitter(model).fit_person(each.detected).alpha for each in looked_at])
        if people.model is model:
            _print_components(alphas, np.array([each.alpha for each in looked_at]))
        print(f"{'error, mm, of the':40}{'  '.join(people.judged)}")
        _print_errors("mean face", model, people, looked_at, 0 * alphas)
        _print_errors("fit", model, people, looked_at, alphas)
        known = known or moved
        for way in (independent, measured):
            read = _read_in_turns(reading, moved, known, mean, way) * model.shape_sigma
            _print_errors(f"linear reading, errors {way.__name__}", model, people, looked_at, read)


def _read_in_turns(
    reading: LinearReading, moved: Displacements, known: Displacements, mean: NDArray[np.float64], way: Covariance
) -> NDArray[np.float64]:
    """α (n, K), in σ, of people, by the errors of the known people; each sixth by the others' if these are the same."""
    errors = known.found - known.true
    if moved is not known:
        return reading.read(moved.found, way(errors, mean))
    turn = np.arange(len(errors)) % _TURNS
    alpha = np.empty((len(errors), reading.basis.shape[1]))
    for each in range(_TURNS):
        alpha[turn == each] = reading.read(moved.found[turn == each], way(errors[turn != each], mean))
    return alpha


def _parts(mean: NDArray[np.float64]) -> dict[str, NDArray[np.intp]]:
    """The points of skin by part of the face, whose places on the mean (468, 3) bound what no list names."""
    parts = {
        "lips": np.array(LIP_RINGS).ravel(),
        "lids": np.array([*RIGHT_EYE_RING, *LEFT_EYE_RING]),
        "brows": np.array(BROWS),
    }
    x, y = np.abs(mean[:, 0]), mean[:, 1]
    rest = np.ones(len(mean), bool)
    rest[np.concatenate(list(parts.values()))] = False
    for name, inside in {
        "nose": (x < 18) & (y > -48) & (y < -5),
        "sides": x > 45,
        "chin": y < -75,
        "forehead": y > 15,
        "cheeks": rest,
    }.items():
        parts[name] = np.flatnonzero(rest & inside)
        rest &= ~inside
    return parts


def _print_parts(moved: Displacements, mean: NDArray[np.float64]) -> None:
    """The split of the errors, and what people's displacements come to, by part, axis and principal direction."""
    errors = moved.found - moved.true
    common = errors.mean(axis=0)
    print("RMS per coordinate, mm: of all people, of a person, of a view; people truly; slope, correlation")
    for name, part in {"all points": np.arange(len(mean)), **_parts(mean)}.items():
        true, found = moved.true[:, part], moved.found[:, part]
        spread = true - true.mean(axis=0)
        sizes = [common[part], (errors - common)[:, part], moved.in_view[:, part], spread]
        shown = "".join(f"{np.sqrt((each**2).mean()):6.2f}" for each in sizes)
        print(f"{name:12}{shown}   {_both(found, true)}")
    for axis, name in enumerate(("across", "up", "to the front")):
        print(f"{name:39}{_both(moved.found[..., axis], moved.true[..., axis])}")
    flat = (moved.true - moved.true.mean(axis=0)).reshape(len(errors), -1)
    _, size, directions = np.linalg.svd(flat, full_matrices=False)
    for index, direction in enumerate(directions[:_ALONG]):
        share = 100 * size[index] ** 2 / (size**2).sum()
        along = (each.reshape(len(errors), -1) @ direction for each in (moved.found, moved.true))
        print(f"{f'direction {index + 1}, {share:.0f} % of the variance':39}{_both(*along)}")


def _print_components(fitted: NDArray[np.float64], true: NDArray[np.float64]) -> None:
    """Slope and correlation of fitted α (n, K) on the true one."""
    for first, end in pairwise(_COMPONENTS):
        chosen = slice(first, min(end, true.shape[1]))
        print(f"{f'fitted α {first + 1} to {end}':39}{_both(fitted[:, chosen], true[:, chosen])}")


def _both(found: NDArray[np.float64], true: NDArray[np.float64]) -> str:
    return "{:5.2f}{:6.2f}".format(*slope_and_correlation(found, true))


def _print_errors(
    name: str, model: MorphableModel, people: People, seen: Sequence[SeenPerson], alphas: NDArray[np.float64]
) -> None:
    """Mean errors of α (n, K) on each part on which people are judged."""
    found = [model.identity(alpha) for alpha in alphas]
    errors = [
        np.mean([identity_error_mm(f, each.vertices, judged) for f, each in zip(found, seen, strict=True)])
        for judged in people.judged.values()
    ]
    print(f"{name:39}", "  ".join(f"{error:.2f}" for error in errors))


if __name__ == "__main__":
    main()
