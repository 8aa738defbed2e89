"""Where Face Mesh's 478 points lie on the model: found by running Face Mesh on many renderings of it.

A point's place is the robust mean of the surface points under it, over random people, colours, lights and views in
which it faces the camera. Points that run along lips and eyelids are put on the loops of the mesh that run there, which
no picture with a closed mouth could tell apart. Face Mesh is here that of 2019, with which the dense network's points
were defined; the irises' points lie on the eyeballs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.correspondence.surface import nearest_on_surface, pick
from face3dmm_ros.lab.default_model.anatomy import Anatomy
from face3dmm_ros.lab.default_model.head import EYES, LIMBUS, Head
from face3dmm_ros.landmarks.network import Network
from face3dmm_ros.landmarks.region import region_around
from face3dmm_ros.landmarks.schemes import LEFT_EYE_RING, LIP_RINGS, RIGHT_EYE_RING, SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.lighting import Lighting

# px (width, height) of a rendering; chosen by hand: a face fills most of it, larger than the 192 px that Face Mesh
# sees.
_IMAGE_SIZE = (320, 320)
# px between a point and the face's surface from which on a sighting does not count; chosen by hand.
_TOO_FAR = 4.0
# Cosine between a turned view and a point's normal below which its sighting does not count; chosen by hand.
_LEAST_FACING = 0.3

# The loop of the model's lips that each of Face Mesh's rings follows, upper and lower lip, from `Anatomy.lips`: judged
# on renderings, where Face Mesh draws the lower lip some 3 mm thinner than it is.
_UPPER_LIP_LOOPS, _LOWER_LIP_LOOPS = (0, 1, 3, 5), (1, 2, 4, 5)


@dataclass(frozen=True, eq=False)
class View:
    """A rendering of a random face and what it was made from.

    Attributes:
        image: (H, W, 3) BGR uint8.
        vertices: (N, 3) float32, mm.
        camera: of the rendering.
    """

    image: NDArray[np.uint8]
    vertices: NDArray[np.float32]
    camera: WeakPerspective


def random_view(
    rng: np.random.Generator,
    model: MorphableModel,
    renderer: FaceRenderer,
    *,
    turn: float,
    open_mouth: bool,
) -> View:
    """Render a random person: yaw within ±40°, pitch within ±20°, times `turn`; calm, with open eyes.

    The ranges of pose, colours and light are chosen by hand.
    """
    alpha = rng.normal(0.0, 0.8, model.shape_count) * model.shape_sigma
    gamma = np.clip(rng.normal(0.0, 1.0, len(model.albedo_sigma)), -2, 2) * model.albedo_sigma
    beta = np.zeros(model.expression_count)
    if open_mouth:
        beta[model.expression_names.index("jawOpen")] = rng.uniform(0.25, 0.6)
    vertices = model.vertices(alpha, beta)
    yaw, pitch = turn * rng.uniform(-40, 40), turn * rng.uniform(-20, 20)
    rotation = rotation_from_pose_angles(np.radians(pitch), np.radians(yaw), np.radians(rng.uniform(-8, 8)))
    scale = rng.uniform(1.0, 1.3)
    middle = np.array([0.0, -40.0, 0.0])
    camera = WeakPerspective(scale, rotation, np.array(_IMAGE_SIZE) / 2 - scale * (rotation @ middle)[:2])
    renderer.lighting = Lighting(
        direction=(rng.uniform(-0.7, 0.7), rng.uniform(-0.8, 0.1), -1.0),
        color=(rng.uniform(0.6, 0.85),) * 3,
        ambient=(rng.uniform(0.3, 0.45),) * 3,
        specular=rng.uniform(0.02, 0.12),
    )
    rgba = renderer.render(_IMAGE_SIZE, [PosedFace(vertices, model.normals(vertices), model.rgb(gamma), camera)])
    cover = rgba[:, :, 3:] / 255.0
    background = rng.uniform(40, 220, 3)
    image = np.uint8(rgba[:, :, 2::-1] * cover + background * (1 - cover))
    return View(image, vertices, camera)


def first_face_mesh() -> Network:
    """The network of Face Mesh's first version, of 2019, which gives 468 points."""
    return Network(package_file("resource/landmark_models/face_landmark.tflite"), (0.0, 1.0))


