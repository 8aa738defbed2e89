"""Vertex colours: a mean, and components that one can name, made from where things lie on a face."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.default_model.anatomy import Anatomy
from face3dmm_ros.lab.default_model.curves import interpolated
from face3dmm_ros.lab.default_model.head import EYES, Head
from face3dmm_ros.lab.default_model.makehuman import MakeHuman
from face3dmm_ros.rendering.smoothstep import smoothstep

COMPONENTS = (
    "skin_tone", "redness", "lips", "brows", "facial_hair", "scalp_hair", "hair_colour", "eye_colour",
)  # fmt: skip
"""Names of the albedo components, in order; each column is one standard deviation, so σ is 1."""

# Colours and steps of one standard deviation, sRGB in [0, 1], chosen by hand. Skin lies halfway between the lightest
# and darkest skins that cameras record; melanin moves along that axis.
SKIN = np.array([0.70, 0.52, 0.43])
MELANIN = np.array([0.125, 0.125, 0.115])
HAEMOGLOBIN = np.array([0.015, -0.012, -0.009])
LIP = np.array([0.62, 0.34, 0.32])
LIP_STEP = np.array([0.03, -0.04, -0.025])
HAIR = np.array([0.17, 0.12, 0.09])
HAIR_COLOUR_STEP = np.array([0.10, 0.075, 0.045])
SCLERA = np.array([0.90, 0.88, 0.86])
IRIS = np.array([0.33, 0.22, 0.14])
IRIS_STEP = np.array([0.07, 0.10, 0.13])
PUPIL = np.array([0.03, 0.03, 0.03])
MOUTH = np.array([0.30, 0.09, 0.09])
GUM = np.array([0.62, 0.30, 0.29])
TOOTH = np.array([0.90, 0.87, 0.79])
TONGUE = np.array([0.66, 0.34, 0.34])
CARUNCLE = np.array([0.68, 0.40, 0.36])


# Where things lie on the face, here and below, are mm from the eyes' midpoint, chosen by hand.
#
# Distance of a brow's beginning from the midline, and its length across.
_BROW_FROM, _BROW_LENGTH = 10.0, 40.0


def _bump(position: NDArray[np.float64], center: tuple[float, float, float], radius: float) -> NDArray[np.float64]:
    """Gaussian about a point and its mirror image."""
    mirrored = np.column_stack([np.abs(position[:, 0]), position[:, 1:]])
    return np.exp(-(np.linalg.norm(mirrored - center, axis=1) ** 2) / (2 * radius**2))


def _brows(position: NDArray[np.float64], skin: NDArray[np.float64]) -> NDArray[np.float64]:
    """A strip of hair over each eye: rises from the nose side, peaks at two thirds, thins out toward the temple."""
    side, height, depth = np.abs(position[:, 0]), position[:, 1], position[:, 2]
    along = np.clip((side - _BROW_FROM) / _BROW_LENGTH, 0.0, 1.0)
    middle = np.interp(along, [0.0, 0.25, 0.65, 1.0], [17.0, 20.0, 23.2, 19.0])
    half_width = np.interp(along, [0.0, 0.2, 0.65, 1.0], [4.0, 3.8, 3.0, 1.8])
    across = np.exp(-(((height - middle) / half_width) ** 2))
    return skin * across * smoothstep(8.5, 13.0, side) * (1 - smoothstep(45.0, 52.0, side)) * (depth > 0)


def _scalp(position: NDArray[np.float64], skin: NDArray[np.float64], ears: NDArray[np.float64]) -> NDArray[np.float64]:
    """Short hair: above a line from the forehead over the temples, down before the ear and behind it to the nape."""
    depth, height = position[:, 2], position[:, 1]
    hairline = np.interp(
        depth,
        [-175, -150, -115, -100, -92, -76, -70, -62, -56, -48, -38, -18, 4, 30],
        [-75, -70, -55, -30, 2, 8, -8, -8, 14, 28, 40, 54, 68, 72],
    )
    return skin * (1 - ears) * smoothstep(-4.0, 7.0, height - hairline)


def _beard(position: NDArray[np.float64], skin: NDArray[np.float64], lips: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moustache, chin and jaw up to before the ear."""
    side, height, depth = np.abs(position[:, 0]), position[:, 1], position[:, 2]
    upper_edge = np.interp(side, [0, 12, 26, 34, 50, 66, 78], [-47, -47, -56, -66, -62, -40, -12])
    lower_edge = np.interp(depth, [-75, -45, 0, 30], [-75, -108, -124, -124])
    area = (
        smoothstep(0.0, 9.0, upper_edge - height)
        * smoothstep(-4.0, 8.0, height - lower_edge)
        * smoothstep(-70.0, -58.0, depth)
    )
    return skin * area * (1 - lips)


