"""ARKit's 52 blendshapes: mixed from MakeHuman's face units and targets, and bent by smooth fields.

The recipe, `expressions.json`, says of each blendshape how much of which units it takes, and how far bumps on the skin
push besides. `lab/default_model/fit_expressions.py` wrote it by measuring what faces do. Left is fitted, right is its
mirror image.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES as NAMES
from face3dmm_ros.core.rotations import rotation_from_vector
from face3dmm_ros.lab.default_model.anatomy import Anatomy
from face3dmm_ros.lab.default_model.head import EYES, MILLIMETRES, Head, homogeneous
from face3dmm_ros.lab.default_model.makehuman import MakeHuman
from face3dmm_ros.lab.default_model.smooth_fields import smooth_fields

RECIPE = Path(__file__).with_name("expressions.json")

SIDELESS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
"""Names whose side is a direction: the whole jaw or mouth moves there."""

EXPRESSION_TARGETS = "expression/units/caucasian"
"""MakeHuman's own folder of expression targets."""

# Degrees that the left eye turns at full weight, pitch (positive looks down) and yaw (positive looks to +x). Chosen
# by hand.
_GAZE = {"Up": (-18.0, 0.0), "Down": (22.0, 0.0), "In": (0.0, -26.0), "Out": (0.0, 26.0)}

# Lower teeth and tongue move as one with the jaw: translation at their middle, mm, and rotation vector, degrees.
# Measured on the lower teeth of ICT-FaceKit, which move rigidly to 2 mm.
_JAW = {
    "jawOpen": ((0.0, -21.5, -19.9), (24.6, 0.0, 0.0)),
    "jawForward": ((0.0, -1.6, 8.5), (0.0, 0.0, 0.0)),
    "jawLeft": ((6.2, -0.6, 0.6), (0.0, 1.9, 0.0)),
    "jawRight": ((-6.2, -0.6, 0.6), (0.0, -1.9, 0.0)),
}

_LID_CLEARANCE = 0.5
"""mm that skin keeps from an eyeball that it slides over; chosen by hand, so that the eyeball never shows through."""


@dataclass(frozen=True)
class Mixture:
    """One blendshape's recipe.

    Attributes:
        targets: how much of each face unit (by ARKit's name) or MakeHuman target.
        bumps: (K, 3) mm, how far each smooth field pushes.
    """

    targets: dict[str, float]
    bumps: NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """All blendshapes' mixtures, but for those that mirror one of the left, and the K fields that they share.

    Attributes:
        anchors: (K,) vertices of the head.
        radius: (K,) mm.
        mixtures: by ARKit's name.
    """

    anchors: NDArray[np.int64]
    radius: NDArray[np.float64]
    mixtures: dict[str, Mixture]

    @staticmethod
    def read(path: Path = RECIPE) -> "Recipe":
        """Read what `write` wrote."""
        text = json.loads(path.read_text())
        mixtures = {
            name: Mixture(part["targets"], np.array(part["bumps_micrometres"], np.float64).reshape(-1, 3) / 1000)
            for name, part in text["blendshapes"].items()
        }
        return Recipe(np.array(text["anchors"]), np.array(text["radius_mm"], np.float64), mixtures)

    def write(self, path: Path = RECIPE) -> None:
        """Write a file of one line a blendshape; bumps are rounded to 10 µm."""
        lines = [
            f"{json.dumps(name)}: "
            + json.dumps(
                {
                    "targets": {target: round(share, 3) for target, share in part.targets.items()},
                    "bumps_micrometres": [10 * int(value) for value in np.round(100 * part.bumps).ravel()],
                },
                separators=(",", ":"),
            )
            for name, part in self.mixtures.items()
        ]
        anchors, radius = self.anchors.tolist(), self.radius.tolist()
        blendshapes = ",\n".join(lines)
        path.write_text(
            f'{{\n"anchors": {anchors},\n"radius_mm": {radius},\n"blendshapes": {{\n{blendshapes}\n}}\n}}\n'
        )


def other_side(name: str) -> str:
    """The name of the blendshape, or target, that mirrors this one; itself if there is none."""
    for side, other in (("Left", "Right"), ("Right", "Left"), ("-left", "-right"), ("-right", "-left")):
        if side in name:
            return name.replace(side, other)
    return name


def mirrored(displacement: NDArray[np.floating], head: Head) -> NDArray[np.float64]:
    """(N, 3) on the other side of the face."""
    return np.ascontiguousarray((displacement * [-1, 1, 1])[head.mirror])


def target_displacement(name: str, makehuman: MakeHuman, head: Head) -> NDArray[np.float64]:
    """(N, 3) mm, of a face unit or of one of `EXPRESSION_TARGETS`."""
    if name in NAMES:
        return MILLIMETRES * head.carry(makehuman.face_unit(name))
    return MILLIMETRES * head.carry(makehuman.target(f"{EXPRESSION_TARGETS}/{name}"))


