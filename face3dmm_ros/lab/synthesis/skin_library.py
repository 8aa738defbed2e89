"""Skins for synthetic faces, mixed from those of people: nobody's own.

Each skin has the large areas of colour of one person (or of MakeHuman), the detail of another and the brows of a third,
each mirrored or not, recoloured to any tone of the model's.
"""

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.resource_files import cache_folder
from face3dmm_ros.core.srgb import LUMINANCE
from face3dmm_ros.files.pictures import find_pictures
from face3dmm_ros.lab.synthesis import people_skins, portrait_points
from face3dmm_ros.lab.synthesis.people_skins import (
    SkinMaker,
    SkinSpace,
    from_log_light,
    log_light,
    makehuman_bases,
)
from face3dmm_ros.lab.synthesis.portrait_points import Portrait, portraits_of
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.texture import DEFAULT_TEXTURE_SIZE

_FEWEST = 3
"""People that a skin is mixed from."""
# All that follows was chosen by hand while looking at heads rendered with such skins.
_KEPT_TONE = np.array([0.70, 0.52, 0.43])  # sRGB to which all skins are brought before they are kept as 8 bits
_HIDDEN_FOREHEAD = 0.1  # share of the forehead that must be seen, or else the fringe hides the brows, too
_LARGE = 24  # cells along each side: larger areas are tone, smaller ones detail
_ROUGHEST = 0.08  # of detail on bare skin, RMS of log luminance: that of the roughest quarter of people, without beards
_LIPS = 0.65  # how far lips follow the skin's tone
_DARK, _LIGHT = 0.05, 0.4  # linear luminances of skins between which melanin hides less and less of the blood
_BLOOD_IN_DARK = 0.5  # what is then left of its differences in colour


@dataclass(frozen=True)
class SkinRecipe:
    """Whose skins one is mixed from, by the names of their pictures, and which of them are mirrored.

    Attributes:
        tone: of large areas.
        detail: of all that is smaller: pores, lids, lashes, stubble.
        brows: of the brows.
        mirrored: of tone, detail and brows.
    """

    tone: str
    detail: str
    brows: str
    mirrored: tuple[bool, bool, bool] = (False, False, False)


@dataclass(frozen=True, eq=False)
class MixedSkin:
    """A skin that nobody has.

    Attributes:
        rgba: (S, S, 4) uint8, sRGB albedo on the model's `unwrap`; alpha is 255 where it holds, on the chart of the
            head's outside, and 0 on what scenes draw themselves: eyes, teeth, tongue and the mouth's inside. Brows,
            lashes and stubble are painted on.
        tone: (3,) sRGB in [0, 1], mean of the face's bare skin: that of the model's albedo with the same γ.
    """

    rgba: NDArray[np.uint8]
    tone: NDArray[np.float64]


