"""Which pixels of a photograph belong to the person whose face was fitted: head, hair, neck and what is worn."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.rendering.layer import Rectangle

# All chosen by hand while looking at masks of portraits.
_PIXELS_PER_MM = 0.6  # at which the pixels are sorted: more takes longer and follows single strands
_ROUNDS = 4  # of GrabCut: more change nothing that shows
_HAIR_MM = 16.0  # around the head: hair unless its colour says otherwise
_WILD_HAIR_MM = 110.0  # around the head: possibly hair; beyond it, above the shoulders, there is nobody
_SHOULDERS_MM = (150.0, 215.0)  # how far to the side shoulders surely do, and possibly, reach
_SLOPE = 0.45  # of the shoulders, from the neck down
_CHEST_MM, _STEEP = 130.0, 0.6  # to the side, and as _SLOPE: where clothes are whatever their colour
_SMOOTH_MM = 1.6  # of the outline
_FAR = 20.0  # px of the small picture: farther from the outline nothing is measured
_STRAND_MM = 7.0  # thinner things are taken for stray strands, and left out
_BROW_SHARE = 0.35  # of the head and neck, from above: higher up, what is far from the head is background
_FAR_SHARE = 0.3  # of the pixels there: the background's colours
_UNLIKE = 4.0  # standard deviations from these
_HOLE_MM2 = 60.0  # smaller holes are closed


@dataclass(frozen=True, eq=False)
class PersonMask:
    """Where a person is in a picture.

    Attributes:
        inward: (H, W) float32, how far inside their outline each pixel lies, px, negative outside.
        theirs: (H, W) bool, pixels of their colours, stray strands of hair outside of the outline too.
        around: (H, W) bool, theirs and what might be, so that none of the rest shows the person.
    """

    inward: NDArray[np.float32]
    theirs: NDArray[np.bool_]
    around: NDArray[np.bool_]


def person_mask(
    picture: NDArray[np.uint8],
    head: NDArray[np.bool_],
    neck: NDArray[np.float64],
    pixels_per_mm: float,
    frame: Rectangle,
) -> PersonMask:
    """Find the person around a head.

    GrabCut (Rother, Kolmogorov & Blake, SIGGRAPH 2004) begins with the head's outline and shoulders below it.

    Args:
        picture: (H, W, 3) uint8 BGR, the head upright in it.
        head: (H, W) where the fitted model's head and neck are.
        neck: (2,) middle of the neck's lower end, px.
        pixels_per_mm: of the picture.
        frame: of what was photographed; above and beside it there is nobody, but for shoulders.
    """
    shrink = min(_PIXELS_PER_MM / pixels_per_mm, 1.0)
    per_mm = pixels_per_mm * shrink
    small = np.asarray(cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
    left, top, right = (round(edge * shrink) for edge in (frame.left, frame.top, frame.right))
    inside = np.asarray(
        cv2.resize(head.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8
    )
    within = np.zeros(inside.shape, bool)
    within[top:, left:right] = True
    sorted_pixels, around = _first_guess(small, inside, np.asarray(neck) * shrink, per_mm, within)
    cv2.setRNGSeed(0)
    theirs_and_other = np.zeros((1, 65)), np.zeros((1, 65))  # GrabCut's models of colours, its own affair
    cv2.grabCut(small, sorted_pixels, (0, 0, 0, 0), *theirs_and_other, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    theirs = np.isin(sorted_pixels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    side = 2 * round(_STRAND_MM * per_mm / 2) + 1
    strand = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    solid = np.asarray(cv2.morphologyEx(theirs, cv2.MORPH_OPEN, strand), np.uint8)
    person = _one_piece(solid, inside, _HOLE_MM2 * per_mm**2)
    distance = cv2.distanceTransform(person, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - person, cv2.DIST_L2, 5)
    smooth = cv2.GaussianBlur(np.clip(distance, -_FAR, _FAR), (0, 0), _SMOOTH_MM * per_mm)
    size = picture.shape[1::-1]
    outline = np.asarray(cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR), np.float32) / np.float32(shrink)
    around |= theirs > 0
    large = (cv2.resize(part.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for part in (theirs, around))
    return PersonMask(outline, *(np.asarray(part) for part in large))


def _first_guess(
    picture: NDArray[np.uint8],
    head: NDArray[np.uint8],
    neck: NDArray[np.float64],
    per_mm: float,
    frame: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """GrabCut's classes by where people are and by the colours far from them, (H, W) uint8, and where they may be."""
    outside, within = (np.asarray(cv2.distanceTransform(part, cv2.DIST_L2, 5)) / per_mm for part in (1 - head, head))
    y, x = np.mgrid[: head.shape[0], : head.shape[1]] / per_mm
    side, below = np.abs(x - neck[0] / per_mm), y - neck[1] / per_mm
    sure, possible = (
        (below > _SLOPE * side + margin) & (side < reach)
        for margin, reach in ((25.0, _SHOULDERS_MM[0]), (-45.0, _SHOULDERS_MM[1]))
    )
    guess = np.full(head.shape, cv2.GC_BGD, np.uint8)
    wild = outside < _WILD_HAIR_MM
    guess[wild | possible] = cv2.GC_PR_BGD
    rows = np.flatnonzero(head.any(axis=1))
    above = frame & ~possible & (y * per_mm < rows[0] + _BROW_SHARE * (rows[-1] - rows[0]))
    guess[(outside < _HAIR_MM) | sure | (wild & _unlike_the_far(picture, above, outside))] = cv2.GC_PR_FGD
    guess[~frame & ~sure] = cv2.GC_BGD
    chest = (below > _STEEP * side + 40.0) & (side < _CHEST_MM)
    guess[(within > 6.0) | chest] = cv2.GC_FGD
    return guess, (guess == cv2.GC_PR_FGD) | (guess == cv2.GC_FGD) | (below > _SLOPE * side - 45.0)


def _unlike_the_far(picture: NDArray[np.uint8], candidates: NDArray[np.bool_], outside: NDArray) -> NDArray[np.bool_]:
    """Which pixels have other colours than those of some candidates that are farthest outside of the head."""
    colors = cv2.cvtColor(picture, cv2.COLOR_BGR2LAB).astype(np.float64)
    far = (
        candidates & (outside > np.quantile(outside[candidates], 1.0 - _FAR_SHARE)) if candidates.any() else candidates
    )
    if far.sum() < 100:
        return np.zeros(far.shape, bool)
    # Hair that reaches there counts little: the colours are those of the half nearest to the median.
    sample = colors[far] - np.median(colors[far], axis=0)
    distance = np.linalg.norm(sample, axis=1)
    usual = sample[distance <= np.median(distance)]
    precision = np.linalg.inv(2.0 * np.cov(usual.T) + 5.0**2 * np.eye(3))
    offset = colors - np.median(colors[far], axis=0)
    return np.einsum("hwi,ij,hwj->hw", offset, precision, offset) > _UNLIKE**2


def _one_piece(person: NDArray[np.uint8], head: NDArray[np.uint8], hole: float) -> NDArray[np.uint8]:
    """The part that holds most of the head, without its small holes."""
    _, parts = cv2.connectedComponents(person)
    counts = np.bincount(parts[(head > 0) & (person > 0)], minlength=1)
    kept = (parts == counts.argmax()) & (person > 0)
    _, gaps, measures, _ = cv2.connectedComponentsWithStats(1 - kept.astype(np.uint8), connectivity=4)
    return np.asarray(kept | (measures[:, cv2.CC_STAT_AREA] < hole)[gaps], np.uint8)
