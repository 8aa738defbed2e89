"""What an avatar costs a frame: its drawing and laying it over the image, beside the overlay."""

from collections.abc import Callable
from itertools import count, cycle

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.styles import HEAD, WATERMELON, create_avatar
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.avatar.weights.tuning import Tuning, WeightTuner
from face3dmm_ros.core.values import TrackedFace
from face3dmm_ros.morphable_model import MorphableModel


def avatars(
    model: MorphableModel, image: NDArray[np.uint8], faces: list[TrackedFace]
) -> dict[str, Callable[[], object]]:
    """One face on an image that moves from frame to frame; by the names of the table's rows."""
    weights, tuner = BlendshapeWeights(model), WeightTuner(Tuning())
    size = image.shape[1], image.shape[0]
    driven = [AvatarFace(face.face_id, face.parameters, weights.of(face.parameters)) for face in faces]

    def drawing(style: str) -> Callable[[], object]:
        avatar, turn = create_avatar(style, model), cycle(driven)

        def draw() -> NDArray[np.uint8]:
            picture = image.copy()
            for layer in avatar.draw([next(turn)], size, image):
                layer.over(picture)
            return picture

        return draw

    turn, images = cycle(faces), count()

    def weigh() -> NDArray[np.float32]:
        face = next(turn)
        return tuner.tune(face.face_id, weights.of(face.parameters), next(images) / 30.0)

    return {"weights": weigh} | {style: drawing(style) for style in (WATERMELON, HEAD)}
