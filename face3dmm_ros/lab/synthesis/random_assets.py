"""Random people with MakeHuman's assets: skin, hair, brows, lashes, beard and teeth; and the light of a place."""

from dataclasses import replace

import numpy as np

from face3dmm_ros.core.srgb import linear
from face3dmm_ros.lab.synthesis.environment import light_of
from face3dmm_ros.lab.synthesis.makehuman_assets import MakeHumanAssets
from face3dmm_ros.lab.synthesis.scene import Scene, SkinPicture, Worn, triple
from face3dmm_ros.morphable_model import MorphableModel

# All numbers of this module are chosen by hand while looking at rendered faces. A change of any makes other faces.
_PLAIN = {"hair": 0.25, "brows": 0.2, "lashes": 0.12, "skin": 0.1, "eye": 0.25, "teeth": 0.2, "place": 0.25}
"""Shares of the people who keep what a scene without assets has, for variety."""
_TEETH = np.array([0.96, 0.92, 0.84])  # sRGB of the whitest
_BEARDED_IS_SHORT = -95.0  # mm; hair that hangs below this height is for those without a beard
_TONE_GAIN = (0.33, 1.8)  # by which a skin may be recoloured
_BRIGHTENING = 1.8  # how much worse it is to brighten a skin than to darken it, in logarithms


def dress(rng: np.random.Generator, person: Scene, model: MorphableModel, assets: MakeHumanAssets) -> Scene:
    """A random person of `random_person` with assets in place of a part of what the person has."""
    bearded = person.skin.stubble > 0
    if person.skin_picture is None:
        person = _with_skin(rng, person, model, assets, bearded)
    person = _with_hair(rng, person, model, assets, bearded)
    person = _with_eyes(rng, person, assets)
    return _in_a_place(rng, person, assets)


def _chosen(rng: np.random.Generator, assets: MakeHumanAssets, kind: str) -> str | None:
    """A random one of a kind; None for what a scene without assets has."""
    names = assets.names(kind)
    plain, which = rng.random(), rng.random()
    return None if not names or plain < _PLAIN.get(kind, 0.0) else names[int(which * len(names))]


def _with_skin(
    rng: np.random.Generator, person: Scene, model: MorphableModel, assets: MakeHumanAssets, bearded: bool
) -> Scene:
    plain, spread = rng.random(), rng.normal(0, 1)
    # A woman's skins for most without a beard; names that say neither are for all.
    wanted = "_male_" if bearded or rng.random() < 0.15 else "_female_"
    names = [name for name in assets.names("skin") if wanted in name or "male_" not in name]
    if not names or plain < _PLAIN["skin"]:
        return person
    face = model.regions["face"] > 0.5
    tone = linear(model.albedo(person.gamma)[face]).mean(axis=0)
    # One of the three nearest in tone, recoloured to the person's: γ stays the truth.
    ratio = np.log([tone.mean() / assets.skin_tone(name).mean() for name in names])
    away = np.where(ratio > 0, _BRIGHTENING * ratio, -ratio)
    name = names[int(np.argsort(away, kind="stable")[int(rng.integers(min(4, len(names))))])]
    gain = np.clip(tone / assets.skin_tone(name), *_TONE_GAIN) * (1.0 + 0.02 * spread)
    skin = person.skin
    return replace(
        person,
        skin_picture=SkinPicture(assets.skin(name), triple(gain)),
        skin=replace(skin, blotches=0.5 * skin.blotches, pores=0.7 * skin.pores, freckles=0.6 * skin.freckles),
    )


def _with_hair(
    rng: np.random.Generator, person: Scene, model: MorphableModel, assets: MakeHumanAssets, bearded: bool
) -> Scene:
    worn: list[Worn] = []
    hair, skin = person.hair, person.skin
    brows, lashes = _chosen(rng, assets, "brows"), _chosen(rng, assets, "lashes")
    gloss = rng.uniform(0.15, 0.7)
    if brows is not None and skin.brow_density > 0.0:
        worn.append(Worn(assets.asset("brows", brows), skin.brow_color, 0.1))
        skin = replace(skin, brow_density=0.0)
    if lashes is not None:
        worn.append(Worn(assets.asset("lashes", lashes), triple(0.35 * np.array(skin.brow_color)), 0.1))
    teeth = _chosen(rng, assets, "teeth")
    if teeth is not None:
        worn.append(
            Worn(
                assets.asset("teeth", teeth),
                triple(_TEETH * rng.uniform(0.75, 1.0) * rng.uniform([1, 0.97, 0.88], 1.0)),
                0.3,
            )
        )
    style, below = _chosen(rng, assets, "hair"), rng.random()
    if style is not None and bearded and below < 0.9:
        short = [
            name
            for name in assets.names("hair")
            if assets.asset("hair", name).binding.vertices(model.mean)[:, 1].min() > _BEARDED_IS_SHORT
        ]
        style = short[int(below / 0.9 * len(short))] if short else None
    beard, full = rng.random(), rng.random()
    if hair is not None:
        if style is not None and hair.cap is None and hair.thickness > 0:
            worn.append(Worn(assets.asset("hair", style), hair.color, gloss))
            hair, skin = replace(hair, thickness=0.0, bun=0.0), replace(skin, scalp_cover=1.0)
        kind = "beard" if full < 0.5 else "moustache"
        if hair.beard > 0 and beard < 0.6 and assets.names(kind):
            worn.append(Worn(assets.asset(kind, assets.names(kind)[0]), hair.color, 0.2))
            hair = replace(hair, beard=0.0)
    return replace(person, worn=tuple(worn), hair=hair, skin=skin)


def _with_eyes(rng: np.random.Generator, person: Scene, assets: MakeHumanAssets) -> Scene:
    names, plain, which = assets.names("eye"), rng.random(), int(rng.integers(2))
    if not names or plain < _PLAIN["eye"]:
        return person
    # One of the two nearest in hue to the person's, whose colour goes with the skin's.
    wanted = np.array(person.eyes.iris) / sum(person.eyes.iris)
    colors = np.array([assets.iris_color(name) for name in names])
    away = np.linalg.norm(colors / colors.sum(axis=1, keepdims=True) - wanted, axis=1)
    name = names[np.argsort(away, kind="stable")[min(which, len(names) - 1)]]
    return replace(person, eyes=replace(person.eyes, picture=assets.eye(name)))


def _in_a_place(rng: np.random.Generator, person: Scene, assets: MakeHumanAssets) -> Scene:
    name = _chosen(rng, assets, "place")
    turn, level, shown = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.05), rng.random()
    view = rng.uniform(25.0, 65.0)
    if name is None:
        return person
    light, place = light_of(assets.place(name), turn, level)
    background = person.background
    if shown < 0.6:
        field_of_view = view if person.intrinsics is None else _field_of_view(person)
        background = replace(background, place=place, picture=None, field_of_view=field_of_view)
    return replace(person, light=light, background=background)


def _field_of_view(person: Scene) -> float:
    """Horizontal, degrees, of a picture in perspective."""
    assert person.intrinsics is not None
    return float(np.degrees(2 * np.arctan(0.5 * person.image_size[0] / person.intrinsics.focal)))