def build_albedo(
    makehuman: MakeHuman, head: Head, anatomy: Anatomy, mean_shape: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Paint the mean face (N, 3), mm.

    Returns:
        (N, 3) mean albedo, sRGB in [0, 1]; (3N, L) basis per standard deviation, one column per name in `COMPONENTS`;
        and named regions, masks (N,) in [0, 1].
    """
    position = (mean_shape + mean_shape[head.mirror] * [-1, 1, 1]) / 2

    def texture(name: str) -> NDArray[np.float64]:
        mask = np.clip(head.carry(makehuman.mask(name)), 0.0, 1.0) * head.is_part("skin")
        return np.maximum(mask, mask[head.mirror])

    eyes = head.is_part(*EYES).astype(float)
    teeth = head.is_part("upper_teeth", "lower_teeth").astype(float)
    tongue = head.is_part("tongue").astype(float)
    mouth = (texture("inside-mouth") > 0.5).astype(float)
    skin = head.is_part("skin") * (1 - mouth)
    lips, ears = texture("lips"), texture("ears")
    lips[np.concatenate(anatomy.lips[1:])] = 1.0
    lips *= skin
    brows = _brows(position, skin)
    scalp = _scalp(position, skin, ears)
    beard = _beard(position, skin, lips)
    neck_line = np.interp(position[:, 2], [-170, -110, -70, -40, 0, 20], [-70, -62, -68, -98, -122, -124])
    neck = skin * (1 - smoothstep(-6.0, 6.0, position[:, 1] - neck_line))
    face = np.maximum(texture("face"), lips) * (1 - neck)

    flush = _bump(position, (44, -38, 5), 15) + _bump(position, (0, -35, 42), 9) + 0.8 * ears
    flush += 0.6 * _bump(position, (0, -115, 15), 12)
    tone = SKIN + HAEMOGLOBIN * (1.3 * flush - 0.2)[:, None]
    under_eye = _bump(position, (26, -12, 14), 7)
    tone = tone * (1 - 0.07 * under_eye)[:, None]
    hair_cover, brow_cover = 0.72 * scalp, 0.78 * brows
    rims, lashes = np.zeros(len(position)), np.zeros(len(position))
    for eyelids in (anatomy.left_eyelids, anatomy.right_eyelids):
        rims[eyelids["socket"]], rims[eyelids["rim"]] = 0.9, 0.6
        for name, above, below in (("lash_line", 0.62, 0.28), ("rim", 0.75, 0.15)):
            height = position[eyelids[name], 1]
            lashes[eyelids[name]] = np.where(height > height.mean(), above, below)
    color = tone
    for paint, cover in (
        (LIP, 0.85 * lips), (CARUNCLE, rims), (HAIR, hair_cover), (HAIR, brow_cover), (0.7 * HAIR, lashes),
        (0.75 * SKIN, 0.12 * beard), (MOUTH, mouth),
    ):  # fmt: skip
        color = color + cover[:, None] * (paint - color)
    for name in ("upper_teeth", "lower_teeth"):
        color[head.is_part(name)] = _teeth(position[head.is_part(name)], up=name == "upper_teeth")
    color[tongue > 0] = TONGUE
    color[eyes > 0], iris = _eyes(head.eye_direction[eyes > 0])

    bare = skin * (1 - hair_cover) * (1 - brow_cover) * (1 - lashes)
    steps = {
        "skin_tone": MELANIN * (bare * (1 - 0.45 * lips))[:, None],
        "redness": HAEMOGLOBIN * (bare * (0.8 + 0.9 * flush + 0.5 * lips))[:, None],
        "lips": LIP_STEP * lips[:, None],
        "brows": 0.14 * (HAIR - SKIN) * brows[:, None],
        "facial_hair": 0.09 * (HAIR - SKIN) * beard[:, None],
        "scalp_hair": 0.16 * (HAIR - SKIN) * scalp[:, None],
        "hair_colour": HAIR_COLOUR_STEP * np.maximum(hair_cover, brow_cover)[:, None],
        "eye_colour": np.zeros_like(color),
    }
    steps["eye_colour"][eyes > 0] = IRIS_STEP * iris[:, None]
    basis = np.column_stack([steps[name].ravel() for name in COMPONENTS])
    regions = {
        "skin": skin, "face": face, "eyes": eyes, "lips": lips, "brows": brows, "scalp": scalp, "beard": beard,
        "ears": ears, "neck": neck, "mouth_interior": np.maximum(mouth, tongue), "teeth": teeth,
    }  # fmt: skip
    return np.clip(color, 0.0, 1.0), basis, regions


def _teeth(position: NDArray[np.float64], up: bool) -> NDArray[np.float64]:
    """Off-white toward the biting edge, gum above the upper row and below the lower, shadow toward the cheeks."""
    height = position[:, 1] if up else -position[:, 1]
    gum = smoothstep(float(np.quantile(height, 0.45)), float(np.quantile(height, 0.9)), height)
    color = TOOTH + gum[:, None] * (GUM - TOOTH)
    shadow = smoothstep(9.0, 18.0, np.abs(position[:, 0]))
    return color + 0.9 * shadow[:, None] * (MOUTH - color)


def _eyes(direction: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Colours (n, 3) of eyeball vertices by their angle from the optical axis, and how much of each is iris (n,)."""
    angle = np.degrees(np.arccos(np.clip(direction[:, 2], -1.0, 1.0)))
    rings = [0.0, 7.0, 8.6, 15.0, 21.0, 23.4, 25.4, 34.0, 60.0, 100.0]
    limbus = 0.45 * IRIS
    colors = [PUPIL, PUPIL, 0.8 * IRIS, 1.15 * IRIS, 0.9 * IRIS, limbus, SCLERA, SCLERA]
    colors += [SCLERA - [0.03, 0.10, 0.10], SCLERA - [0.10, 0.30, 0.30]]
    return interpolated(angle, np.array(rings), np.array(colors)), np.interp(
        angle, rings, [0, 0, 0.9, 1, 0.9, 0.5, 0, 0, 0, 0]
    )
