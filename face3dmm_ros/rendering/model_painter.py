"""Pictures of a model, before any image of a person: faces of chosen coefficients, in rows with captions."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace

_BACKGROUND = 238
"""Grey level around the faces; chosen by hand."""
# Of a model's sheet, chosen by hand: cells a row, px (width, height) of one, and how much of it a head fills.
_COLUMNS, _CELL, _FILLED = 8, np.array([170, 200]), 0.85
_SEED = 7  # any number; another draws other people


class ModelPainter:
    """Pictures of one model."""

    def __init__(self, model: MorphableModel, renderer: FaceRenderer) -> None:
        self.model = model
        self._renderer = renderer

    def face(
        self,
        size: ArrayLike,
        scale: float,
        *,
        alpha: ArrayLike = (),
        beta: ArrayLike = (),
        gamma: ArrayLike = (),
        yaw: float = 0.0,
        middle: ArrayLike = (0.0, -15.0, -30.0),
    ) -> tuple[NDArray[np.uint8], WeakPerspective]:
        """One face in a picture of `size`, (W, H) px, (H, W, 3) BGR, and the camera.

        The head is turned by yaw degrees, `scale` is px per mm; the point `middle`, mm, is the picture's.
        """
        model = self.model
        vertices = model.vertices(alpha, beta)
        rotation = rotation_from_pose_angles(0.0, np.radians(yaw), 0.0)
        offset = scale * rotation[:2] @ np.asarray(middle, np.float64)
        camera = WeakPerspective(scale, rotation, np.array(size) / 2 - offset)
        width, height = np.asarray(size).tolist()
        rgba = self._renderer.render(
            (width, height), [PosedFace(vertices, model.normals(vertices), model.rgb(gamma), camera)]
        )
        cover = rgba[:, :, 3:] / 255.0
        return np.round(rgba[:, :, 2::-1] * cover + _BACKGROUND * (1 - cover)).astype(np.uint8), camera


def model_sheet(painter: ModelPainter) -> NDArray[np.uint8]:
    """What a model can be, on one picture, (H, W, 3) BGR: the mean from three sides, random people, the first identity
    components three σ to each side, and expressions at their upper bounds, or two σ where they have none."""
    model = painter.model
    low, high = model.mean.min(axis=0), model.mean.max(axis=0)
    scale = _FILLED * float(min(_CELL / (high - low)[:2]))
    rng = np.random.default_rng(_SEED)

    def cell(caption: str, **face: Any) -> NDArray[np.uint8]:
        return labelled(painter.face(_CELL, scale, middle=(low + high) / 2, **face)[0], caption)

    def people(count: int) -> list[NDArray[np.uint8]]:
        return [
            cell(
                f"person {number + 1}",
                alpha=rng.normal(size=model.shape_count) * model.shape_sigma,
                gamma=np.clip(rng.normal(size=len(model.albedo_sigma)), -2, 2) * model.albedo_sigma,
                yaw=rng.uniform(-40, 40),
            )
            for number in range(count)
        ]

    def single(count: int, index: int, value: float) -> NDArray[np.float64]:
        return value * np.eye(count)[index]

    cells = [cell(f"mean, {yaw:.0f} deg", yaw=yaw) for yaw in (0.0, 40.0, 80.0)]
    cells += people(_COLUMNS - len(cells))
    components = range(min(model.shape_count, _COLUMNS))
    for sign in (-3.0, 3.0) if components else ():
        row = [
            cell(
                f"identity {k + 1}, {sign:+.0f} sigma", alpha=single(model.shape_count, k, sign * model.shape_sigma[k])
            )
            for k in components
        ]
        cells += row + [np.full_like(cells[0], _BACKGROUND)] * (_COLUMNS - len(row))
    upper = model.expression_bounds[1]
    strongest = np.where(np.isfinite(upper), upper, 2 * model.expression_sigma)
    cells += [
        cell(name, beta=single(model.expression_count, k, strongest[k]))
        for k, name in enumerate(model.expression_names)
    ]
    return sheet(cells, _COLUMNS)


def sheet(cells: list[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Equal cells in rows of so many columns."""
    blank = np.full_like(cells[0], _BACKGROUND)
    cells = cells + [blank] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])


def labelled(cell: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """The cell with a caption at its foot."""
    write(cell, text, (5, cell.shape[0] - 6), (40, 40, 40))
    return cell


def write(picture: NDArray[np.uint8], text: str, place: tuple[int, int], color: tuple[int, int, int]) -> None:
    """Write onto a picture, from (x, y), px, in a BGR colour."""
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, color, 1, cv2.LINE_AA)
