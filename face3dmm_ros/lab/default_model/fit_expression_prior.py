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
from face3dmm_ros.lab.default_model.expression_prior import PRIOR, ExpressionPrior
from face3dmm_ros.lab.default_model.face_landmarker import look_at, portraits

# Standard deviation of a weight in conversation. What moves all the time is free; what a face does rarely, and what a
# fit to 2D points confuses with identity or pose, is held tighter: most glances are within 15° (Bahill, Adler & Stark,
# Most naturally occurring human saccades have magnitudes of 15 degrees or less, 1975). A name without its side stands
# for both.
CONVERSATION = {
    "browDown": 0.25, "browInnerUp": 0.30, "browOuterUp": 0.25, "cheekPuff": 0.10, "cheekSquint": 0.20,
    "eyeBlink": 0.40, "eyeLookDown": 0.15, "eyeLookIn": 0.20, "eyeLookOut": 0.20, "eyeLookUp": 0.15,
    "eyeSquint": 0.25, "eyeWide": 0.20, "jawForward": 0.10, "jawLeft": 0.10, "jawOpen": 0.30, "jawRight": 0.10,
    "mouthClose": 0.10, "mouthDimple": 0.20, "mouthFrown": 0.20, "mouthFunnel": 0.25, "mouthLeft": 0.15,
    "mouthLowerDown": 0.25, "mouthPress": 0.20, "mouthPucker": 0.30, "mouthRight": 0.15, "mouthRollLower": 0.20,
    "mouthRollUpper": 0.15, "mouthShrugLower": 0.20, "mouthShrugUpper": 0.15, "mouthSmile": 0.35,
    "mouthStretch": 0.20, "mouthUpperUp": 0.25, "noseSneer": 0.20, "tongueOut": 0.10,
}  # fmt: skip
_SHRINKAGE = 0.7
"""Of measured correlations, since some 200 pictures of two kinds tell 1,275 of them."""
_SEEN, _LEAST_TRUST = 0.08, 0.1
"""Deviation from which on the network sees a blendshape move, and the trust in correlations of what it hardly sees."""
_SIDES = 0.8
"""Correlation of left and right, at most: people smile with both sides, and now and then with one."""
_GAZE = (("eyeLookInLeft", "eyeLookOutRight"), ("eyeLookInRight", "eyeLookOutLeft"))
"""Eyes look to one side together."""
_DUCHENNE = 0.5
"""Correlation of a smile with its side's cheek, to which the network is blind; fits to points of smiles show it."""
_TOGETHER, _APART = 0.9, -0.6
"""Correlation of the eyes' looking to one side, and of looking in or out with both: pictures tell gaze badly."""
_OPPOSED = {
    ("eyeSquint", "eyeWide"): -0.2, ("eyeBlink", "eyeWide"): -0.2,
    ("eyeLookUp", "eyeLookDown"): -0.6, ("eyeLookIn", "eyeLookOut"): -0.6,
}  # fmt: skip
"""Correlation of what one lid or eye cannot do at once; the portraits show too few wide eyes and glances to tell.

Both at once would move lids and leave the eye where it is."""
_LEAST_EIGENVALUE = 0.05


def measured(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(51,) deviations and (51, 51) correlations of (n, 51) weights, the same for a face and its mirror image."""
    swap = [NAMES.index(other_side(name)) for name in NAMES[:-1]]
    both = np.vstack([weights, weights[:, swap]])
    return both.std(axis=0), np.corrcoef(both.T)


def prior_of(deviation: NDArray[np.float64], correlation: NDArray[np.float64]) -> ExpressionPrior:
    """The prior of all 52; tongueOut goes by itself."""
    E = len(NAMES)
    conversation = np.array(
        [CONVERSATION[name] if name in CONVERSATION else CONVERSATION[_stem(name)] for name in NAMES]
    )
    # The irises tell the gaze, not this network.
    seen = (deviation > _SEEN) & np.array([not name.startswith("eyeLook") for name in NAMES[:-1]])
    portrait = np.append(np.where(seen, deviation, conversation[:-1]), conversation[-1])
    sigma = np.sqrt((portrait**2 + conversation**2) / 2)
    trust = np.clip(deviation / _SEEN, _LEAST_TRUST, 1.0)
    C = np.eye(E)
    C[:-1, :-1] = _SHRINKAGE * correlation * np.minimum.outer(trust, trust)
    for k, name in enumerate(NAMES):
        other = NAMES.index(other_side(name))
        if other != k and name not in SIDELESS:
            C[k, other] = C[other, k] = _APART if name.startswith(("eyeLookIn", "eyeLookOut")) else _SIDES
    for one, other_eye in _GAZE:
        i, j = NAMES.index(one), NAMES.index(other_eye)
        C[i, j] = C[j, i] = _TOGETHER
    for one, other_stem, value in (
        ("mouthSmile", "cheekSquint", _DUCHENNE),
        *((*pair, opposition) for pair, opposition in _OPPOSED.items()),
    ):
        for side in ("Left", "Right"):
            for other_end in ("Left", "Right"):
                i, j = NAMES.index(one + side), NAMES.index(other_stem + other_end)
                if side == other_end or not one.startswith("eyeLookIn"):
                    C[i, j] = C[j, i] = value if side == other_end else _SIDES * value
    np.fill_diagonal(C, 1.0)
    values, vectors = np.linalg.eigh(C)
    C = (vectors * np.maximum(values, _LEAST_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(C))
    return ExpressionPrior(sigma, C / np.outer(scale, scale))


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
    prior = prior_of(deviation, correlation)
    prior.write(arguments.out)
    print(f"{neutral.sum()} neutral pictures, {(~neutral).sum()} smiling ones")
    for k, name in enumerate(NAMES):
        alike = [j for j in np.abs(prior.correlation[k]).argsort()[::-1] if j != k][:4]
        others = ", ".join(f"{NAMES[j]} {prior.correlation[k, j]:.2f}" for j in alike)
        print(f"{name:20} sigma {prior.sigma[k]:.2f}; {others}")


if __name__ == "__main__":
    main()