class SkinLibrary:
    """Skins of people, kept in a folder, and mixtures of them."""

    def __init__(self, model: MorphableModel, people: dict[str, Path], tones: dict[str, Path], size: int) -> None:
        """Use skins that `open` made: files by name, of people and of others whose tones alone are used.

        Raises:
            Face3DMMError: fewer than three people.
        """
        if len(people) < _FEWEST:
            raise Face3DMMError(
                f"a skin is mixed from {_FEWEST} people's so that it is nobody's, found {len(people)} "
                "whose forehead shows"
            )
        self.model, self.size = model, size
        self._people, self._tones = people, people | tones

    @staticmethod
    def open(
        folders: Sequence[str],
        model: MorphableModel,
        *,
        assets: Path | None = None,
        size: int = DEFAULT_TEXTURE_SIZE,
        cache: Path | None = None,
    ) -> "SkinLibrary":
        """Open folders of portraits; what is not in the cache yet is made, with a progress bar, in a second a person.

        People whose hair hides the forehead are left out.

        Args:
            folders: see `portraits_of`, such as ``london:odd``.
            model: the face model.
            assets: MakeHuman's, whose skins are used where portraits show none; the model's own without.
            size: texels along each side of a texture.
            cache: where to keep skins; the user's cache without.

        Raises:
            Face3DMMError: a folder without portraits, a damaged file, a portrait without a face, or too few people.
        """
        cache = (cache or cache_folder()) / "skins"
        portraits = [path for folder in folders for path in portraits_of(folder)]
        others = [] if assets is None else find_pictures(assets / "skins", nested=False)
        code = [Path(str(module.__file__)) for module in (people_skins, portrait_points)]
        common = _digest([*code, *others], f"{model.digest} {size}")

        def kept(path: Path, *beside: Path) -> Path:
            return cache / f"{_digest([path, *beside], common)}.png"

        people = {path.stem: kept(path, path.with_suffix(".json")) for path in portraits}
        if twice := sorted({name for name, count in Counter(path.stem for path in portraits).items() if count > 1}):
            raise Face3DMMError(f"portraits go by their names, and there are several of the name {', '.join(twice)}")
        tones = {path.stem: kept(path) for path in others}
        missing = [path for path in portraits if not _made(people[path.stem])]
        if missing or not all(map(_made, tones.values())):
            cache.mkdir(parents=True, exist_ok=True)
            space = SkinSpace.of(model, size)
            bases = [] if assets is None else makehuman_bases(space, assets)
            for path, base in zip(others, bases, strict=True):
                _keep(tones[path.stem], base, space)
            maker = SkinMaker(space, bases)
            for path in progress_bar(missing, unit="people", desc="skins", disable=not missing):
                skin = maker.make(Portrait.read(path))
                if skin.forehead(space) < _HIDDEN_FOREHEAD:
                    people[path.stem].with_suffix(".hidden").touch()
                else:
                    _keep(people[path.stem], skin.log, space)
        shown = {name: path for name, path in people.items() if path.is_file()}
        if hidden := sorted(people.keys() - shown.keys()):
            print(f"skins: hair hides the forehead of {', '.join(hidden)}: left out", file=sys.stderr)
        return SkinLibrary(model, shown, tones, size)

    @property
    def people(self) -> tuple[str, ...]:
        """The names of those whose detail and brows are used."""
        return tuple(self._people)

    @cached_property
    def space(self) -> SkinSpace:
        """Where skins lie."""
        return SkinSpace.of(self.model, self.size)

    def recipe(self, rng: np.random.Generator) -> SkinRecipe:
        """A mixture at random, of three different skins."""
        detail, brows = rng.choice(list(self._people), 2, replace=False)
        tone = rng.choice([name for name in self._tones if name not in (detail, brows)])
        flips = rng.random(3) < 0.5
        return SkinRecipe(str(tone), str(detail), str(brows), (bool(flips[0]), bool(flips[1]), bool(flips[2])))

    def mix(self, recipe: SkinRecipe, gamma: ArrayLike = ()) -> MixedSkin:
        """The skin of a recipe, in the tone of the model's albedo coefficients γ.

        Raises:
            Face3DMMError: a name that is not in the library, or a name twice: that would be somebody's own skin.
        """
        names = (recipe.tone, recipe.detail, recipe.brows)
        if len(set(names)) < len(names):
            raise Face3DMMError(f"a skin is mixed from three different ones, not {', '.join(names)}")
        if unknown := [name for name in names if name not in self._tones]:
            raise Face3DMMError(f"there is no skin of {', '.join(unknown)} in the library")
        space = self.space
        tone, detail, brows = (self._log(name, flip) for name, flip in zip(names, recipe.mirrored, strict=True))
        where = space.brows[..., None]
        small = (1 - where) * (detail - _large_areas(detail, space)) + where * (brows - _large_areas(brows, space))
        wanted = self._tone(gamma)
        target = log_light(wanted)
        share = np.interp(np.log(_luminance(wanted)), np.log([_DARK, _LIGHT]), [_BLOOD_IN_DARK, 1.0])
        rough = np.sqrt(np.tensordot(space.plain, (small @ LUMINANCE) ** 2) / space.plain.sum())
        log = _large_areas(tone, space) + min(1.0, _ROUGHEST / max(float(rough), 1e-6)) * small
        log -= space.tone(log).astype(np.float32)
        luminance = (log @ LUMINANCE)[..., None]
        log = luminance + np.float32(share) * (log - luminance)
        # Lips follow the skin's tone only a part of the way from the tone in which all are kept.
        short = (log_light(_KEPT_TONE) - target) * np.float32(1 - _LIPS)
        log += target + space.lips[..., None] * short
        alpha = np.zeros(space.shown.shape, np.uint8)
        alpha[: space.rows] = 255
        return MixedSkin(np.dstack([from_log_light(log), alpha]), wanted)

    def draw(self, rng: np.random.Generator, gamma: ArrayLike = ()) -> MixedSkin:
        """A mixture at random in the tone of γ; the same generator state gives the same skin."""
        return self.mix(self.recipe(rng), gamma)

    def _tone(self, gamma: ArrayLike) -> NDArray[np.float64]:
        """(3,) sRGB, mean albedo of γ over the face's bare skin."""
        regions = self.model.regions
        bare = regions["face"] * (1 - regions["lips"]) * (1 - regions.get("brows", np.zeros(1)))
        bare = bare * (1 - regions.get("beard", np.zeros(1)))
        return np.average(self.model.albedo(gamma), axis=0, weights=bare).astype(np.float64)

    def _log(self, name: str, mirrored: bool) -> NDArray[np.float32]:
        """Log light (S, S, 3) of a skin that is kept."""
        kept = cv2.imread(str(self._tones[name]))
        if kept is None:
            raise Face3DMMError(f"{self._tones[name]} cannot be read: open the library again, which makes it anew")
        log = log_light(np.arange(256) / 255.0)[kept[..., ::-1]]
        return self.space.mirrored(log) if mirrored else log