def detect(network: Network, view: View, model: MorphableModel) -> NDArray[np.float64]:
    """Face Mesh's points on a view, (468, 2) px, in a crop around where the face is known to be."""
    points = view.camera.project(view.vertices[model.regions["face"] > 0.5])
    across = view.camera.rotation[:2, 0]
    for _ in range(2):
        region = region_around(points, float(np.arctan2(across[1], across[0])), 1.5)
        surface = max(network.run(region.crop(view.image, network.side)), key=np.size).reshape(-1, 3)
        points = region.to_image(surface[:, :2], network.side).astype(np.float64)
    return points


def locate_face_mesh_points(model: MorphableModel, anatomy: Anatomy, views: int, seed: int) -> SurfacePoints:
    """The 468 points of the skin on the mean face, from so many renderings of random people drawn with a seed."""
    rng = np.random.default_rng(seed)
    network = first_face_mesh()
    mean = model.mean.astype(np.float64)
    normals = model.normals(model.mean)
    allowed = _surface_of_face(model, mean)
    places, weights = np.empty((views, SKIN_COUNT, 3)), np.zeros((views, SKIN_COUNT))
    known: SurfacePoints | None = None
    with FaceRenderer(model.triangles) as renderer:
        for k in range(views):
            # The first third of the views is nearly frontal and says which points a turned view can show at all.
            frontal = k < views // 3
            if k == views // 3:
                known = nearest_on_surface(_robust_means(places[:k], weights[:k]), mean, allowed)
            view = random_view(rng, model, renderer, turn=0.15 if frontal else 1.0, open_mouth=k % 2 > 0)
            surface, distance = pick(detect(network, view, model), view.vertices, allowed, view.camera)
            seen_under = known if known is not None else surface
            facing = -(seen_under.interpolate(normals) @ view.camera.rotation[2])
            places[k] = surface.interpolate(mean)
            weights[k] = np.where(distance < _TOO_FAR, np.clip(facing, 0.02, None) ** 2, 0.0)
            if not frontal:
                weights[k, facing < _LEAST_FACING] = 0.0
    place = _symmetric(_robust_means(places, weights))
    return _put_on_loops(nearest_on_surface(place, mean, allowed), place, mean, anatomy)


def locate_iris_points(head: Head) -> SurfacePoints:
    """The ten points of the irises: centre, and right, above, left and below of it at the limbus; the right eye first.

    Left and right are the image's here, as Face Mesh has them.
    """
    vertices = []
    for name in EYES[::-1]:
        eye = np.flatnonzero(head.is_part(name))
        direction = head.eye_direction[eye]
        polar = np.degrees(np.arccos(np.clip(direction[:, 2], -1.0, 1.0)))
        limbus = np.flatnonzero(np.abs(polar - LIMBUS) < 0.5)
        rim = [limbus[(direction[limbus, :2] @ way).argmax()] for way in np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])]
        vertices += [eye[polar.argmin()], *eye[rim]]
    return SurfacePoints.at_vertices(np.array(vertices, np.int32))


def _surface_of_face(model: MorphableModel, mean: NDArray[np.float64]) -> NDArray[np.int32]:
    """Triangles on which points may lie: skin, not the mouth's inside, the eyeballs, the ears or the neck."""
    barred = np.maximum(model.regions["ears"], 1 - model.regions["skin"]) > 0.5
    front = (mean[:, 2] > -85) & (mean[:, 1] > -128)
    return model.triangles[(~barred & front)[model.triangles].all(axis=1)]


