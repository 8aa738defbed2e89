"""What an avatar is: something that draws faces' expressions and poses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.rendering.layer import Layer


@dataclass(frozen=True, eq=False)
class AvatarFace:
    """A face that drives an avatar.

    Attributes:
        face_id: stable along a track.
        parameters: the face as it was fitted: where it is, and whose.
        weights: (52,) float32 in [0, 1], of `arkit.ARKIT_NAMES`: its expression, as it is to be shown.
    """

    face_id: int
    parameters: FaceParameters
    weights: NDArray[np.float32]


class Avatar(Protocol):
    """Draws another face in place of each tracked one. Any thread may call it, one at a time."""

    @property
    def needs_image(self) -> bool:
        """Whether it draws with the camera's pixels."""
        ...

    @property
    def report(self) -> str:
        """What of the 52 weights it cannot show, and the like, to be said once; empty if there is nothing to say."""
        ...

    def draw(
        self, faces: Sequence[AvatarFace], image_size: tuple[int, int], image: NDArray[np.uint8] | None
    ) -> Sequence[Layer]:
        """The avatars of some faces, to be laid over a picture in this order, far ones first.

        Args:
            faces: any number; nearer ones, those with the larger scale, hide the others.
            image_size: (width, height) of the picture, px.
            image: (H, W, 3) uint8 BGR that the faces were found in; None if the avatar does not need it.

        Raises:
            Face3DMMError: faces of another model, or a picture that cannot be drawn.
        """
        ...

    def close(self) -> None:
        """Give back what it holds, such as OpenGL; it cannot be used any more."""
        ...
