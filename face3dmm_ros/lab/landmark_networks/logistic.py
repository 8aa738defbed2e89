"""Logistic regression with a ridge."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

RIDGE = 1e-3
"""On the weights' squares, per sample, features in units of their standard deviation. Chosen by hand: more keeps
weights of features that nearly repeat each other smaller, and follows the samples less."""


def logistic_regression(
    features: NDArray[np.floating], shares: NDArray[np.floating]
) -> tuple[NDArray[np.floating], float]:
    """w (F,) and b so that 1 / (1 + exp(−(w·φ + b))) tells shares (m,), in [0, 1], from features φ (m, F)."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    unit = (features - mean) / spread

    def loss(v: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, b = v[:-1].astype(unit.dtype), unit.dtype.type(v[-1])
        z = unit @ w + b
        error = 1.0 / (1.0 + np.exp(-z)) - shares
        value = np.mean(np.logaddexp(0.0, z) - shares * z) + 0.5 * RIDGE * w @ w
        return float(value), np.append(unit.T @ error / len(z) + RIDGE * w, error.mean()).astype(np.float64)

    v = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B").x
    weights = v[:-1] / spread
    return weights, float(v[-1] - weights @ mean)
