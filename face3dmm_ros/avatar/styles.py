"""The avatars by their names."""

from typing import TYPE_CHECKING

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.user_path import user_path

if TYPE_CHECKING:
    from face3dmm_ros.avatar.avatar import Avatar
    from face3dmm_ros.morphable_model import MorphableModel

WATERMELON, HEAD, GLTF = "watermelon", "head", "gltf:"
STYLES = f"{WATERMELON}, {HEAD} or {GLTF}PATH"
"""The styles, for help texts and messages."""

IN_IMAGE, ALONE = "image", "alone"
PLACEMENTS = (IN_IMAGE, ALONE)
"""Where an avatar is shown: in the person's place in the camera's image, or before a backdrop."""


def check_style(style: str) -> None:
    """Check that a style exists, without loading it.

    Raises:
        Face3DMMError: there is no such style.
    """
    if style in (WATERMELON, HEAD) or (style.startswith(GLTF) and len(style) > len(GLTF)):
        return
    raise Face3DMMError(f"there is no avatar {style!r}: choose {STYLES} (a .glb, .gltf or .vrm file)")


def create_avatar(style: str, model: "MorphableModel", platform: str = "auto") -> "Avatar":
    """Create an avatar by the name of its style.

    Args:
        style: ``watermelon``, ``head`` or ``gltf:PATH``.
        model: the model of the faces that drive it.
        platform: as in `face3dmm_ros.rendering.offscreen.open_context`.

    Raises:
        Face3DMMError: there is no such style, the file cannot be used, or there is no OpenGL 3.3.
    """
    check_style(style)
    if style == WATERMELON:
        from face3dmm_ros.avatar.watermelon.avatar import Watermelon

        return Watermelon(model, platform)
    if style == HEAD:
        from face3dmm_ros.avatar.character.avatar import Character

        return Character(platform)
    from face3dmm_ros.avatar.gltf.avatar import GltfAvatar

    return GltfAvatar(user_path(style.removeprefix(GLTF)), platform)
