"""Which vertices of the Basel Face Models are which of iBUG's points, as far as it was published.

The tables are facts out of eos's `share/ibug_to_bfm2009.txt` and `share/ibug_to_bfm2017-1_bfm_nomouth.txt` (Patrik
Huber and others, Apache License 2.0): vertices from zero. Neither knows the jaw nor all of the eyes' points, so that
they place the eyes but are no scheme of landmarks.
"""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.morphable_model.formats.source_head import EYE_CENTER_DEPTH

EYE_CORNERS = {
    53_490: ((10603, 14472), (2088, 5959)),
    53_149: ((10390, 13481), (2602, 5830)),
}
"""By the number of vertices (2009's, and 2017's `bfm` without a mouth's inside): the corners of the person's left eye,
iBUG's points 43 and 46 counted from one, and of the right eye, 37 and 40."""


def known_eyes(vertices: NDArray[np.floating], unit: float) -> NDArray[np.float64] | None:
    """Centres (2, 3) of the eyeballs, left and right, of a model whose points are known by how many it has, else None.

    Args:
        vertices: (N, 3), in the file's unit.
        unit: mm per unit of the file.
    """
    corners = EYE_CORNERS.get(len(vertices))
    return None if corners is None else eyes_behind(vertices[np.array(corners)], unit)


def eyes_behind(corners: NDArray[np.floating], unit: float) -> NDArray[np.float64]:
    """Centres (2, 3) of the eyeballs, of two corners each, (2, 2, 3): as deep behind them as an eyeball is."""
    return corners.astype(np.float64).mean(axis=1) - [0.0, 0.0, EYE_CENTER_DEPTH / unit]
