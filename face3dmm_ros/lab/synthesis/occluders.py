"""Things held before a face: a hand, a phone, a cup, a microphone."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.lab.synthesis.parts import Part, grid_part
from face3dmm_ros.lab.synthesis.scene import Occluder
from face3dmm_ros.rendering.grids import ellipsoid, tube

KINDS = ("hand", "phone", "cup", "microphone")
"""All their sizes, mm, are chosen by hand, of such things as they are."""


def occluder_parts(occluder: Occluder, rotation: NDArray[np.float64]) -> list[Part]:
    """An occluder's meshes in model space, mm, for a head with this rotation model → camera, (3, 3)."""
    to_model = (FRONTAL @ rotation).T @ rotation_from_vector(occluder.turn)
    middle = (FRONTAL @ rotation).T @ occluder.position

    def placed(points: NDArray[np.floating]) -> NDArray[np.floating]:
        return points @ to_model.T + middle

    match occluder.kind:
        case "hand":
            return [_skin(placed(points), occluder.color) for points in _hand()]
        case "phone":
            return [_plain(placed(_box((38, 76, 4))), occluder.color, (1, 0.5, 0.7, 0))]
        case "cup":
            height = np.linspace(-48, 48, 7)[:, None]
            wall = _turned_profile(34 + 0.09 * height[::-1, 0], height[::-1, 0])
            lid = _turned_profile(np.array([0.5, 38.0, 39.0]), np.array([50.0, 50.0, 44.0]))
            return [_plain(placed(wall), occluder.color, (1, 0.1, 0.3, 0.3)), _plain(placed(lid), (0.93, 0.93, 0.92))]
        case _:
            head = ellipsoid((0, 30, 0), (25, 27, 25), 11, 17)
            handle = _turned_profile(np.linspace(17, 13, 6), np.linspace(12, -150, 6))
            return [
                _plain(placed(head), (0.12, 0.12, 0.13), (1, 0.2, 0.2, 1.0)),
                _plain(placed(handle), occluder.color),
            ]


def _plain(points: NDArray[np.floating], color: ArrayLike, traits: ArrayLike = (1, 0.2, 0.3, 0)) -> Part:
    return grid_part("plain", points, color, traits=traits)


def _skin(points: NDArray[np.floating], color: ArrayLike) -> Part:
    place = np.stack([points[..., 0] + 300, points[..., 1], points[..., 2]], axis=-1)
    return grid_part("skin", points, color, place=place, traits=(0.9, 0, 0, 0), masks=(0, 0, 1, 0))


def _hand() -> list[NDArray[np.floating]]:
    """Palm, four fingers and a thumb, seen from their back, fingers up; mm."""
    parts = [ellipsoid((0, -42, 0), (42, 50, 15), 11, 17), ellipsoid((-4, -110, -4), (29, 60, 20), 9, 13)]
    for x, length, lean in ((-29, 62, -0.16), (-10, 74, -0.04), (10, 70, 0.05), (28, 54, 0.17)):
        t = np.linspace(0.0, 1.0, 7)[:, None]
        path = np.array([x, -8.0, 2.0]) + t * length * np.array([np.sin(lean), np.cos(lean), -0.1])
        path[:, 2:] -= 6.0 * t**2
        parts.append(_finger(path, 9.0))
    t = np.linspace(0.0, 1.0, 7)[:, None]
    parts.append(_finger(np.array([-34.0, -58.0, 4.0]) + t * np.array([-30.0, 46.0, 2.0]), 10.5))
    return parts


def _finger(path: NDArray[np.floating], radius: float) -> NDArray[np.floating]:
    points = tube(path, 1.0, sides=9)
    thickness = radius * np.array([0.9, 1.0, 0.95, 1.0, 0.92, 0.85, 0.45])[:, None, None]
    points = path[:, None] + thickness * (points - path[:, None])
    ahead = path[-1] - path[-2]
    tip = path[-1] + 0.5 * radius * ahead / np.linalg.norm(ahead)
    return np.concatenate([points, np.broadcast_to(tip, points[:1].shape)])


def _turned_profile(radius: NDArray[np.floating], height: NDArray[np.floating]) -> NDArray[np.floating]:
    """(n, 25, 3) points of a profile, listed from the top down, turned about the y axis."""
    angle = np.linspace(2 * np.pi, 0.0, 25)
    return np.stack(
        [radius[:, None] * np.sin(angle), np.broadcast_to(height[:, None], (len(height), 25)),
         radius[:, None] * np.cos(angle)], axis=-1,
    )  # fmt: skip


def _box(half: tuple[float, float, float]) -> NDArray[np.floating]:
    """(5, 25, 3) points of a box with rounded upright edges and closed ends, mm."""
    x, y, z = half
    angle = np.linspace(2 * np.pi, 0.0, 25)
    s, c = np.sin(angle), np.cos(angle)
    norm = (np.abs(s) ** 10 + np.abs(c) ** 10) ** -0.1
    outline = np.stack([x * norm * s, 0 * s, z * norm * c], axis=-1)
    up = np.array([0.0, y, 0.0])
    return np.stack([0.01 * outline + up, outline + up, outline, outline - up, 0.01 * outline - up])
