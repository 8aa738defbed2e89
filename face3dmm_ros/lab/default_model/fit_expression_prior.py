"""Measure how people's blendshapes vary and go together; write face3dmm_ros/lab/default_model/expression_prior.json.

Google's blendshape network looks at portraits of people, neutral and smiling. What it tells of a neutral face is its
own bias and the person's features, so deviations count from the mean of the neutral pictures. Portraits show neither
speech nor blinks: what moves in none of them keeps the deviation of a face in conversation, which is set by hand, and
of what does the variances are averaged.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.default_model.expression import NAMES, SIDELESS, other_side
from face3dmm_ros.lab.default_model.expression_prior import PRIOR, write_prior
from face3dmm_ros.lab.default_model.face_landmarker import look_at, portraits

# Standard deviation of a weight in conversation, set by hand (docs/model.md). What moves all the time is free; what a
# face does rarely, and what a fit to 2D points confuses with identity or pose, is held tighter: most glances are within
# 15° (Bahill, Adler & Stark, Most naturally occurring human saccades have magnitudes of 15 degrees or less, 1975). A
# name without its side stands for both. The constants below are set by hand, too.
CONVERSATION = {
    "browDown": 0.25, "browInnerUp": 0.30, "browOuterUp": 0.25, "cheekPuff": 0.10, "cheekSquint": 0.20,
    "eyeBlink": 0.40, "eyeLookDown": 0.15, "eyeLookIn": 0.20, "eyeLookOut": 0.20, "eyeLookUp": 0.15,
    "eyeSquint": 0.25, "eyeWide": 0.20, "jawForward": 0.10, "jawLeft": 0.10, "jawOpen": 0.30, "jawRight": 0.10,
    "mouthClose": 0.10, "mouthDimple": 0.20, "mouthFrown": 0.20, "mouthFunnel": 0.25, "mouthLeft": 0.15,
    "mouthLowerDown": 0.25, "mouthPress": 0.20, "mouthPucker": 0.30, "mouthRight": 0.15, "mouthRollLower": 0.20,
    "mouthRollUpper": 0.15, "mouthShrugLower": 0.20, "mouthShrugUpper": 0.15, "mouthSmile": 0.35,
    "mouthStretch": 0.20, "mouthUpperUp": 0.25, "noseSneer": 0.20, "tongueOut": 0.10,
}  # fmt: skip
# Of measured correlations, since some 200 pictures of two kinds tell 1,275 of them.
_SHRINKAGE = 0.7
# Deviation from which on the network sees a blendshape move, and the trust in correlations of what it hardly sees.
_SEEN, _LEAST_TRUST = 0.08, 0.1
# Correlation of left and right, at most: people smile with both sides, and now and then with one.
_SIDES = 0.8
# Eyes look to one side together.
_GAZE = (("eyeLookInLeft", "eyeLookOutRight"), ("eyeLookInRight", "eyeLookOutLeft"))
# Correlation of the eyes' looking to one side, and of looking in or out with both: pictures tell gaze badly.
_TOGETHER, _APART = 0.9, -0.6
# Correlations of two blendshapes of one side.
#
# A smile goes with its side's cheek, to which the network is blind: fits to points of smiles show it. The others
# oppose what one lid or eye cannot do at once, of which the portraits show too few: both at once would move lids and
# leave the eye where it is.
_SAME_SIDE = {
    ("mouthSmile", "cheekSquint"): 0.5, ("eyeSquint", "eyeWide"): -0.2, ("eyeBlink", "eyeWide"): -0.2,
    ("eyeLookUp", "eyeLookDown"): -0.6, ("eyeLookIn", "eyeLookOut"): -0.6,
}  # fmt: skip
# Of the correlation matrix, so that it can be inverted: what is set by hand need not go together.
_LEAST_EIGENVALUE = 0.05


def measured(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(51,) deviations and (51, 51) correlations of (n, 51) weights, the same for a face and its mirror image."""
    swap = [NAMES.index(other_side(name)) for name in NAMES[:-1]]
    both = np.vstack([weights, weights[:, swap]])
    return both.std(axis=0), np.corrcoef(both.T)


def prior_of(
    deviation: NDArray[np.float64], correlation: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sigma (52,) and correlation (52, 52) of the prior, from those measured of the first 51.

    What stands in `CONVERSATION` and is set by hand for pairs is worked in; tongueOut goes by itself.
    """
    conversation = np.array([CONVERSATION.get(name) or CONVERSATION[_stem(name)] for name in NAMES])
    # The irises tell the gaze, not this network.
    seen = (deviation > _SEEN) & np.array([not name.startswith("eyeLook") for name in NAMES[:-1]])
    portrait = np.append(np.where(seen, deviation, conversation[:-1]), conversation[-1])
    sigma = np.sqrt((portrait**2 + conversation**2) / 2)
    trust = np.clip(deviation / _SEEN, _LEAST_TRUST, 1.0)
    C = np.eye(len(NAMES))
    C[:-1, :-1] = _SHRINKAGE * correlation * np.minimum.outer(trust, trust)
    by_hand: dict[tuple[str, str], float] = {}
    for name in NAMES:
        if other_side(name) != name and name not in SIDELESS:
            by_hand[name, other_side(name)] = _APART if name.startswith(("eyeLookIn", "eyeLookOut")) else _SIDES
    by_hand |= dict.fromkeys(_GAZE, _TOGETHER)
    for (one, other), value in _SAME_SIDE.items():
        for side in ("Left", "Right"):
            by_hand[one + side, other + side] = value
            if not one.startswith("eyeLookIn"):
                by_hand[one + side, other_side(other + side)] = _SIDES * value
    for (one, other), value in by_hand.items():
        i, j = NAMES.index(one), NAMES.index(other)
        C[i, j] = C[j, i] = value
    np.fill_diagonal(C, 1.0)
    values, vectors = np.linalg.eigh(C)
    C = (vectors * np.maximum(values, _LEAST_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(C))
    return sigma, C / np.outer(scale, scale)


def _stem(name: str) -> str:
    return name.removesuffix("Left").removesuffix("Right")


def main() -> None:
    """Look at all portraits, write, and print what is most alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=portraits, nargs="+", help="of NNN_neutral.jpg and NNN_smile.jpg, if any")
    parser.add_argument("--out", type=Path, default=PRIOR)
    arguments = parser.parse_args()
    pictures = sorted(path for folder in arguments.folders for path in folder)
    _, weights = look_at(pictures)
    neutral = np.array(["neutral" in path.name for path in pictures])
    deviation, correlation = measured(weights - weights[neutral].mean(axis=0))
    sigma, correlation = prior_of(deviation, correlation)
    write_prior(arguments.out, sigma, correlation)
    print(f"{neutral.sum()} neutral pictures, {(~neutral).sum()} smiling ones")
    for k, name in enumerate(NAMES):
        alike = [j for j in np.abs(correlation[k]).argsort()[::-1] if j != k][:4]
        others = ", ".join(f"{NAMES[j]} {correlation[k, j]:.2f}" for j in alike)
        print(f"{name:20} sigma {sigma[k]:.2f}; {others}")


if __name__ == "__main__":
    main()
