"""Blendshape weights as bars of text, since Rerun cannot label its bar charts."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES

_WIDTH = 10
"""Characters of a full bar, so that two fit side by side in the panel; chosen by hand."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bars(title: str, weights: NDArray[np.floating]) -> str:
    """Markdown with a line of bars for each blendshape, or pair of left and right ones, the person's left first.

    Args:
        title: at most 15 characters.
        weights: (52,) in [0, 1], of `ARKIT_NAMES`.
    """
    by_name = dict(zip(ARKIT_NAMES, np.asarray(weights, np.float64).tolist(), strict=True))
    lines = [_line(title, "left", "right").rstrip()]
    for name in ARKIT_NAMES:
        other = name.removesuffix("Left") + "Right"
        if name.endswith("Left"):
            lines.append(_line(name.removesuffix("Left"), _bar(by_name[name]), _bar(by_name[other])))
        elif not name.endswith("Right"):
            lines.append(_line(name, _bar(by_name[name]), ""))
    return "\n".join(["```", *lines, "```"])


def _line(name: str, left: str, right: str) -> str:
    return f"{name:<15} {left:<{_WIDTH + 6}}{right}"


def _bar(weight: float) -> str:
    """Full blocks, eighths of one, and the number."""
    full, eighths = divmod(round(weight * _WIDTH * 8), 8)
    drawn = "█" * full + (_EIGHTHS[eighths] if eighths else "")
    return f"{drawn:<{_WIDTH}} {weight:.2f}"
