"""Measure what readings of an expression say of people at rest; write landmark_models/people_at_rest.npz.

Both readings that the dense backend has look at photographs of calm faces, one a person: Google's blendshape network
at Face Mesh's points, and our reader at the dense network's features.
"""

import argparse
from pathlib import Path

import numpy as np

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.lab.default_model.face_landmarker import look_at, portraits
from face3dmm_ros.landmarks.dense_network import SIDE, DenseNetwork, upright_region
from face3dmm_ros.landmarks.expression_reader import ExpressionReader
from face3dmm_ros.landmarks.schemes import SKIN_COUNT

LEAST_DEVIATION = 0.08
"""Of the network's reading of a weight, chosen by hand: no reading is
believed to less, however alike calm people are."""
GAINS = {"eyeBlink": 0.48, "mouthSmile": 0.59}
"""How far the network follows a blendshape: a shut eye on film reads .6, a rendered one .4; of people who smile it says
.48 where the model's own smile is .7, and a little less here makes up for what the fit's prior takes away."""
GAIN = 0.85
"""How far it follows the others that it is heard about; chosen by hand."""
HEARD = (
    "browDown", "browInnerUp", "browOuterUp", "eyeBlink", "eyeSquint", "jawOpen", "mouthPucker", "mouthSmile",
    "mouthStretch",
)  # fmt: skip
"""What the network tells of: on photographs of a thousand faces these rise by .15 and more in one of fifty.

So do mouthPress, mouthLowerDown, mouthUpperUp and mouthShrug, but with smiles and on faces that do something else:
points and our reader tell them better.
"""
FAINT = ("eyeWide", "mouthRoll")
"""What it tells of faintly: in one of fifty these rise by .06 to .13.

mouthDimple and mouthFrown do too, but as well when a nose sneers or lips are stretched. The others never do.
"""
FAINT_GAIN, FAINT_DEVIATION = 0.2, 0.3
"""How far it follows these, and its standard deviation there; chosen by hand: they count for
little."""
GAZE = "eyeLook"
"""The irises tell it better than either."""


def _starting(*beginnings: str) -> np.ndarray:
    return np.array([name.startswith(beginnings) for name in WITHOUT_TONGUE])


def main() -> None:
    """Look, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=portraits, help="of frontal photographs of calm faces, one a person")
    parser.add_argument("--out", type=Path, default=Path("resource/landmark_models/people_at_rest.npz"))
    arguments = parser.parse_args()
    network = DenseNetwork(package_file("resource/landmark_models/dense.tflite"))
    reader = ExpressionReader.load(package_file("resource/landmark_models/expression_reader.npz"))
    points, weights = look_at(arguments.folder)
    readings = []
    for path, seen in zip(arguments.folder, points, strict=True):
        region = upright_region(seen[:SKIN_COUNT])
        readings.append(reader.read(network.locate_in_crop(region.crop(read_picture(path), SIDE), region).features))
    (rest, spread), (reader_rest, reader_spread) = (
        (np.mean(v, axis=0), np.std(v, axis=0)) for v in (weights, readings)
    )
    gain = np.full(len(WITHOUT_TONGUE), GAIN)
    for name, value in GAINS.items():
        gain[_starting(name)] = value
    gain[_starting(*FAINT)] = FAINT_GAIN
    deviation = np.maximum(LEAST_DEVIATION, spread / gain)
    deviation[_starting(*FAINT)] = FAINT_DEVIATION
    deviation[~_starting(*HEARD, *FAINT)] = np.inf
    reader_deviation = np.maximum(reader.deviation, reader_spread)
    reader_deviation[_starting(GAZE)] = np.inf
    print(f"{'':20} network: rest  deviation   reader: rest  deviation")
    for name, *row in zip(WITHOUT_TONGUE, rest, deviation, reader_rest, reader_deviation, strict=True):
        print(f"{name:20} {row[0]:13.2f} {row[1]:10.2f} {row[2]:14.2f} {row[3]:10.2f}")
    np.savez_compressed(
        arguments.out,
        network_rest=rest.astype(np.float32),
        network_gain=gain.astype(np.float32),
        network_deviation=deviation.astype(np.float32),
        reader_rest=reader_rest.astype(np.float32),
        reader_gain=np.ones(len(rest), np.float32),
        reader_deviation=reader_deviation.astype(np.float32),
    )


if __name__ == "__main__":
    main()
