"""Build resource/albedo_texture.npz from MakeHuman's skins: what they have between the model's vertices.

Of each skin its own large areas are divided out, and of lips what the model has on its vertices; what is left has a
mean and principal components.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.synthesis.makehuman_assets import MakeHumanAssets
from face3dmm_ros.lab.synthesis.people_skins import SkinSpace, from_log_light, plain_base
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.morphable_model.makehuman_layout import triangles_digest
from face3dmm_ros.rendering.albedo_texture import AlbedoTexture
from face3dmm_ros.rendering.pull_push import continued
from face3dmm_ros.rendering.texture import DARKEST

_SIZE = 320  # texels along each side: the skins have 512 for a whole body, of which a head has a small part
_COMPONENTS = 4  # nine tenths of the variance
# Chosen by hand.
_LARGE = 40.0  # sigma, in texels of 1024, about 1.5 cm: larger areas are tone, which γ tells
_MOST = 0.6  # of relative detail: grey hairs on black ones have more
_SOCKET = 0.5  # red less green, sRGB, of nothing but MakeHuman's eye sockets
_GROWN = 9  # texels of 1024 that these are widened by, for the lids' edges that mix with them


def build_albedo_texture(assets: MakeHumanAssets, model: MorphableModel) -> AlbedoTexture:
    """The detail of all skins of a folder."""
    space = SkinSpace.of(model, _SIZE)
    plain = from_log_light(plain_base(space)) / np.float32(255.0)
    mouth = space.spread(model.regions["mouth_interior"][:, None])[..., 0] > 0.1
    skins = [_resized(assets.skin(name)[..., :3]) for name in assets.names("skin")]
    sockets = np.any([skin[..., 0] - skin[..., 1] > _SOCKET for skin in skins], axis=0)
    sockets = cv2.dilate(sockets.astype(np.uint8), space.disc(_GROWN)) > 0
    there = (space.shown & ~mouth & ~sockets).astype(np.float32)
    details = np.stack([_detail(skin, plain, there, space) for skin in skins])
    mean = details.mean(axis=0)
    _, sigma, rows = np.linalg.svd((details - mean).reshape(len(details), -1), full_matrices=False)
    basis = rows[:_COMPONENTS] * (sigma[:_COMPONENTS, None] / np.sqrt(len(details) - 1))
    return AlbedoTexture(mean, basis.reshape(-1, *mean.shape), triangles_digest(model))


def _resized(skin: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = cv2.resize(skin.astype(np.float32), (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(small / np.float32(255.0))


def _detail(
    skin: NDArray[np.float32], plain: NDArray[np.float32], there: NDArray[np.float32], space: SkinSpace
) -> NDArray[np.float32]:
    """A skin (S, S, 3), sRGB, relative to its own large areas, and beyond where it is `there` none."""
    ratio = (skin + DARKEST) / (plain + DARKEST)
    large = space.blurred(ratio * there[..., None], _LARGE) / np.maximum(space.blurred(there, _LARGE), 1e-3)[..., None]
    detail = np.clip(ratio / np.maximum(large, 1e-3) - 1.0, -_MOST, _MOST)
    # Drawn out a little over the surface's edges, where textures of other sizes mix the two.
    near = cv2.dilate(there, space.disc(_GROWN)) > 0
    return np.where(near[..., None], continued(detail, there, 0), 0.0).astype(np.float32)


def main() -> None:
    """Build, and write in place of the old file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=Path, required=True, help="MakeHuman's assets, with skins in them")
    parser.add_argument("--out", type=Path, default=Path("resource/albedo_texture.npz"))
    arguments = parser.parse_args()
    model = load_model("default")
    build_albedo_texture(MakeHumanAssets(arguments.assets, model), model).save(arguments.out)


if __name__ == "__main__":
    main()
