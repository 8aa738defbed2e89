"""A random population of adults: MakeHuman's macro targets, mixed as MakeHuman mixes them, and its detail targets."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.rotations import nearest_rotation
from face3dmm_ros.lab.default_model.head import EYES, MILLIMETRES, Head, homogeneous
from face3dmm_ros.lab.default_model.makehuman import MakeHuman

ETHNICITIES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
AGES = ("child", "young", "old")
MUSCLE = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHT = ("minweight", "averageweight", "maxweight")
# Of proportions and height, whose middles are the base mesh's own: the ends' places among three weights, and names.
ENDS = ((0, "uncommonproportions", "minheight"), (2, "idealproportions", "maxheight"))

DETAIL_SIGMA = {
    "head": 0.12, "forehead": 0.22, "eyebrows": 0.25, "eyes": 0.24, "nose": 0.22, "mouth": 0.24, "cheek": 0.25,
    "chin": 0.26, "ears": 0.22, "neck": 0.15, "asym": 0.10,
}  # fmt: skip
"""Standard deviation of the sliders of a folder of targets, whose own range is −1 to 1.

Chosen by hand: less where targets pull hard.
"""
DETAIL_MEAN = {"nose/nose-scale-depth-incr": 0.6, "nose/nose-septumangle-incr": 0.4, "nose/nose-curve-convex": 0.4}
"""Middles of sliders that are not 0. Chosen so that the mean's nose rises 17 to 20 mm from the lip to the tip, as
measured noses do (docs/model.md); MakeHuman's rises 15.6."""
ONE_SIDED_SHARE = 0.15
"""How much of the deviation of a target that is there for left and right differs between the sides; chosen by hand."""
SIZE_SIGMA = 0.042
"""Standard deviation of the logarithm of head size: the head lengths of men, and of women, vary by about 4 %."""
# Where a detail's deviation is cut off; chosen by hand, against caricatures.
_MOST_SIGMAS = 2.2
# Beginnings or parts of targets' names that are left out: caricatures, and what moves the neck or the whole head.
_SKIPPED = (
    "head-trans", "head-angle", "ear-shape-pointed", "neck-trans", "head-age", "measure-neck-height", "breast", "trunk",
)  # fmt: skip


def _interpolation(value: NDArray[np.float64], anchors: list[float]) -> NDArray[np.float64]:
    """Piecewise linear weights, (P, len(anchors)), of the anchors around each value."""
    identity = np.eye(len(anchors))
    return np.column_stack([np.interp(value, anchors, column) for column in identity])


def _age_slider(years: NDArray[np.float64]) -> NDArray[np.float64]:
    """MakeHuman's age slider: 0.5 at 25 years, 1 at 90, and 1 year at 0."""
    return np.where(years < 25, (years - 1) / 48, 0.5 + (years - 25) / 130)


def _macro_weights(rng: np.random.Generator, count: int) -> dict[str, NDArray[np.float64]]:
    """Weight of every macro target for each person, {target: (count,)}, as products of the sliders' weights.

    The sliders' distributions are chosen by hand: adults of any age, mostly of one sex, mixed ethnicities, and builds
    about the middle (docs/model.md).
    """
    years = rng.uniform(18, 85, count)
    male = rng.beta(0.35, 0.35, count)
    ethnicity = rng.dirichlet([0.55, 0.55, 0.55], count)
    muscle = np.clip(rng.normal(0.5, 0.16, count), 0.05, 0.95)
    weight = np.clip(rng.normal(0.5, 0.18, count), 0.05, 0.95)
    proportions = np.clip(rng.normal(0.6, 0.18, count), 0.1, 1.0)
    height = np.clip(rng.normal(0.5, 0.15, count), 0.1, 0.9)

    sex_weights = np.column_stack([1 - male, male])
    age_weights = _interpolation(_age_slider(years), [0.1875, 0.5, 1.0])
    thirds = [0.0, 0.5, 1.0]
    muscle_weights, weight_weights, proportion_weights, height_weights = (
        _interpolation(value, thirds) for value in (muscle, weight, proportions, height)
    )
    weights: dict[str, NDArray[np.float64]] = {}
    for s, sex in enumerate(SEXES):
        for a, age in enumerate(AGES):
            sex_age = sex_weights[:, s] * age_weights[:, a]
            for e, ethnic in enumerate(ETHNICITIES):
                weights[f"macrodetails/{ethnic}-{sex}-{age}"] = sex_age * ethnicity[:, e]
            for m, muscular in enumerate(MUSCLE):
                for w, heavy in enumerate(WEIGHT):
                    build = sex_age * muscle_weights[:, m] * weight_weights[:, w]
                    person = f"{sex}-{age}-{muscular}-{heavy}"
                    weights[f"macrodetails/universal-{person}"] = build
                    for k, proportioned, tall in ENDS:
                        weights[f"macrodetails/proportions/{person}-{proportioned}"] = build * proportion_weights[:, k]
                        weights[f"macrodetails/height/{person}-{tall}"] = build * height_weights[:, k]
    return weights


