"""Fit the recipe of the blendshapes to what faces do; write face3dmm_ros/lab/default_model/expressions.json.

Each blendshape is a mixture of a few of MakeHuman's face units and expression targets, by bounded least squares, and of
smooth fields on the skin, by ridge regression. What they are measured against are the displacements of ICT-FaceKit's
shapes (Li et al., CVPR 2020; MIT), told at our points by a registration of the two neutral heads, and at the 68
landmarks; the lips and lids have to meet besides, and the mouth's lining to go with the lips. What
takes part in a smile is measured against people, too: by what 68 of them did from a neutral picture to a smiling one.
"""

import argparse
from pathlib import Path
from typing import TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from scipy.spatial import cKDTree

from face3dmm_ros.correspondence.registration import Registration
from face3dmm_ros.lab.default_model.anatomy import Anatomy, find_anatomy
from face3dmm_ros.lab.default_model.build import mended_identity
from face3dmm_ros.lab.default_model.expression import (
    EXPRESSION_TARGETS,
    NAMES,
    RECIPE,
    SIDELESS,
    Mixture,
    Recipe,
    mirrored,
    other_side,
    skin_displacement,
    skin_fields,
    target_displacement,
)
from face3dmm_ros.lab.default_model.face_mesh_points import corners
from face3dmm_ros.lab.default_model.head import Head, build_head
from face3dmm_ros.lab.default_model.makehuman import MakeHuman
from face3dmm_ros.lab.default_model.people_mean import PeopleMean
from face3dmm_ros.lab.default_model.registration import (
    ICT_FOLDER,
    INNER,
    IctHead,
    ict_folder,
    register,
)
from face3dmm_ros.lab.default_model.smiles import Smiles
from face3dmm_ros.lab.default_model.smooth_fields import spread_anchors, vertex_areas
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import SurfacePoints, load_model
from face3dmm_ros.rendering.smoothstep import smoothstep

# All of these are chosen by hand.
#
# How much the parts of a fit weigh beside the skin, whose weights' squares sum to one: a landmark of the inner face,
# one of the jaw (which other heads mark elsewhere), how a pair of lips or lids moves against each other, and a vertex
# of the mouth's lining against the skin outside.
_LANDMARK, _JAW_LANDMARK, _PAIR, _LINING = 0.07, 0.05, 0.15, 0.015
_TIGHT_LINING = 0.05
# Of the widest fields; narrower ones, which could make lumps, count for more.
_RIDGE = 3e-5
# Share of the trust in the registration that is lost at the corners of the mouth.
_BLURRED = 0.9
# mm, of cheeks and lips at most.
_THICKNESS = 12.0
# mm of the mouth's lining that belong to the lips.
_ROLLING = 4.0
_MOST_TARGETS = 3
# A further target has to take away this share of what is left.
_LEAST_GAIN = 0.05
# Of a target: more would exaggerate what MakeHuman's artists drew.
_MOST_SHARE = 1.3
# mm between the lips from which on a reference's mouth counts as open; below, ours stays shut.
_OPEN = 2.5
# How far a smile goes from ICT's to people's, the ridge on the fields' weights, half of the middle's width, mm.
_PEOPLE, _PEOPLE_RIDGE, _MIDDLE = 0.55, 0.3, 15.0
# What people's displacements bend further.
_SMILING = (
    "mouthSmile", "cheekSquint", "mouthUpperUp", "mouthLowerDown", "mouthDimple", "mouthStretch", "mouthPress",
)  # fmt: skip
# Of bending, and how many people at full weight the shape as it was counts for.
_ROUNDS, _NEAR_REFERENCE = 2, 10.0
# mm that a closed upper lid passes the lower: so that wider eyes than the mean's close as well.
_LID_OVERLAP = 1.8

Rows: TypeAlias = tuple[scipy.sparse.csr_array, NDArray[np.float64]]
"""Linear equations that a displacement X (N, 3) shall satisfy: L (R, N) and y (R, 3) of L X ≈ y, weighted."""


