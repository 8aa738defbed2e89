"""The population's mean, mended where it is not people's.

MakeHuman's average face was set beside two others, by the 68 points after a similarity: ICT-FaceKit's neutral, and the
mean behind AFLW2000-3D's labels. Where both say that it is off to the same side, the skin moves half way between them,
rounded; where they disagree it stays, for they mean different places there. The identity basis keeps its span.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from face3dmm_ros.lab.default_model.head import EYES, Head
from face3dmm_ros.lab.default_model.population import eyeball_center
from face3dmm_ros.lab.default_model.smooth_fields import smooth_fields

# Places on the population's mean and how they move, mm; the person's right side and the midline, mirrored to the left.
_OFFSETS = {
    # bridge and base of the nose
    (0.0, -2.4, 28.0): (0.0, 0.0, 1.7), (0.0, -13.1, 36.0): (0.0, 0.0, 1.0), (0.0, -24.5, 42.9): (0.0, 0.0, 0.0),
    (0.0, -36.2, 49.2): (0.0, 0.0, 0.0), (0.0, -48.9, 36.7): (0.0, 0.0, -3.2), (-7.0, -48.6, 31.6): (0.0, 0.0, 0.0),
    (-11.9, -47.5, 26.6): (0.0, 0.0, 1.0),
    # eyelids, from the outer corner over the upper lid
    (-43.9, -1.6, 9.9): (1.2, -2.2, -2.3), (-35.7, 2.2, 17.0): (-1.2, -2.4, -2.0),
    (-25.4, 2.4, 17.3): (-1.5, -1.6, -1.1), (-16.7, -3.6, 14.1): (-1.5, -1.4, -0.8),
    (-25.4, -7.1, 15.4): (-0.9, 0.0, 0.0), (-35.7, -7.1, 15.1): (-0.8, 0.0, -1.6),
    # border of the lips from the corner, then where they meet: above and below alike, so that they still do
    (-24.5, -70.4, 21.1): (0.0, 0.0, -2.9), (-15.1, -63.9, 30.0): (-1.2, 0.0, -0.5),
    (-5.5, -61.5, 33.8): (-0.6, 0.6, 1.2), (0.0, -62.0, 34.7): (0.0, 0.5, 1.3), (0.0, -79.8, 31.3): (0.0, 0.0, 0.5),
    (-6.3, -79.6, 30.4): (-1.5, 0.0, 0.0), (-14.6, -77.6, 27.3): (-1.5, 0.6, -1.3),
    (-21.5, -71.0, 19.7): (0.0, 0.4, -2.4), (-7.2, -70.4, 27.6): (-0.9, 0.5, 0.9),
    (-7.2, -71.7, 27.9): (-0.9, 0.5, 0.9), (0.0, -70.6, 28.5): (0.0, 0.5, 1.4), (0.0, -71.7, 29.4): (0.0, 0.5, 1.4),
    # brows, which stay
    (-55.7, 12.8, 1.6): (0.0, 0.0, 0.0), (-41.3, 20.0, 19.4): (0.0, 0.0, 0.0), (-13.5, 14.2, 27.5): (0.0, 0.0, 0.0),
}  # fmt: skip
# mm, of the smooth fields that carry offsets, one about each place. Chosen by hand: wider ones blur neighbours, and
# narrower ones leave lumps.
_RADIUS = 8.0
# Ridge on the fields' weights, which keeps them small where no place asks; chosen by hand.
_HOLD = 0.02

# The eyeballs go with their lids; MakeHuman's are wider than people's and would pierce lids that lie farther back.
# Chosen by hand, as the shifts of the teeth are.
_EYE_SHIFT, _EYE_SIZE = np.array([-1.0, -1.2, -2.6]), 0.95
RECENTRED = -_EYE_SHIFT * [0.0, 1.0, 1.0]
"""mm by which everything moves, so that the eyeballs' midpoint is the origin again."""
# MakeHuman's teeth lie 8 mm behind those of ICT-FaceKit's head, and end above the lips' line: no smile shows them.
_TEETH_SHIFT = {"upper_teeth": (0.0, -2.0, 6.0), "lower_teeth": (0.0, -1.0, 5.0), "tongue": (0.0, -1.0, 3.0)}


def skin_shift(
    mean: NDArray[np.float64], head: Head, asked: NDArray[np.integer], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How the skin of a mean (N, 3) moves, (N, k) mm and symmetric, where its vertices `asked` shall move by (n, k)."""
    fields = smooth_fields(mean, head.skin_triangles, asked, np.full(len(asked), _RADIUS))
    there = fields[asked]
    normal = there.T @ there + _HOLD * np.eye(there.shape[1])
    moved = fields @ np.linalg.solve(normal, there.T @ wanted)
    mirrored = np.array([-1, 1, 1])[: wanted.shape[1]]
    return np.asarray((moved + (moved * mirrored)[head.mirror]) / 2)


def mend(mean: NDArray[np.float64], head: Head) -> NDArray[np.float64]:
    """The mended mean (N, 3), mm, its eyeballs' midpoint at the origin again, from the population's (N, 3)."""
    places, offsets = np.array(list(_OFFSETS)), np.array(list(_OFFSETS.values()))
    skin = np.flatnonzero(head.is_part("skin"))
    nearest = skin[np.linalg.norm(mean[skin][None] - places[:, None], axis=2).argmin(axis=1)]
    asked = np.concatenate([nearest, head.mirror[nearest]])
    wanted = np.vstack([offsets, offsets * [-1, 1, 1]])
    asked, once = np.unique(asked, return_index=True)
    mended = mean + skin_shift(mean, head, asked, wanted[once])
    for name, side in zip(EYES, ([-1, 1, 1], [1, 1, 1]), strict=True):
        eye = head.is_part(name)
        middle = 2 * eyeball_center(mean * eye[:, None], head)
        # MakeHuman's look 4° down and apart, where a face at rest looks straight ahead.
        pole = mean[eye][head.eye_direction[eye, 2].argmax()] - middle
        turn, _ = Rotation.align_vectors([[0.0, 0.0, 1.0]], [pole])
        mended[eye] = middle + _EYE_SIZE * (mean[eye] - middle) @ turn.as_matrix().T + _EYE_SHIFT * side
    for name, shift in _TEETH_SHIFT.items():
        mended[head.is_part(name)] += shift
    return mended + RECENTRED
