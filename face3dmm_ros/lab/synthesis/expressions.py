"""Plausible expressions: emotions, visemes, blinks and looks, mostly the same left and right, and never all at once.

Blendshapes are addressed by ARKit's names; names that a model lacks are left out, and a model with none of them gets
coefficients from its own prior instead.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.morphable_model import MorphableModel

Weights = Mapping[str, float]
"""Of blendshapes by their names; a name without a side stands for both."""

# All numbers of this module are chosen by hand, while looking at renders of the default model.
EMOTIONS: dict[str, Weights] = {
    "smile": {"mouthSmile": 0.7, "cheekSquint": 0.45, "eyeSquint": 0.25, "mouthDimple": 0.2},
    "laugh": {
        "mouthSmile": 0.85, "cheekSquint": 0.7, "eyeSquint": 0.45, "jawOpen": 0.35, "mouthUpperUp": 0.35,
        "mouthLowerDown": 0.25,
    },
    "smirk": {"mouthSmileLeft": 0.6, "mouthDimpleLeft": 0.4, "eyeSquintLeft": 0.2},
    "surprise": {"browInnerUp": 0.8, "browOuterUp": 0.7, "eyeWide": 0.6, "jawOpen": 0.5},
    "anger": {"browDown": 0.85, "eyeSquint": 0.35, "noseSneer": 0.35, "mouthPress": 0.45, "mouthFrown": 0.3},
    "rage": {
        "browDown": 0.9, "noseSneer": 0.6, "jawOpen": 0.35, "mouthUpperUp": 0.5, "mouthLowerDown": 0.5,
        "mouthStretch": 0.4,
    },
    "sadness": {"browInnerUp": 0.75, "mouthFrown": 0.65, "mouthShrugLower": 0.45, "eyeSquint": 0.15},
    "disgust": {"noseSneer": 0.8, "mouthUpperUp": 0.5, "browDown": 0.45, "eyeSquint": 0.35},
    "fear": {"browInnerUp": 0.8, "browOuterUp": 0.35, "eyeWide": 0.7, "mouthStretch": 0.5, "jawOpen": 0.2},
    "doubt": {"browOuterUpLeft": 0.7, "browDownRight": 0.5, "mouthPress": 0.3, "mouthLeft": 0.25},
    "kiss": {"mouthPucker": 0.85, "mouthFunnel": 0.1},
    "pressed": {"mouthPress": 0.6, "mouthRollLower": 0.5, "mouthRollUpper": 0.4},
    "puffed": {"cheekPuff": 0.8, "mouthPress": 0.3, "mouthPucker": 0.2},
    "yawn": {"jawOpen": 0.95, "eyeSquint": 0.5, "browInnerUp": 0.3, "eyeBlink": 0.5},
    "pout": {"mouthShrugLower": 0.6, "mouthShrugUpper": 0.3, "mouthPucker": 0.3, "browDown": 0.2},
}  # fmt: skip

VISEMES: dict[str, Weights] = {
    "rest": {},
    "a": {"jawOpen": 0.5, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1},
    "e": {"jawOpen": 0.22, "mouthStretch": 0.3, "mouthSmile": 0.15, "mouthLowerDown": 0.25},
    "i": {"jawOpen": 0.12, "mouthSmile": 0.3, "mouthStretch": 0.3, "mouthLowerDown": 0.25, "mouthUpperUp": 0.15},
    "o": {"jawOpen": 0.32, "mouthFunnel": 0.6, "mouthPucker": 0.2},
    "u": {"jawOpen": 0.14, "mouthPucker": 0.65, "mouthFunnel": 0.25},
    "m": {"mouthPress": 0.4, "mouthRollLower": 0.3, "mouthRollUpper": 0.25},
    "f": {"jawOpen": 0.08, "mouthRollLower": 0.45, "mouthUpperUp": 0.2},
    "s": {"jawOpen": 0.06, "mouthStretch": 0.3, "mouthLowerDown": 0.35, "mouthUpperUp": 0.2},
    "l": {"jawOpen": 0.25, "mouthLowerDown": 0.2},
    "sh": {"jawOpen": 0.1, "mouthFunnel": 0.5, "mouthUpperUp": 0.25, "mouthLowerDown": 0.25},
}

_SIDES = ("Left", "Right")
_DIRECTIONS = ("jaw", "mouth")  # that move to the left or to the right, and not on a side
_JAW_FOR_TONGUE = 0.3  # how far a jaw is open at least, per weight of a tongue that is out
_RARE = 0.06  # share of the faces that also do something at random
# Of faces with few blendshapes: the share without any, of the others those with one, two and three, and how often what
# one side shows the other does, too.
_AT_REST, _HOW_MANY, _BOTH_SIDES = 0.1, (0.6, 0.25, 0.15), 0.3
_BOTH_SHUT = 0.4  # share of the faces with eyes shut by any amount in which both are alike


class ExpressionSpace:
    """From named weights to a model's β.

    Attributes:
        count: E, how many expression coefficients the model has.
        named: whether the model has ARKit's blendshapes.
    """

    def __init__(self, model: MorphableModel) -> None:
        """Look up the model's blendshapes by name."""
        self._index = {name: k for k, name in enumerate(model.expression_names)}
        self.count = model.expression_count
        self._sigma = model.expression_sigma.astype(np.float64)
        self._low, self._high = model.expression_bounds.astype(np.float64)
        self.named = "jawOpen" in self._index
        stems = {name.removesuffix("Left") for name in self._index if name.endswith("Left")} - {*_DIRECTIONS}
        self._pairs = [[self._index[stem + side] for side in _SIDES] for stem in stems if stem + "Right" in self._index]

    def beta(self, weights: Weights) -> NDArray[np.float64]:
        """(E,) of named weights; a name without its side means both."""
        beta = np.zeros(self.count)
        for name, weight in weights.items():
            for known in (name, *(name + side for side in _SIDES)):
                if known in self._index:
                    beta[self._index[known]] += weight
        return beta

    def bounded(self, beta: NDArray[np.float64]) -> NDArray[np.float64]:
        """β (…, E) within bounds, lips closed no more than the jaw is open, eyes no more than shut."""
        beta = np.clip(beta, self._low, self._high)
        index = self._index
        if not self.named:
            return beta
        for side in _SIDES:
            for name in (f"eyeSquint{side}", f"eyeWide{side}"):
                if {name, f"eyeBlink{side}"} <= index.keys():
                    beta[..., index[name]] *= 1.0 - beta[..., index[f"eyeBlink{side}"]]
        jaw = index["jawOpen"]
        if "mouthClose" in index:
            beta[..., index["mouthClose"]] = np.minimum(beta[..., index["mouthClose"]], beta[..., jaw])
        if "tongueOut" in index:
            beta[..., jaw] = np.maximum(beta[..., jaw], _JAW_FOR_TONGUE * beta[..., index["tongueOut"]])
        return beta

    def look(self, right: float, up: float) -> NDArray[np.float64]:
        """(E,) of eyes that look to the viewer's right and up, each from −1 to 1; lids follow a look down."""
        toward_left, toward_right = max(right, 0.0), max(-right, 0.0)  # the person's own sides
        weights = {
            "eyeLookOutLeft": toward_left, "eyeLookInRight": toward_left, "eyeLookOutRight": toward_right,
            "eyeLookInLeft": toward_right, "eyeLookUp": max(up, 0.0), "eyeLookDown": max(-up, 0.0),
        }  # fmt: skip
        return self.beta(weights)

    def random(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(E,) of a face in some photograph."""
        if not self.named:
            return self.bounded(0.7 * self._sigma * rng.standard_normal(self.count))
        beta = 0.05 * rng.random(self.count) * (rng.random(self.count) < 0.15)
        choice = rng.random()
        if choice < 0.25:
            beta += self.beta({"mouthSmile": rng.uniform(0, 0.5), "jawOpen": max(rng.normal(0, 0.05), 0)})
        elif choice < 0.65:
            beta += rng.uniform(0.3, 1.15) * self.one_of(EMOTIONS, rng)
        elif choice < 0.9:
            beta += rng.uniform(0.5, 1.3) * self.one_of(VISEMES, rng)
            beta += rng.uniform(0.0, 0.6) * self.one_of(EMOTIONS, rng)
        else:
            beta += self.beta({"jawOpen": rng.uniform(0.3, 1.0)})
        # Faces are not quite symmetric.
        beta *= 1.0 + 0.15 * rng.standard_normal(self.count)
        if rng.random() < _RARE:
            k = rng.integers(self.count, size=3)
            beta[k] += rng.uniform(0.2, 0.8, 3)
        beta += self.look(float(np.clip(rng.normal(0, 0.3), -1, 1)), float(np.clip(rng.normal(-0.05, 0.25), -1, 1)))
        closed = rng.random()
        if closed < 0.06:
            beta += self.beta({"eyeBlink": 1.0})
        elif closed < 0.09:
            beta += self.beta({"eyeBlink" + _SIDES[int(rng.integers(2))]: 1.0})
        else:
            beta += self.beta({"eyeBlink": max(rng.normal(0.0, 0.15), 0.0)})
        return self.bounded(beta)

    def few(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(E,) of a face that shows one blendshape, on one side or both, or two or three that need not go together.

        Photographs hardly show these; who has not seen them takes each for the emotion that it is a part of.
        """
        beta = np.zeros(self.count)
        if rng.random() < _AT_REST:
            return beta
        how_many = 1 + int(rng.choice(len(_HOW_MANY), p=_HOW_MANY))
        for k in rng.choice(self.count, size=min(how_many, self.count), replace=False):
            weight = rng.uniform(0.25, 1.0)
            if not self.named:
                beta[k] = weight * rng.choice([-2.0, 2.0]) * self._sigma[k]
                continue
            beta[k] = weight * self._high[k]
            for pair in self._pairs:
                if k in pair and rng.random() < _BOTH_SIDES:
                    beta[pair] = beta[k]
            if k == self._index.get("mouthClose"):
                beta[self._index["jawOpen"]] = rng.uniform(weight, 1.0)
        return self.bounded(beta)

    def winking(self, rng: np.random.Generator, beta: NDArray[np.float64]) -> NDArray[np.float64]:
        """β (E,) with eyes shut by any amount: each by its own, or both alike."""
        if not {"eyeBlink" + side for side in _SIDES} <= self._index.keys():
            return beta
        shut = np.repeat(rng.random(), 2) if rng.random() < _BOTH_SHUT else rng.random(2)
        beta = beta.copy()
        beta[[self._index["eyeBlink" + side] for side in _SIDES]] = shut
        return self.bounded(beta)

    def one_of(self, expressions: Mapping[str, Weights], rng: np.random.Generator) -> NDArray[np.float64]:
        """(E,) of one of some expressions, one-sided ones on either side."""
        weights = list(expressions.values())[int(rng.integers(len(expressions)))]
        if rng.random() < 0.5:
            weights = {_mirrored(name): weight for name, weight in weights.items()}
        return self.beta(weights)


def _mirrored(name: str) -> str:
    for side, other in (_SIDES, _SIDES[::-1]):
        if name.endswith(side) and name != f"mouth{side}":
            return name.removesuffix(side) + other
    return name