class ExpressionFit:
    """Fits mixtures on one head."""

    def __init__(
        self,
        makehuman: MakeHuman,
        head: Head,
        anatomy: Anatomy,
        mean: NDArray[np.float64],
        landmarks: SurfacePoints,
        other: IctHead,
        registration: Registration,
    ) -> None:
        """On this mean (N, 3), mm, and what another head shows."""
        self.head, self.mean, self.landmarks = head, mean, landmarks
        self.other, self.registration = other, registration
        self.skin = head.is_part("skin")
        drawn = (path.removeprefix(f"{EXPRESSION_TARGETS}/") for path in makehuman.target_names(EXPRESSION_TARGETS))
        self.targets = {
            name: target_displacement(name, makehuman, head) * self.skin[:, None]
            for name in (*NAMES, *drawn)
            if not name.startswith("neck")
        }
        self.counterpart = _mirrored_landmarks(landmarks.interpolate(mean))
        lining = _lining(makehuman, head)
        anchors, radius = _anchors(head, anatomy, mean, lining)
        self.take_up(Recipe(anchors, radius, {}))
        area = vertex_areas(mean, head.skin_triangles)
        mouth_corners = anatomy.lips[-1][list(corners(mean, anatomy.lips[-1]))]
        # Where four edges of lips run together the registration cannot tell which is which.
        blurred = _BLURRED * np.exp(-((cKDTree(mean[mouth_corners]).query(mean)[0] / 5.0) ** 2))
        weight = registration.trust * (1 - blurred) * np.sqrt(area)
        self.weight = weight / np.linalg.norm(weight)
        self.lip_pairs = _facing_pairs(mean, anatomy.lips[-1])
        self.lid_pairs = {
            "Left": _facing_pairs(mean, anatomy.left_eyelids["rim"]),
            "Right": _facing_pairs(mean, anatomy.right_eyelids["rim"]),
        }
        self.lining = _lining_on_skin(mean, lining, self.skin & ~lining, anatomy.lips[-1])
        lower = [_lower_half(mean, loop) for loop in anatomy.lips]
        upper = [np.setdiff1d(loop, below) for loop, below in zip(anatomy.lips, lower, strict=True)]
        self.lips = upper, lower

    def take_up(self, recipe: Recipe) -> None:
        """Go on with a recipe and its fields."""
        self.recipe = recipe
        self._ridge = _RIDGE * (recipe.radius.max() / recipe.radius) ** 2
        self.fields = skin_fields(recipe, self.head, self.mean)

    def reference(self, name: str) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """What the other head shows, mm: at our vertices (N, 3) and at the landmarks (68, 3), both sides averaged."""
        at_vertices, at_landmarks = self._shown(name)
        other_vertices, other_landmarks = self._shown(other_side(name))
        return (
            (at_vertices + mirrored(other_vertices, self.head)) / 2,
            (at_landmarks + (other_landmarks * [-1, 1, 1])[self.counterpart]) / 2,
        )

    def _shown(self, name: str) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        displacement = self.registration.similarity.scale * self.other.displacement(name)
        return self.registration.points.interpolate(displacement), displacement[self.other.landmarks]

    def fit(self, name: str) -> None:
        """Add one blendshape's mixture to the recipe."""
        if name == "tongueOut":
            self.recipe.mixtures[name] = Mixture({"tongueOut": 1.0}, np.zeros((len(self.recipe.anchors), 3)))
            return
        L, y = self._rows(name)
        targets = self._targets(name, L, y)
        skin = sum((share * self._unit(part, name) for part, share in targets.items()), np.zeros_like(self.mean))
        bumps = _ridge_solution(L @ self.fields, np.diag(self._ridge), y - L @ skin)
        if other_side(name) == name:
            # Symmetric fields of symmetric demands: what is left of asymmetry is rounding, or the reference's own.
            targets |= {other_side(part): share for part, share in targets.items()}
        self.recipe.mixtures[name] = Mixture(targets, bumps)

    def smile_as_people(self, smiles: Smiles, mediapipe: SurfacePoints) -> None:
        """Push mouthSmileLeft by `_PEOPLE` of the way to the people's mean smile, less what else rose in it.

        The blendshape network tells by how much each weight rose; with it goes the rest of their displacement.
        """
        rise = dict(zip(NAMES, smiles.rise.mean(axis=0), strict=False))
        shapes = {name: self.shape(name) for name in self.recipe.mixtures}
        both = {name: shapes[name] + mirrored(shapes[name], self.head) for name in shapes if name.endswith("Left")}
        others = np.zeros_like(self.mean)
        for name in shapes:
            if name.endswith("Left") and name not in SIDELESS and not name.startswith(("mouthSmile", "eyeLook")):
                others += (rise[name] + rise[other_side(name)]) / 2 * both[name]
            elif other_side(name) == name and name != "tongueOut":
                others += rise[name] * shapes[name]
        strength = (rise["mouthSmileLeft"] + rise["mouthSmileRight"]) / 2
        counterpart = _mirrored_landmarks(mediapipe.interpolate(self.mean))
        mean = smiles.displacement.mean(axis=0)
        mean = (mean + (mean * [-1, 1])[counterpart]) / 2
        wanted = (mean - mediapipe.interpolate(others)[:, :2]) / strength
        self._bend(
            "mouthSmileLeft", mediapipe, _PEOPLE * (wanted - mediapipe.interpolate(both["mouthSmileLeft"])[:, :2])
        )

    def follow_people(self, smiles: Smiles, mediapipe: SurfacePoints) -> None:
        """Bend the blendshapes of a smile toward what people's displacements leave, person by person.

        In turns the weights are solved for, the head's turn and the eyes' drift beside them, and then the shapes, by
        ridge regression about what they were: dictionary learning that begins at, and stays near, the reference.
        """
        rest = mediapipe.interpolate(self.mean)
        counterpart = _mirrored_landmarks(rest)
        pose = _pose_displacements(rest)
        for _ in range(_ROUNDS):
            names = [name for name in NAMES if name != "tongueOut"]
            shapes = np.stack([mediapipe.interpolate(self.shape(name))[:, :2].ravel() for name in names], axis=1)
            weights, left = _explained(smiles.displacement, shapes, pose)
            both_sides = np.concatenate([left, (left * [-1, 1])[:, counterpart]])
            index = [(names.index(name + "Left"), names.index(name + "Right")) for name in _SMILING]
            shares = np.tile(np.stack([weights[:, pair].mean(axis=1) for pair in index], axis=1), (2, 1))
            normal = shares.T @ shares + _NEAR_REFERENCE * np.eye(len(_SMILING))
            changes = np.linalg.solve(normal, shares.T @ both_sides.reshape(len(both_sides), -1))
            for name, change in zip(_SMILING, changes, strict=True):
                self._bend(name + "Left", mediapipe, change.reshape(-1, 2))

    def _bend(self, name: str, points: SurfacePoints, lacking: NDArray[np.float64]) -> None:
        """Add smooth fields to a blendshape of the left that move points by (P, 2) mm more, across and up.

        On the right they fade, by a smooth step over the middle of the face.
        """
        seen = points.interpolate(self.fields)
        bumps = _ridge_solution(
            seen, _PEOPLE_RIDGE * np.eye(seen.shape[1]), np.column_stack([lacking, np.zeros(len(lacking))])
        )
        mixture = self.recipe.mixtures[name]
        left = smoothstep(-_MIDDLE, _MIDDLE, self.mean[self.recipe.anchors, 0])[:, None]
        self.recipe.mixtures[name] = Mixture(mixture.targets, mixture.bumps + left * bumps)

    def shape(self, name: str) -> NDArray[np.float64]:
        """(N, 3) mm, the fitted skin."""
        return skin_displacement(name, self.recipe, self.fields, self.targets.__getitem__, self.head)

    def _rows(self, name: str) -> Rows:
        """All equations of a blendshape: skin, landmarks, lips, lids and the mouth's lining."""
        N = len(self.mean)
        vertices, landmarks = self.reference(name)
        weight = np.full(68, _JAW_LANDMARK)
        weight[INNER] = _LANDMARK
        parts: list[Rows] = [
            (scipy.sparse.csr_array(scipy.sparse.diags_array(self.weight)), self.weight[:, None] * vertices),
            (scipy.sparse.csr_array(weight[:, None] * _interpolation(self.landmarks, N)), weight[:, None] * landmarks),
        ]
        apart = vertices[self.lip_pairs[:, 0]] - vertices[self.lip_pairs[:, 1]]
        if name == "mouthClose":
            # It closes the lips of an open jaw, and they keep their thickness.
            jaw = self.shape("jawOpen")
            apart = -(jaw[self.lip_pairs[:, 0]] - jaw[self.lip_pairs[:, 1]])
            parts += [self._kept_lip(loops, jaw, 0.75 * _PAIR) for loops in self.lips]
        elif apart[:, 1].max() < _OPEN:
            apart = np.zeros_like(apart)
        elif name == "jawOpen":
            parts.append(self._kept_lip(self.lips[0], np.zeros_like(self.mean), 0.3 * _PAIR))
        parts.append(_pair_rows(self.lip_pairs, apart, _PAIR, N))
        if name.startswith("eyeBlink"):
            pairs = self.lid_pairs[name.removeprefix("eyeBlink")]
            gap = self.mean[pairs[:, 0]] - self.mean[pairs[:, 1]]
            parts.append(_pair_rows(pairs, -gap - [0.0, _LID_OVERLAP, 0.0], _PAIR, N))
        # A lower lip that is pushed up slides over the teeth, and its lining has to come along on every face.
        lining = _TIGHT_LINING if name == "mouthShrugLower" else _LINING
        parts.append(_pair_rows(self.lining, np.zeros((len(self.lining), 3)), lining, N))
        L, y = zip(*parts, strict=True)
        return scipy.sparse.csr_array(scipy.sparse.vstack(L)), np.vstack(y)

    def _kept_lip(self, loops: list[NDArray[np.int64]], jaw: NDArray[np.float64], weight: float) -> Rows:
        """A lip's outer loops go with its innermost, as far as the jaw has not parted them already."""
        inner = loops[-1]
        pairs = []
        for loop in loops[:-1]:
            nearest = np.abs(self.mean[loop, 0][:, None] - self.mean[inner, 0]).argmin(axis=1)
            pairs.append(np.column_stack([loop, inner[nearest]]))
        kept = np.concatenate(pairs)
        return _pair_rows(kept, -(jaw[kept[:, 0]] - jaw[kept[:, 1]]), weight, len(self.mean))

    def _targets(self, name: str, L: scipy.sparse.csr_array, y: NDArray[np.float64]) -> dict[str, float]:
        """A few targets and their shares: the blendshape's own unit, then whichever takes away most."""
        wanted = y.ravel()
        seen = {part: (L @ self._unit(part, name)).ravel() for part in self._candidates(name)}
        chosen, shares, left = [name], np.zeros(0), wanted
        while True:
            trial = np.stack([seen[part] for part in chosen], axis=1)
            lower = np.where(np.array(chosen) == name, 0.0, -1.0)
            ridge = np.diag(0.05 * np.linalg.norm(trial, axis=0))
            found = lsq_linear(
                np.vstack([trial, ridge]), np.concatenate([wanted, np.zeros(len(chosen))]), (lower, _MOST_SHARE)
            ).x
            remaining = wanted - trial @ found
            if len(chosen) > 1 and np.linalg.norm(remaining) > (1 - _LEAST_GAIN) * np.linalg.norm(left):
                chosen.pop()
                break
            shares, left = found, remaining
            others = [part for part in seen if part not in chosen]
            if len(chosen) == _MOST_TARGETS or not others:
                break
            chosen.append(max(others, key=lambda part: abs(seen[part] @ left) / max(np.linalg.norm(seen[part]), 1e-9)))
        return {part: float(share) for part, share in zip(chosen, shares, strict=True) if abs(share) > 0.01}

    def _candidates(self, name: str) -> list[str]:
        """Targets that may help: of a blendshape of one side that side's, of others those of both sides at once."""
        if name in SIDELESS:
            return list(self.targets)
        left = [part for part in self.targets if "left" in part.lower() and part not in SIDELESS]
        if other_side(name) != name:
            return left
        return left + [part for part in self.targets if other_side(part) == part]

    def _unit(self, part: str, name: str) -> NDArray[np.float64]:
        """A target as a blendshape takes it: both sides at once where it has no side itself."""
        unit = self.targets[part]
        if name in SIDELESS or other_side(name) != name or other_side(part) == part:
            return unit
        return unit + self.targets[other_side(part)]


