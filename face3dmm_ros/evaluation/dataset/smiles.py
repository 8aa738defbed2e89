"""Statistics of ARKit's weights of people at rest and smiling: does the smile rise, and what shows at rest?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.evaluation.dataset.evaluation import name_of

EXPRESSIONS = ("neutral", "smile")
WAYS = ("track", "single")
"""How a person's two pictures were seen: as one track, or each by itself."""
# How many weights a report lists; chosen by hand.
_STRONGEST = 10
_SMILE = [ARKIT_NAMES.index(f"mouthSmile{side}") for side in ("Left", "Right")]


@dataclass(frozen=True, eq=False)
class SmileWeights:
    """What one fit method read from the pictures of P people.

    Attributes:
        weights: (P, 2, 52) of each of `WAYS`: in the last neutral and the last smiling image, of those in all of whose
            images the face was found.
        found: the share of pictures in which the face was found, each seen by itself; NaN without any.
        failures: what went wrong with the other people, by name.
    """

    weights: Mapping[str, NDArray[np.float64]]
    found: float
    failures: dict[str, str]

    @property
    def people(self) -> int:
        """P."""
        return len(self.weights[WAYS[0]])

    @property
    def at_rest(self) -> NDArray[np.float64]:
        """(P, 52) of the neutral pictures, each seen by itself."""
        return self.weights["single"][:, 0]

    def rise(self, way: str) -> NDArray[np.float64]:
        """(P, 52), from neutral to smiling."""
        return self.weights[way][:, 1] - self.weights[way][:, 0]


def smile_weights(records: Iterable[Mapping[str, Any]], methods: Sequence[str]) -> dict[str, SmileWeights]:
    """Each method's weights from the records of people (see `portraits.PortraitWatcher.person`), read once."""
    weights: dict[str, dict[str, list[Any]]] = {method: {way: [] for way in WAYS} for method in methods}
    found: dict[str, list[bool]] = {method: [] for method in methods}
    failures: dict[str, dict[str, str]] = {method: {} for method in methods}
    for record in records:
        for method in methods:
            seen = record["seen"][method]
            found[method] += [not isinstance(each, str) for each in seen["single"]]
            said = [
                f"{expression}, {way}: {each}"
                for way in WAYS
                for expression, each in zip(EXPRESSIONS, seen[way], strict=True)
                if isinstance(each, str)
            ]
            if said:
                failures[method][name_of(record)] = "; ".join(said)
            else:
                for way in WAYS:
                    weights[method][way].append(seen[way])
    return {
        method: SmileWeights(
            {way: np.array(weights[method][way], np.float64).reshape(-1, 2, len(ARKIT_NAMES)) for way in WAYS},
            float(np.mean(found[method])) if found[method] else float("nan"),
            failures[method],
        )
        for method in methods
    }


def summarize_smiles(seen: SmileWeights) -> dict[str, Any]:
    """The figures of a method; NaN if no person was found.

    `smile_strongest_*` is the share of people of whose weights one of mouthSmile's rises most, `smile_mean_*` by how
    much its two sides do; `rest` are the strongest mean weights of the neutral pictures, each seen by itself.
    """
    summary: dict[str, Any] = {"people": seen.people, "found": seen.found}
    for way in WAYS:
        rise = seen.rise(way)
        summary[f"smile_strongest_{way}"] = _mean(np.isin(rise.argmax(axis=1), _SMILE))
        summary[f"smile_mean_{way}"] = _mean(rise[:, _SMILE])
    return {**summary, "rest": strongest(seen.at_rest)}


def strongest(weights: NDArray[np.float64]) -> dict[str, float]:
    """The ten largest means of (P, 52) weights by name, the largest first; empty if P is 0."""
    if not len(weights):
        return {}
    means = weights.mean(axis=0)
    return {ARKIT_NAMES[k]: float(means[k]) for k in np.argsort(-means, kind="stable")[:_STRONGEST]}


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else float("nan")
