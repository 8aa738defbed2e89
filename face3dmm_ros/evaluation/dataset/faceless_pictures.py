"""Pictures without a face: whatever a detector finds in them is a false alarm."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.files.pictures import find_pictures, read_picture

_WITHOUT_A_FACE = (
    "brick.png", "cell.png", "chelsea.png", "chessboard_RGB.png", "clock_motion.png", "coffee.png", "color.png",
    "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png", "logo.png", "microaneurysms.png",
    "moon.png", "motorcycle_left.png", "motorcycle_right.png", "phantom.png", "retina.jpg", "rocket.jpg",
    "text.png",
)  # fmt: skip
"""scikit-image's pictures but for two of people (astronaut, camera) and one of coins, which show heads."""
_QUARTERS = ("", "upper left quarter", "upper right quarter", "lower left quarter", "lower right quarter")


@dataclass(frozen=True)
class FacelessPicture:
    """A picture without a face, whole (`quarter` 0) or one of its quarters (1 to 4)."""

    path: Path
    quarter: int = 0

    @property
    def name(self) -> str:
        """What it is called in a report."""
        return self.path.name + (f", {_QUARTERS[self.quarter]}" if self.quarter else "")

    def read(self) -> NDArray[np.uint8]:
        """The picture, (H, W, 3) BGR uint8.

        Raises:
            Face3DMMError: OpenCV cannot read it.
        """
        picture = read_picture(self.path)
        if not self.quarter:
            return picture
        row, column = divmod(self.quarter - 1, 2)
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        return np.ascontiguousarray(picture[row * height :, column * width :][:height, :width])


def installed_faceless_pictures() -> list[FacelessPicture]:
    """Pictures without a face that scikit-image carries, and their quarters; none where it is not installed."""
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        return []
    folder = Path(found.origin).parent / "data"
    paths = [folder / name for name in _WITHOUT_A_FACE if (folder / name).is_file()]
    return [FacelessPicture(path, quarter) for path in paths for quarter in range(len(_QUARTERS))]


def faceless_pictures_in(folder: Path) -> list[FacelessPicture]:
    """All pictures in a folder and its subfolders, which are taken to be without a face.

    Raises:
        Face3DMMError: there is no such folder, or no picture in it.
    """
    return [FacelessPicture(path) for path in find_pictures(folder)]
