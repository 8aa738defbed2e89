"""Jitter, lag and errors of a tracked face: pure functions on the arrays of a sequence."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from face3dmm_ros.core.similarity import align

REST_IMAGES = 10
"""A face that rests does so for at least this many images: a third of a second of video, chosen by hand."""


def runs(mask: NDArray[np.bool_], minimum: int = REST_IMAGES) -> list[slice]:
    """The longest runs of True in (F,), of at least `minimum` frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= minimum]


def windows(stretches: list[slice], length: int = REST_IMAGES) -> list[slice]:
    """The stretches cut into pieces of `length` frames; what is left over is not used."""
    return [
        slice(start, start + length)
        for stretch in stretches
        for start in range(stretch.start, stretch.stop - length + 1, length)
    ]


def speed(points: NDArray[np.float64], half_width: int = 4) -> NDArray[np.float64]:
    """How fast (F, P, 2) points move, (F,) px per frame: RMS over the points of (x[k+w] − x[k−w]) / 2w.

    The difference over 2w frames contains the motion and little noise. Infinite in the first and last w frames. The
    default w is chosen by hand: a larger one blurs short movements.
    """
    w = half_width
    found = np.full(len(points), np.inf)
    if len(points) > 2 * w:
        found[w:-w] = rms((points[2 * w :] - points[: -2 * w]) / (2 * w), axes=(1,))
    return found


def rms(vectors: NDArray[np.float64], axes: tuple[int, ...] = (0,)) -> NDArray[np.float64]:
    """Root mean square, over some axes, of the lengths of vectors (…, d)."""
    return np.sqrt((vectors**2).sum(axis=-1).mean(axis=axes))


def jitter(values: NDArray[np.float64], stretches: list[slice], degree: int) -> float:
    """Jitter of (F, P, d) points while the face rests, in their unit; NaN without a stretch.

    It is the standard deviation of a point, as a distance: √(Σ |x_kp − x̂_kp|² / (P·Σ(n − degree − 1))) over the frames
    k of all stretches, x̂ being the least-squares polynomial of time over a stretch of n frames. Degree 0 is its mean,
    for a face known to rest; degree 1 a line, for one that may drift.
    """
    squares, freedom = 0.0, 0
    for stretch in stretches:
        x = values[stretch]
        n = len(x)
        flat = x.reshape(n, -1)
        basis = np.linalg.qr(np.vander(np.linspace(-1.0, 1.0, n), degree + 1))[0]
        squares += float(((flat - basis @ (basis.T @ flat)) ** 2).sum())
        freedom += (n - degree - 1) * x.shape[1]
    return float(np.sqrt(squares / freedom)) if freedom else float("nan")


def rotation_vectors(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations (F, 3, 3) as vectors (F, 3) from their mean, degrees."""
    found = Rotation.from_matrix(rotations)
    return np.degrees((found.mean().inv() * found).as_rotvec())


def lag(estimate: NDArray[np.float64], truth: NDArray[np.float64], max_lag: int = 10) -> float:
    """By how many frames an estimate lags the truth, (F, C) each with NaN for missing frames; NaN if none is found.

    The shift at which their correlation over all C curves is greatest, between frames by the parabola through the peak
    and its neighbours. NaN if that lies at the end of ±max_lag, by default a third of a second, chosen by hand.
    """
    shifts = np.arange(-max_lag, max_lag + 1)
    correlation = np.array([_shifted_correlation(estimate, truth, int(shift)) for shift in shifts])
    if not np.isfinite(correlation).all():
        return float("nan")
    peak = int(np.argmax(correlation))
    if peak in (0, len(shifts) - 1):
        return float("nan")
    before, at, after = correlation[peak - 1 : peak + 2]
    curvature = before - 2.0 * at + after
    offset = 0.5 * (before - after) / curvature if curvature < 0.0 else 0.0
    return float(shifts[peak] + offset)


def _shifted_correlation(estimate: NDArray[np.float64], truth: NDArray[np.float64], shift: int) -> float:
    """Correlation of the estimate `shift` frames later with the truth; NaN for fewer than `REST_IMAGES` in common."""
    common = max(0, len(truth) - abs(shift))
    e, t = estimate[max(0, shift) :][:common], truth[max(0, -shift) :][:common]
    both = np.isfinite(e).all(axis=1) & np.isfinite(t).all(axis=1)
    if np.count_nonzero(both) < REST_IMAGES:
        return float("nan")
    e, t = e[both] - e[both].mean(axis=0), t[both] - t[both].mean(axis=0)
    size = np.sqrt((e**2).sum() * (t**2).sum())
    return float((e * t).sum() / size) if size > 0.0 else float("nan")


def aligned_distance(source: NDArray[np.float64], target: NDArray[np.float64], *, scale: bool) -> NDArray[np.float64]:
    """RMS distance of F point sets after alignment, (F, P, 3) each → (F,), target's unit; `scale`: may change it."""
    distances = [align(a, b, scaled=scale) - b for a, b in zip(source, target, strict=True)]
    return np.sqrt((np.array(distances) ** 2).sum(axis=2).mean(axis=1))


def summary(values: ArrayLike) -> dict[str, float]:
    """Mean, median and 95th percentile of the finite values; NaN without any."""
    v = np.asarray(values, dtype=np.float64)
    v = v[np.isfinite(v)]
    if not v.size:
        return dict.fromkeys(("mean", "median", "p95"), np.nan)
    return {"mean": float(v.mean()), "median": float(np.median(v)), "p95": float(np.percentile(v, 95))}
