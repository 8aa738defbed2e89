"""How an avatar's rest is learnt of people photographed neutral and smiling, the smile also from the first image on.

    python -m face3dmm_ros.lab.experiments.measure_rest FOLDER     # NNN_neutral.jpg, NNN_smile.jpg

Each picture is tracked for some images, and its last weights are held. People with even numbers are judged: those with
odd ones set the bounds of `avatar/weights/rest.py`.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.avatar.weights.tuning import Tuning, WeightTuner
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.fit_methods import create_fitter
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.smoothing import FaceSmoother

# All of these are chosen by hand. How often a picture is tracked, for the smoothing to settle; images per second.
_IMAGES, _RATE = 8, 30.0
_NEUTRAL_S, _SMILE_S, _HELD_S = 5.0, 1.0, 60.0
# From which on a smile should be seen.
_CLEAR = 0.5
_TUNING = Tuning(gain=1.5)
"""As the avatar node has it."""
_SMILES = [k for k, name in enumerate(ARKIT_NAMES) if name.startswith("mouthSmile")]


class Watcher:
    """Reads the weights of still pictures."""

    def __init__(self) -> None:
        """Load the model and the networks."""
        model = load_model("default")
        tracker = LandmarkTracker(create_backend())
        self._pipeline = FacePipeline(tracker, create_fitter(model, "joint"), FaceSmoother(model))
        self._weights = BlendshapeWeights(model)

    def weights(self, *pictures: Path) -> list[NDArray[np.float32]]:
        """(52,) of the nearest face at the end of each picture of one track.

        Raises:
            Face3DMMError: a picture cannot be read, or shows no face.
        """
        self._pipeline.reset()
        found = []
        for at, path in enumerate(pictures):
            image = read_picture(path)
            for k in range(_IMAGES):
                faces = self._pipeline.process(image, (at * _IMAGES + k) / _RATE)
            if not faces:
                raise Face3DMMError(f"{path} shows no face")
            found.append(self._weights.of(max(faces, key=lambda face: face.parameters.camera.scale).parameters))
        return found


def hold(tuner: WeightTuner, weights: NDArray[np.float32], start: float, seconds: float) -> NDArray[np.float32]:
    """(images, 52) what is shown of weights that are held from a time on, s."""
    return np.array([tuner.tune(0, weights, start + k / _RATE) for k in range(round(seconds * _RATE))])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="NNN_neutral.jpg and NNN_smile.jpg")
    folder = parser.parse_args().folder
    numbers = sorted(path.name.partition("_")[0] for path in folder.glob("*_smile.jpg"))
    if not numbers:
        parser.error(f"{folder} has no NNN_smile.jpg")
    rows, watcher = [], Watcher()
    for number in tqdm([number for number in numbers if int(number) % 2 == 0], unit="people", disable=None):
        calm, smiling = folder / f"{number}_neutral.jpg", folder / f"{number}_smile.jpg"
        neutral, smile = watcher.weights(calm, smiling)
        tuner = WeightTuner(_TUNING)
        rest = hold(tuner, neutral, 0.0, _NEUTRAL_S)[-1]
        then = hold(tuner, smile, _NEUTRAL_S, _SMILE_S)[-1]
        (first,) = watcher.weights(smiling)
        held = hold(WeightTuner(_TUNING), first, 0.0, _HELD_S)[:, _SMILES].mean(axis=1).min()
        rows.append((rest[_SMILES].mean(), then[_SMILES].mean(), held, rest.max(), first[_SMILES].mean()))
    at_rest, then, held, largest, measured = np.array(rows).T
    clear = measured > _CLEAR
    print(f"{len(rows)} people, mouthSmile: at rest {at_rest.mean():.2f}, smiling thereafter {then.mean():.2f}")
    print(f"smiling from the first image: measured {measured.mean():.2f}, least shown {held.mean():.2f};", end=" ")
    print(f"of {clear.sum()} above {_CLEAR}, {np.mean(held[clear] >= _CLEAR):.0%} never below")
    print(f"largest weight at rest: mean {largest.mean():.2f}, median {np.median(largest):.2f}")


if __name__ == "__main__":
    main()
