"""How the reading of expressions is fitted: to changes, and not to people."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: make torch")

from face3dmm_ros.lab.landmark_networks.fit_expression_reader import fit_reading, measure_reading

FEATURES, BLENDSHAPES = 40, 3
RNG = np.random.default_rng(0)
CAUSES = RNG.standard_normal((FEATURES, BLENDSHAPES + 4)).astype(np.float32)


def pairs(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features that are sums of what expressions and, far more, people make of them."""
    weights = (RNG.random((count, BLENDSHAPES)) * (RNG.random((count, BLENDSHAPES)) < 0.4)).astype(np.float32)
    people = 3.0 * RNG.standard_normal((count, 4)).astype(np.float32)
    noise = 0.01 * RNG.standard_normal((count, FEATURES)).astype(np.float32)
    return weights @ CAUSES[:, :BLENDSHAPES].T + noise, people @ CAUSES[:, BLENDSHAPES:].T + 5.0, weights


def test_it_follows_expressions_and_not_people() -> None:
    W, bias = fit_reading(pairs(2000))
    followed, deviation, right = measure_reading(W, bias, pairs(500))
    assert (followed > 0.4).all()
    assert (deviation < 0.1).all()
    assert right > 0.95


def test_what_is_measured_is_the_slope_and_the_spread_at_rest() -> None:
    changes, rests, weights = pairs(500)
    inverse = np.linalg.pinv(CAUSES)[:BLENDSHAPES].astype(np.float32)
    followed, deviation, _ = measure_reading(0.5 * inverse, np.float32([1, 2, 3]), (changes, rests, weights))
    np.testing.assert_allclose(followed, 0.5, atol=0.02)
    np.testing.assert_allclose(deviation, 0.0, atol=0.02)
