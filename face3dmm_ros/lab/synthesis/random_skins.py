"""Random people in skins that are mixed from those of people."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from face3dmm_ros.lab.synthesis.scene import Scene, SkinPicture
from face3dmm_ros.lab.synthesis.skin_library import SkinLibrary
from face3dmm_ros.morphable_model import MorphableModel

_SHARE = 0.65
"""Of the people who have such a skin; chosen by hand: the rest keep theirs, for variety."""
_SIZE = 512
"""Texels along each side; chosen by hand: in pictures of training a face is 150 px wide, in these some 200."""
_LEFT = 0.25
"""Of the drawn blotches, pores and freckles that lie over it; chosen by hand: it has its own."""


@lru_cache(maxsize=1)
def open_skins(people: tuple[str, ...], model: MorphableModel, assets: Path | None) -> SkinLibrary:
    """The skins of folders of portraits, opened once; as `SkinLibrary.open`."""
    return SkinLibrary.open(people, model, assets=assets, size=_SIZE)


def with_mixed_skin(rng: np.random.Generator, person: Scene, library: SkinLibrary) -> Scene:
    """A person of `random_scene.random_person`, in a mixed skin of the same γ or as before.

    Brows and stubble are those of the skin.
    """
    if rng.random() >= _SHARE:
        return person
    skin = person.skin
    return replace(
        person,
        skin_picture=SkinPicture(library.draw(rng, person.gamma).rgba),
        skin=replace(
            skin,
            brow_density=0.0,
            stubble=0.0,
            blotches=_LEFT * skin.blotches,
            pores=_LEFT * skin.pores,
            freckles=_LEFT * skin.freckles,
            makeup=_LEFT * skin.makeup,
        ),
    )
