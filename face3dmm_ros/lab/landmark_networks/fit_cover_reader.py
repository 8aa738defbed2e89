"""Fit how the dense network's features tell what lies over a face; write landmark_models/cover_reader.npz.

Photographs of people and renderings of heads turned any way have masks, hands, sunglasses and patches drawn over them,
and the renderings things held before the face besides; all are then spoilt as cameras do. A logistic reading of the
features at a place (see `landmarks.cover_reader`) is fitted to whether the points that lie there are covered.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.lab.default_model.face_landmarker import look_at, portraits
from face3dmm_ros.lab.landmark_networks.coverings import LEFT_EYE, MOUTH, RIGHT_EYE, covered, photograph
from face3dmm_ros.lab.landmark_networks.logistic import logistic_regression
from face3dmm_ros.lab.landmark_networks.spoiling import spoilt
from face3dmm_ros.lab.synthesis.backgrounds import find_pictures
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_occluder, random_scene
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.lab.training.augmentation import as_tracked
from face3dmm_ros.landmarks.dense_network import FEATURES, SIDE, DenseNetwork, upright_region
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model

PARTS = {"mouth": MOUTH, "right eye": RIGHT_EYE, "left eye": LEFT_EYE}
# Points that are learnt from: the parts with an expression count for more.
_LEARNT = np.unique(np.concatenate([*PARTS.values(), np.arange(0, SKIN_COUNT, 5)]))
# Drawn of these; chosen by hand, more tell little more and take more memory.
_POINTS_OF_A_FACE = 25
# Shares of a part's points from which on it counts as covered, and below which as free; chosen by hand.
_COVERED, _FREE = 0.8, 0.02
# Of lenses, from which on they cover; glasses that dark are left out of renderings. Chosen by hand.
_TINT = 0.3
# Every so many-th person and rendering is not learnt from but measured on; chosen by hand.
_KEPT_BACK = 5

Face = tuple[NDArray[np.uint8], NDArray[np.floating], NDArray[np.float32]]
"""A picture, the points (468, 2) of the face in it, px, and how far each pixel is covered already."""
Seen = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Features (n, 10, 10, C), points in the crop (n, 468, 2), px, and how far each is covered (n, 468)."""


def photographs(pictures: list[Path]) -> Iterator[Face]:
    """The photographs of people at these paths, with nothing over the faces."""
    for path, points in zip(pictures, look_at(pictures)[0], strict=True):
        picture, shrink = photograph(path)
        yield picture, (points[:SKIN_COUNT] + 0.5) * shrink - 0.5, np.zeros(picture.shape[:2], np.float32)


def renderings(model: MorphableModel, count: int) -> Iterator[Face]:
    """Renderings of `count` random heads, half of them with something held before the face."""
    surface = model.scheme("mediapipe478").at(slice(SKIN_COUNT))
    options = SceneOptions(image_size=(300, 300), max_yaw=95.0, occluder=0.0, pictures=find_pictures(None))
    with SceneRenderer(model) as renderer:
        for index in tqdm(range(count), unit="faces", desc="rendering"):
            rng = np.random.default_rng([11, index])
            scene = random_scene(rng, model, options)
            if scene.glasses is not None and scene.glasses.tint > _TINT:
                scene = replace(scene, glasses=None)
            shown = plain = renderer.render(scene)
            if rng.random() < 0.5:
                shown = renderer.render(replace(scene, occluder=random_occluder(rng, model, scene.gamma)))
            yield shown.image, plain.points(surface)[:, :2], shown.before(plain).astype(np.float32)


def look(rng: np.random.Generator, face: Face, network: DenseNetwork) -> Seen:
    """What the network sees of a face with things over it, in a crop as a tracker has it; one row of each."""
    picture, points, mask = face
    turn, size = rng.normal(0, 12), float(np.exp(rng.normal(0, 0.15)))
    height, width = picture.shape[:2]
    for _ in range(int(rng.choice(3, p=[0.35, 0.5, 0.15]))):
        over = (*PARTS.values(), rng.integers(SKIN_COUNT, size=3))[int(rng.choice(4, p=[0.4, 0.2, 0.2, 0.2]))]
        picture, more = covered(rng, picture, points, over)
        mask = np.maximum(mask, more)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, size)
    turned, cover = (
        cv2.warpAffine(layer, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE) for layer in (picture, mask)
    )
    points = points @ matrix[:, :2].T + matrix[:, 2]
    region = as_tracked(rng, upright_region(points))
    seen = network.locate_in_crop(region.crop(spoilt(rng, np.asarray(turned, np.uint8)), SIDE), region)
    row, column = np.clip(np.round(points.T[::-1]).astype(int), 0, [[height - 1], [width - 1]])
    return (
        seen.features.reshape(1, *FEATURES),
        region.to_crop(points, SIDE)[None].astype(np.float32),
        np.asarray(cover, np.float32)[None, row, column],
    )