# How the names of MakeHuman's targets for both ends of a slider end.
_OPPOSITES = {
    "decr": "incr", "down": "up", "backward": "forward", "in": "out", "concave": "convex", "compress": "uncompress",
}  # fmt: skip


def _sliders(names: list[str]) -> list[tuple[str | None, str]]:
    """Pair opposite targets into sliders, (negative end, positive end); without an opposite, only the latter."""
    positive = {}
    for name in names:
        stem, _, ending = name.rpartition("-")
        if (opposite := f"{stem}-{_OPPOSITES.get(ending)}") in names:
            positive[name] = opposite
    return [
        (name, positive[name]) if name in positive else (None, name) for name in names if name not in positive.values()
    ]


def _detail_weights(rng: np.random.Generator, count: int, makehuman: MakeHuman) -> dict[str, NDArray[np.float64]]:
    """Weight of every detail target for each person: sliders normal about 0, pairs nearly the same on both sides."""
    weights: dict[str, NDArray[np.float64]] = {}
    shared: dict[str, NDArray[np.float64]] = {}
    for folder, sigma in DETAIL_SIGMA.items():
        names = [name for name in makehuman.target_names(folder) if not any(skip in name for skip in _SKIPPED)]
        for low, high in _sliders(names):
            value = rng.normal(0.0, sigma, count)
            side, _, stem = high.partition("/")[2].partition("-")
            if side in ("l", "r"):
                common = shared.setdefault(f"{folder}/{stem}", rng.normal(0.0, sigma, count))
                value = np.sqrt(1 - ONE_SIDED_SHARE**2) * common + ONE_SIDED_SHARE * value
            value = np.clip(value, -_MOST_SIGMAS * sigma, _MOST_SIGMAS * sigma) + DETAIL_MEAN.get(high, 0.0)
            weights[high] = np.maximum(value, 0.0)
            if low is not None:
                weights[low] = np.maximum(-value, 0.0)
    return weights


def eyeball_center(vertices: NDArray[np.floating], head: Head) -> NDArray[np.floating]:
    """Midpoint of the two eyeballs' centres, (…, 3), of (…, N, 3) vertices."""
    # An eyeball's rings are symmetric about its axis but reach further forward than back: weigh them by an exact fit.
    weights = np.zeros(len(head.part))
    for name in EYES:
        eye = head.is_part(name)
        weights[eye] = 0.5 * np.linalg.pinv(homogeneous(head.eye_direction[eye]))[3]
    return np.einsum("n,...nk->...k", weights, vertices)


def sample_population(makehuman: MakeHuman, head: Head, count: int, seed: int) -> NDArray[np.float32]:
    """`count` adults, (P, N, 3) mm: the eyeball centres' midpoint at the origin, rotation onto the mean removed."""
    rng = np.random.default_rng(seed)
    weights = _macro_weights(rng, count)
    weights |= _detail_weights(rng, count, makehuman)
    names = [name for name, values in weights.items() if values.any()]
    targets = np.stack([MILLIMETRES * head.carry(makehuman.target(name)) for name in names]).reshape(len(names), -1)
    base = MILLIMETRES * head.carry(makehuman.base.vertices)
    matrix = np.column_stack([weights[name] for name in names])
    vertices = (matrix @ targets).reshape(count, -1, 3) + base
    vertices -= eyeball_center(vertices, head)[:, None]
    vertices = _calibrate_size(_upright(vertices, head), head)
    return vertices.astype(np.float32)


def _rigid(vertices: NDArray[np.float64], head: Head) -> NDArray[np.bool_]:
    """The vertices that speak for the head's pose and size: skin above the neck."""
    return head.is_part("skin") & (vertices.mean(axis=0)[:, 1] > -60)


def _calibrate_size(vertices: NDArray[np.float64], head: Head) -> NDArray[np.float64]:
    """Narrow the spread of head sizes to that of measured adults, `SIZE_SIGMA`, whatever the targets do to size."""
    rigid = vertices[:, _rigid(vertices, head)]
    log_size = np.log(np.linalg.norm(rigid - rigid.mean(axis=1, keepdims=True), axis=(1, 2)))
    deviation = log_size - log_size.mean()
    return vertices * np.exp(deviation * (SIZE_SIGMA / deviation.std() - 1))[:, None, None]


def _upright(vertices: NDArray[np.float64], head: Head) -> NDArray[np.float64]:
    """Turn each head about the origin onto the mean (Kabsch), judged by the skin in front of and above the neck."""
    mean = vertices.mean(axis=0)
    rigid = _rigid(vertices, head)
    # The covariance is taken about the origin: the eyes' midpoint stays where it is.
    covariance = np.einsum("pni,nj->pij", vertices[:, rigid], mean[rigid])
    return vertices @ np.stack([nearest_rotation(each) for each in covariance])