def _lining(makehuman: MakeHuman, head: Head) -> NDArray[np.bool_]:
    """(N,) the skin inside the mouth."""
    return head.is_part("skin") & (head.carry(makehuman.mask("inside-mouth")) > 0.5)


def _anchors(
    head: Head, anatomy: Anatomy, mean: NDArray[np.float64], lining: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where fields begin and how wide they are: narrow ones around lips and lids, wide ones elsewhere in front."""
    lids = [loop for lids in (anatomy.left_eyelids, anatomy.right_eyelids) for loop in lids.values()]
    fine = np.concatenate([*anatomy.lips, *lids])
    distance = cKDTree(mean[fine]).query(mean)[0]
    spacing = np.interp(distance, [0.0, 2.0, 10.0, 25.0], [6.0, 6.0, 11.0, 20.0])
    height = mean[:, 1]
    front = mean[:, 2] > np.interp(height, [-130.0, -60.0, 0.0, 60.0], [-68.0, -60.0, -60.0, -43.0])
    lips = cKDTree(mean[np.concatenate(anatomy.lips)]).query(mean)[0]
    allowed = head.is_part("skin") & front & (np.abs(height + 31) < 97) & ~(lining & (lips > 6.0))
    spacing[~allowed] = np.inf
    anchors = spread_anchors(mean, spacing, head.mirror)
    return anchors, np.array([6.0, 9.0, 15.0])[np.searchsorted([7.0, 12.0], spacing[anchors])]


def _lower_half(mean: NDArray[np.float64], loop: NDArray[np.int64]) -> NDArray[np.int64]:
    """The vertices of a loop around a slit that lie below, corners left out."""
    rolled = np.roll(loop, -corners(mean, loop)[0])
    last = corners(mean, rolled)[1]
    halves = rolled[1:last], rolled[last + 1 :]
    return min(halves, key=lambda half: float(mean[half, 1].mean()))


def _facing_pairs(mean: NDArray[np.float64], loop: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P, 2) vertices of the upper and the lower edge that face each other."""
    lower = _lower_half(mean, loop)
    upper = np.setdiff1d(loop, np.concatenate([lower, loop[list(corners(mean, loop))]]))
    facing = lower[np.abs(mean[upper, 0][:, None] - mean[lower, 0]).argmin(axis=1)]
    return np.column_stack([upper, facing])


def _lining_on_skin(
    mean: NDArray[np.float64], lining: NDArray[np.bool_], outside: NDArray[np.bool_], lips: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(P, 2) vertices of the lining near the surface, and the vertex of the skin outside that each lies under."""
    # What is next to the slit rolls in and out with the lips, and is told by the reference.
    inside = np.flatnonzero(lining & (cKDTree(mean[lips]).query(mean)[0] > _ROLLING))
    skin = np.flatnonzero(outside)
    distance, nearest = cKDTree(mean[skin]).query(mean[inside])
    near = distance < _THICKNESS
    return np.column_stack([inside[near], skin[nearest[near]]])


def _pair_rows(pairs: NDArray[np.int64], apart: NDArray[np.float64], weight: float, count: int) -> Rows:
    """How the first of each pair (P, 2) shall move against the second (P, 3)."""
    P = len(pairs)
    ones = np.full(P, weight)
    entries = (np.concatenate([ones, -ones]), (np.tile(np.arange(P), 2), pairs.T.ravel()))
    return scipy.sparse.csr_array(entries, shape=(P, count)), weight * apart


def _ridge_solution(
    seen: NDArray[np.floating], ridge: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(K, 3) weights of fields that show as (R, K), for what is wanted (R, 3), with a ridge (K, K)."""
    return np.linalg.solve(seen.T @ seen + ridge, seen.T @ wanted)


def _interpolation(points: SurfacePoints, count: int) -> scipy.sparse.csr_array:
    """(P, N): from values at vertices to values at surface points."""
    P = len(points.vertices)
    entries = (points.weights.ravel().astype(np.float64), (np.repeat(np.arange(P), 3), points.vertices.ravel()))
    return scipy.sparse.csr_array(entries, shape=(P, count))


def _pose_displacements(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(2P, 6): how (P, 3) points from the front drift, grow and turn: what two pictures of a head differ by."""
    x, y, z = points.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    right = np.stack([one, zero, x, -y, z, zero], axis=1)
    up = np.stack([zero, one, y, x, zero, z], axis=1)
    return np.stack([right, up], axis=1).reshape(-1, 6) / [1.0, 1.0, 50.0, 50.0, 50.0, 50.0]


def _explained(
    displacement: NDArray[np.float64], shapes: NDArray[np.float64], pose: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (n, E) in [0, 1] of shapes (2P, E) in displacements (n, P, 2), and what they and the pose leave."""
    E, F = shapes.shape[1], pose.shape[1]
    ridge = np.diag(np.concatenate([np.full(E, 2.0), np.full(F, 0.5)]))
    matrix = np.vstack([np.hstack([shapes, pose]), ridge])
    bounds = np.concatenate([np.zeros(E), np.full(F, -50.0)]), np.concatenate([np.ones(E), np.full(F, 50.0)])
    found = np.array(
        [lsq_linear(matrix, np.concatenate([one.ravel(), np.zeros(E + F)]), bounds).x for one in displacement]
    )
    left = displacement - (found @ matrix[: -E - F].T).reshape(displacement.shape)
    return found[:, :E], left


def _mirrored_landmarks(points: NDArray[np.floating]) -> NDArray[np.int64]:
    """(68,) each landmark's counterpart on the other side."""
    return np.linalg.norm(points[:, None] * [-1, 1, 1] - points[None], axis=2).argmin(axis=1)


def main() -> None:
    """Register, fit, write, and print how near each blendshape comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ict", type=ict_folder, help=ICT_FOLDER)
    parser.add_argument("smiles", type=Path, help="folder of people's NNN_neutral.jpg and NNN_smile.jpg")
    MakeHuman.add_arguments(parser)
    parser.add_argument("--only", nargs="+", choices=NAMES, help="fit these anew and keep the others of the recipe")
    parser.add_argument("--out", type=Path, default=RECIPE)
    arguments = parser.parse_args()
    makehuman = MakeHuman.of(arguments)
    head = build_head(makehuman)
    anatomy = find_anatomy(makehuman.base, head)
    model = load_model("default")
    mediapipe = model.scheme("mediapipe478").at(slice(SKIN_COUNT))
    mean = PeopleMean.read().moved(mended_identity(makehuman, head).mean.astype(np.float64), head, mediapipe)
    other = IctHead.load(arguments.ict)
    landmarks = model.scheme("ibug68")
    registration = register(other, mean, head.triangles, head.is_part("skin"), landmarks)
    fit = ExpressionFit(makehuman, head, anatomy, mean, landmarks, other, registration)
    if arguments.only:
        fit.take_up(Recipe.read())
    for name in sorted(arguments.only or NAMES, key=lambda name: name != "jawOpen"):
        if not name.endswith("Right"):
            fit.fit(name)
            _report(fit, name)
    if not arguments.only:
        smiles = Smiles.measure(arguments.smiles)
        fit.smile_as_people(smiles, mediapipe)
        fit.follow_people(smiles, mediapipe)
    fit.recipe.write(arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.0f} kB")


def _report(fit: ExpressionFit, name: str) -> None:
    """One line: cosine and size at the landmarks in the frontal plane, and what is left of the skin's displacement."""
    if name == "tongueOut":
        return
    shape, (wanted, landmarks) = fit.shape(name), fit.reference(name)
    ours, theirs = fit.landmarks.interpolate(shape)[:, :2].ravel(), landmarks[:, :2].ravel()
    cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
    left = np.linalg.norm(fit.weight[:, None] * (shape - wanted)) / np.linalg.norm(fit.weight[:, None] * wanted)
    print(f"{name:18} cosine {cosine:.3f}, size {np.linalg.norm(ours) / np.linalg.norm(theirs):.2f}, left {left:.2f}")


if __name__ == "__main__":
    main()