def _robust_means(places: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted geometric medians over (V, P, 3) sightings, (P, 3): Weiszfeld's algorithm, smooth within half a mm."""
    middle = np.einsum("vp,vpk->pk", weights, places) / weights.sum(axis=0)[:, None]
    for _ in range(30):
        pull = weights / np.maximum(np.linalg.norm(places - middle, axis=2), 0.5)
        middle = np.einsum("vp,vpk->pk", pull, places) / pull.sum(axis=0)[:, None]
    return middle


def _symmetric(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average each point with the mirror image of its counterpart."""
    flipped = place * [-1, 1, 1]
    _, counterpart = linear_sum_assignment(np.linalg.norm(flipped[:, None] - place[None], axis=2))
    counterpart[list(RIGHT_EYE_RING)], counterpart[list(LEFT_EYE_RING)] = LEFT_EYE_RING, RIGHT_EYE_RING
    for ring in LIP_RINGS:
        for half in (ring[:11], (ring[0], *ring[:9:-1])):
            counterpart[list(half)] = half[::-1]
    return (place + flipped[counterpart]) / 2


def _put_on_loops(
    points: SurfacePoints, place: NDArray[np.float64], mean: NDArray[np.float64], anatomy: Anatomy
) -> SurfacePoints:
    vertices, weights = points.vertices.copy(), points.weights.copy()

    def put(indices: tuple[int, ...], loop: NDArray[np.int64], first: int, last: int) -> None:
        """Put ordered points on the part of a loop that runs between the places nearest to their ends' corners."""
        found = along_loop(mean, loop, first, last, _shares(place[list(indices), 0]))
        vertices[list(indices)], weights[list(indices)] = found.vertices, found.weights

    for ring, upper, lower in zip(LIP_RINGS, _UPPER_LIP_LOOPS, _LOWER_LIP_LOOPS, strict=True):
        # The corners belong to the upper lip's loop: they are put last.
        put((*ring[10:], ring[0]), anatomy.lips[lower], *corners(mean, anatomy.lips[lower])[::-1])
        put(ring[:11], anatomy.lips[upper], *corners(mean, anatomy.lips[upper]))
    for ring, loop, way in (
        (LEFT_EYE_RING, anatomy.left_eyelids["lash_line"], -1),
        (RIGHT_EYE_RING, anatomy.right_eyelids["lash_line"], 1),
    ):
        outer, inner = corners(mean, loop)[::way]
        put(ring[:9], loop, outer, inner)
        put((*ring[8:], ring[0]), loop, inner, outer)
    return SurfacePoints(vertices, weights)


def corners(position: NDArray[np.float64], loop: NDArray[np.int64]) -> tuple[int, int]:
    """Where on a loop of vertices the person's right and left ends are: indices into the loop."""
    return int(position[loop, 0].argmin()), int(position[loop, 0].argmax())


def _shares(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far along, from 0 at the first to 1 at the last, each ordered coordinate lies; never going back."""
    shares = (x - x[0]) / (x[-1] - x[0])
    return np.clip(np.maximum.accumulate(shares), 0.0, 1.0)


def along_loop(
    position: NDArray[np.float64], loop: NDArray[np.int64], first: int, last: int, shares: NDArray[np.float64]
) -> SurfacePoints:
    """Points on a closed loop of vertices, from its first-th onward to its last-th, by their share of the way in x."""
    count = (last - first) % len(loop)
    path = loop[(first + np.arange(count + 1)) % len(loop)]
    progress = np.maximum.accumulate(_shares(position[path, 0]))
    at = np.interp(shares, progress, np.arange(count + 1))
    low = np.minimum(at.astype(int), count - 1)
    rest = (at - low).astype(np.float32)
    vertices = np.column_stack([path[low], path[low + 1], path[low]]).astype(np.int32)
    return SurfacePoints(vertices, np.column_stack([1 - rest, rest, np.zeros_like(rest)]))
