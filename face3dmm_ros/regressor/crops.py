"""The crop of a face that a regressor sees: where it lies, and points, cameras and pixels in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_vector
from face3dmm_ros.landmarks.region import Region, region_around

SIDE = 120
"""Side of the crop, px, as in 2DASL and 3DDFA."""
MARGIN = 1.4
"""Side of the crop's region over the longer side of the 68 landmarks' box; by hand: the forehead lies outside the
box."""

_BRIDGE, _CHIN = 27, 8
_FLIP = np.diag([-1.0, 1.0, 1.0])

# fmt: off
IBUG68_MIRROR = np.array([
    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,            # jaw
    26, 25, 24, 23, 22, 21, 20, 19, 18, 17,                              # brows
    27, 28, 29, 30, 35, 34, 33, 32, 31,                                  # nose
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,                      # eyes
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,                      # outer lips
    64, 63, 62, 61, 60, 67, 66, 65,                                      # inner lips
], dtype=np.int64)
"""(68,) each iBUG point's counterpart on the other side of the face."""
# fmt: on


def face_region(landmarks: NDArray[np.floating], margin: float = MARGIN) -> Region:
    """The square around a face's 68 iBUG points, px, turned so that the chin lies below the bridge of the nose.

    Raises:
        Face3DMMError: the points are not (68, 2) finite numbers, or lie within a pixel of each other.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise Face3DMMError(f"a face's crop needs 68 finite landmarks, found an array of shape {points.shape}")
    up = points[_BRIDGE] - points[_CHIN]
    region = region_around(points, float(np.arctan2(up[0], -up[1])), margin)
    if not region.size > 1.0:
        raise Face3DMMError(f"the landmarks lie within {region.size / margin:.2f} px of each other: that is no face")
    return region


@dataclass(frozen=True)
class CropView:
    """A region of a picture as a crop of side × side px, mirrored or not.

    What is mirrored in the image is a mirrored face: with F = diag(−1, 1, 1) its shape is F·X, its rotation F·R·F.
    """

    region: Region
    side: int = SIDE
    mirrored: bool = False

    def pixels(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop, (side, side, 3), of a (H, W, 3) picture.

        Raises:
            Face3DMMError: the region does not touch the picture.
        """
        crop = self.region.crop(picture, self.side)
        return np.ascontiguousarray(crop[:, ::-1]) if self.mirrored else crop

    def points(self, points: NDArray[np.floating], mirror: NDArray[np.integer]) -> NDArray[np.float32]:
        """Points of the picture in pixels of the crop.

        Args:
            points: (P, 2) px, or (P, 3) with a depth in px, which is scaled.
            mirror: (P,) each point's counterpart on the other side of the face, whose name it has once mirrored.
        """
        moved = np.array(points, dtype=np.float64)
        moved[:, :2] = self.region.to_crop(moved[:, :2], self.side)
        moved[:, 2:] *= self.side / self.region.size
        if self.mirrored:
            moved = moved[mirror]
            moved[:, 0] = self.side - 1 - moved[:, 0]
        return moved.astype(np.float32)

    def camera(self, camera: WeakPerspective) -> WeakPerspective:
        """The camera that sees in the crop what another saw in the picture."""
        (translation,) = self.region.to_crop(camera.translation[None], self.side)
        scale = camera.scale * self.side / self.region.size
        return self._mirrored(WeakPerspective(scale, self._roll().T @ camera.rotation, translation))

    def camera_in_picture(self, camera: WeakPerspective) -> WeakPerspective:
        """The camera that sees in the picture what another sees in the crop: the inverse of `camera`."""
        camera = self._mirrored(camera)
        (translation,) = self.region.to_image(camera.translation[None], self.side)
        scale = camera.scale * self.region.size / self.side
        return WeakPerspective(scale, self._roll() @ camera.rotation, translation)

    def _roll(self) -> NDArray[np.float64]:
        """The rotation from the crop's camera axes to the picture's."""
        return rotation_from_vector([0.0, 0.0, self.region.angle])

    def _mirrored(self, camera: WeakPerspective) -> WeakPerspective:
        """The camera that sees a mirrored face in the mirrored crop; itself where nothing is mirrored."""
        if not self.mirrored:
            return camera
        x, y = camera.translation
        return WeakPerspective(camera.scale, _FLIP @ camera.rotation @ _FLIP, np.array([self.side - 1 - x, y]))

    def points_in_picture(self, points: NDArray[np.floating], mirror: NDArray[np.integer]) -> NDArray[np.float64]:
        """(P, 2) points of the crop in pixels of the picture: the inverse of `points`, with the same `mirror`."""
        moved = np.array(points, dtype=np.float64)
        if self.mirrored:
            moved[:, 0] = self.side - 1 - moved[:, 0]
            moved = moved[mirror]
        return self.region.to_image(moved, self.side)
