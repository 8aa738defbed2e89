"""What an avatar is: something that draws faces' expressions and poses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.rendering.layer import Layer


@dataclass(frozen=True, eq=False)
class AvatarFace:
    """A face that drives an avatar.

    Attributes:
        face_id: the same along a track.
        parameters: the face as it was fitted: pose, identity and model.
        weights: (52,) float32 in [0, 1], of `arkit.ARKIT_NAMES`: the expression to show.
    """

    face_id: int
    parameters: FaceParameters
    weights: NDArray[np.float32]

    def enlarged(self, factor: float) -> "AvatarFace":
        """The same in a picture that is larger by a factor; what is told of its image stays as it is."""
        camera = self.parameters.camera
        # The middle of the first pixel is (0, 0), so that the picture's corner lies at −0.5.
        translation = factor * (camera.translation + 0.5) - 0.5
        larger = WeakPerspective(factor * camera.scale, camera.rotation, translation)
        return replace(self, parameters=replace(self.parameters, camera=larger))


class Avatar(Protocol):
    """Draws another face in place of each tracked one. Any thread may call it, one at a time."""

    @property
    def needs_image(self) -> bool:
        """Whether it draws with the camera's pixels."""
        ...

    @property
    def report(self) -> str:
        """What a user should be told once, such as weights that it cannot show; empty if there is nothing."""
        ...

    @property
    def mapping(self) -> str:
        """What is moved by which weights, where that was found out from names; else empty."""
        ...

    def draw(
        self, faces: Sequence[AvatarFace], image_size: tuple[int, int], image: NDArray[np.uint8] | None
    ) -> Sequence[Layer]:
        """Draw the avatars of some faces; returns layers to be laid over a picture in this order, far ones first.

        Args:
            faces: any number; nearer ones, those with the larger scale, hide the others.
            image_size: (width, height) of the picture, px.
            image: (H, W, 3) uint8 BGR that the faces were found in; None if the avatar does not need it.

        Raises:
            Face3DMMError: the faces are of another model, or the picture cannot be drawn.
        """
        ...

    def close(self) -> None:
        """Release what it holds, such as an OpenGL context; it cannot be used any more."""
        ...


def draw_each(faces: Sequence[AvatarFace], draw: Callable[[AvatarFace], Layer | None]) -> list[Layer]:
    """What `draw` makes of each face, far ones first; without the faces for which that is None."""
    far_to_near = sorted(faces, key=lambda face: face.parameters.camera.scale)
    return [layer for face in far_to_near if (layer := draw(face)) is not None]