def _luminance(srgb: NDArray[np.float64]) -> float:
    """Linear luminance of a colour (3,) sRGB in [0, 1]."""
    return float(np.exp(log_light(srgb)) @ LUMINANCE)


def _large_areas(log: NDArray[np.float32], space: SkinSpace) -> NDArray[np.float32]:
    """A skin without its detail; it goes around the head without a seam.

    Brows hardly count: they are detail, and would leave a bright rim where another's take their place.
    """
    weight = 0.02 + space.shown * (1 - 0.95 * space.brows)
    size, margin = log.shape[0], log.shape[0] // 8
    around = cv2.copyMakeBorder(np.dstack([log * weight[..., None], weight]), 0, 0, margin, margin, cv2.BORDER_WRAP)
    coarse = cv2.resize(around, (_LARGE * 5 // 4, _LARGE), interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), 1.0)
    mean = np.asarray(coarse[..., :3] / coarse[..., 3:], np.float32)
    smooth = cv2.resize(mean, around.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth[:, margin : margin + size], np.float32)


def _digest(files: Iterable[Path], more: str) -> str:
    """SHA-256 of files and a text, 32 hexadecimal digits."""
    sha = hashlib.sha256(more.encode())
    for path in files:
        try:
            sha.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise Face3DMMError(f"{path} cannot be read: {error.strerror}") from error
    return sha.hexdigest()[:32]


def _made(kept: Path) -> bool:
    return kept.is_file() or kept.with_suffix(".hidden").is_file()


def _keep(kept: Path, log: NDArray[np.float32], space: SkinSpace) -> None:
    """Write a skin (S, S, 3), log light, brought to one tone."""
    even = log + (log_light(_KEPT_TONE) - space.tone(log)).astype(np.float32)
    _, data = cv2.imencode(".png", from_log_light(even)[..., ::-1])
    # Other processes may read or make it meanwhile.
    part = kept.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(data.tobytes())
    part.replace(kept)