def skin_fields(recipe: Recipe, head: Head, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """The recipe's smooth fields (N, K) on a mean face (N, 3), mm."""
    return smooth_fields(mean, head.skin_triangles, recipe.anchors, recipe.radius)


def skin_displacement(
    name: str, recipe: Recipe, fields: NDArray[np.float64], target: Callable[[str], NDArray[np.float64]], head: Head
) -> NDArray[np.float64]:
    """(N, 3) mm, of the skin in a blendshape, zero elsewhere: by its recipe, or the mirror image of its other side.

    `fields` (N, K) are the recipe's, and `target` gives the displacement (N, 3), mm, of a unit or target by its name.
    """
    if name not in recipe.mixtures:
        return mirrored(skin_displacement(other_side(name), recipe, fields, target, head), head)
    skin = fields @ recipe.mixtures[name].bumps
    for part, share in recipe.mixtures[name].targets.items():
        skin += share * target(part)
    skin = skin * head.is_part("skin")[:, None]
    return (skin + mirrored(skin, head)) / 2 if name == other_side(name) else skin


def blendshapes(makehuman: MakeHuman, head: Head, anatomy: Anatomy, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements of every blendshape at full weight, (3N, 52), mm, for a mean face (N, 3), mm."""
    recipe = Recipe.read()
    fields = skin_fields(recipe, head, mean)
    basis = np.empty((mean.size, len(NAMES)))
    for column, name in enumerate(NAMES):
        skin = skin_displacement(name, recipe, fields, lambda part: target_displacement(part, makehuman, head), head)
        displacement = _over_eyeballs(skin, head, mean)
        if name.startswith("eyeLook"):
            displacement += _gaze(name, head, mean)
        if name in _JAW:
            displacement += _jaw(name, head, mean)
        if name == "tongueOut":
            displacement += target_displacement(name, makehuman, head) * head.is_part("tongue")[:, None]
        basis[:, column] = displacement.ravel()
    return basis


def _over_eyeballs(displacement: NDArray[np.float64], head: Head, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """The displacement (N, 3) with the skin that it would push into an eyeball kept outside."""
    moved = mean + displacement
    for name in EYES:
        axes = affine_eyeball(name, head, mean)
        before = np.linalg.norm(mean - axes[3], axis=1)
        outside = head.is_part("skin") & (before > np.linalg.norm(axes[:3], axis=1).mean())
        moved = kept_off_eyeball(moved, outside, axes, axes[3], before)
    return moved - mean


def kept_off_eyeball(
    moved: NDArray[np.float64],
    skin: NDArray[np.bool_],
    axes: NDArray[np.float64],
    center: NDArray[np.float64],
    before: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Moved vertices (N, 3), those of the skin pushed out to `_LID_CLEARANCE` from an eyeball.

    A vertex that lay nearer before it moved is only kept from going deeper.

    Args:
        moved: (N, 3) mm.
        skin: (N,) which vertices are pushed.
        axes: (4, 3) as of `affine_eyeball`, whose lengths tell the radius.
        center: (3,) of the eyeball that the moved vertices lie around.
        before: (N,) mm, the vertices' distances from its centre before they moved.
    """
    after = np.linalg.norm(moved - center, axis=1)
    least = np.minimum(before, float(np.linalg.norm(axes[:3], axis=1).mean()) + _LID_CLEARANCE)
    pushed = center + (moved - center) * (least / np.maximum(after, 1e-9))[:, None]
    return np.where((skin & (after < least))[:, None], pushed, moved)


def affine_eyeball(name: str, head: Head, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 3) axes and centre of the eyeball of that name: its vertices are direction @ axes + centre."""
    eye = head.is_part(name)
    return np.asarray(np.linalg.lstsq(homogeneous(head.eye_direction[eye]), mean[eye], rcond=None)[0])


def _gaze(name: str, head: Head, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements of an eyeball that turns about its own centre."""
    left = name.endswith("Left")
    pitch, yaw = _GAZE[name.removeprefix("eyeLook").removesuffix("Left" if left else "Right")]
    # In and Out mirror each other: the left eye's outward side is +x, the right eye's is −x.
    turn = (pitch, yaw if left else -yaw, 0.0)
    eye = EYES[0] if left else EYES[1]
    return _turned(mean, head.is_part(eye), affine_eyeball(eye, head, mean)[3], turn)


def _jaw(name: str, head: Head, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements of lower teeth and tongue, which the jaw takes along."""
    shift, turn = _JAW[name]
    taken = head.is_part("lower_teeth", "tongue")
    middle = mean[head.is_part("lower_teeth")].mean(axis=0)
    return _turned(mean, taken, middle, turn) + np.array(shift) * taken[:, None]


def _turned(
    mean: NDArray[np.float64],
    part: NDArray[np.bool_],
    center: NDArray[np.float64],
    degrees: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Displacements (N, 3) of a part that turns about a centre by a rotation vector; zero elsewhere."""
    displacement = np.zeros_like(mean)
    arm = mean[part] - center
    displacement[part] = arm @ rotation_from_vector(np.radians(degrees)).T - arm
    return displacement