def at_points(seen: Seen, chosen: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The features (n·m, 9C) around the place nearest to each of m points of each face, and how far these are covered.

    `chosen` is (m,), or (n, m) for others of each face.
    """
    features, on_crop, mask = seen
    face = np.arange(len(features))[:, None]
    place = (on_crop[face, chosen] + 0.5) / (SIDE / FEATURES[0]) - 0.5
    column, row = np.clip(np.round(np.moveaxis(place, -1, 0)).astype(int), 0, FEATURES[0] - 1)
    around = np.array([np.dstack(_neighbours(one))[r, c] for one, r, c in zip(features, row, column, strict=True)])
    return around.reshape(-1, around.shape[-1]), mask[face, chosen].ravel()


def _neighbours(features: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    """What (rows, columns, C) features have beside each place: nine of them, shifted, in the order of the weights.

    Beyond the border lies what lies on it.
    """
    rows, columns = features.shape[:2]
    padded = np.pad(features, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return [padded[row : row + rows, column : column + columns] for row, column in np.ndindex(3, 3)]


def _joined(rows: list[Seen]) -> Seen:
    features, on_crop, mask = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return features, on_crop, mask


def report(what: str, weights: NDArray[np.floating], bias: float, seen: Seen) -> None:
    """Print in how many of the parts that are covered, and that are free, the reading says so."""
    for name, points in PARTS.items():
        features, mask = at_points(seen, points)
        likely, share = (v.reshape(-1, len(points)).mean(axis=1) for v in (features @ weights + bias > 0, mask))
        hidden, free = likely[share > _COVERED], likely[share < _FREE]
        print(
            f"{what}: {name} covered in {len(hidden)}, told in {100 * np.mean(hidden > 0.5):.0f} %; "
            f"free in {len(free)}, wrongly told in {100 * np.mean(free > 0.5):.1f} %"
        )


def main() -> None:
    """Draw, look, fit, measure on others, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folders", type=portraits, nargs="+", help="of frontal photographs of people, NAME_… the pictures of one")
    add("--times", type=int, default=12, help="that each photograph is shown (default: %(default)s)")
    add("--renderings", type=int, default=1000, help="(default: %(default)s)")
    add("--out", type=Path, default=Path("resource/landmark_models/cover_reader.npz"))
    arguments = parser.parse_args()
    pictures = [path for folder in arguments.folders for path in folder]
    network = DenseNetwork(package_file("resource/landmark_models/dense.tflite"))
    rng = np.random.default_rng(3)
    learnt: dict[str, list[Seen]] = {"photographs": [], "renderings": []}
    measured: dict[str, list[Seen]] = {"photographs": [], "renderings": []}
    people = [path.name.partition("_")[0] for path in pictures]
    kept_back = sorted(set(people))[::_KEPT_BACK]
    for person, face in zip(people, photographs(pictures), strict=True):
        rows = (measured if person in kept_back else learnt)["photographs"]
        rows += [look(rng, face, network) for _ in range(arguments.times)]
    for index, face in enumerate(renderings(load_model("default"), arguments.renderings)):
        rows = (learnt if index % _KEPT_BACK else measured)["renderings"]
        rows += [look(rng, face, network) for _ in range(2)]
    samples = [
        at_points(_joined(rows), rng.choice(_LEARNT, (len(rows), _POINTS_OF_A_FACE))) for rows in learnt.values()
    ]
    weights, bias = logistic_regression(*(np.concatenate(parts) for parts in zip(*samples, strict=True)))
    for what, rows in measured.items():
        report(f"other {what}", weights, bias, _joined(rows))
    np.savez_compressed(arguments.out, weights=weights.astype(np.float32).reshape(3, 3, -1), bias=np.float32(bias))


if __name__ == "__main__":
    main()
