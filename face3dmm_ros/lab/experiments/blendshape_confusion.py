"""Measure what the tracker takes each blendshape for; write a matrix as JSON and as a picture.

Random people, bald, are shown at rest and then with one blendshape at 1, and followed as they would be live: detector,
fit to landmarks, ARKit's weights, less those at rest. Row by row, the matrix holds how far every weight rose, on
average, while one blendshape was shown. Beside it stand how far the blendshape moves the points of the face, and how
much of that the detector sees.
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.avatar.weights.tuning import Tuning, WeightTuner
from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import TrackedLandmarks
from face3dmm_ros.fit_methods import FIT_METHODS, create_fitter
from face3dmm_ros.fitting.face_fitter import FaceFitter
from face3dmm_ros.lab.default_model.expression import other_side
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, place_face, random_identity, random_person
from face3dmm_ros.lab.synthesis.scene import Background, Light, Scene, Sensor
from face3dmm_ros.lab.synthesis.scene_renderer import RenderedScene, SceneRenderer
from face3dmm_ros.lab.synthesis.sensor import expose
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model

NAMES = WITHOUT_TONGUE
"""Those that the default model has, in its order: all but tongueOut."""
GROUPS = {
    "brows": ("browDown", "browInnerUp", "browOuterUp"),
    "lids": ("eyeBlink", "eyeSquint", "eyeWide", "cheekSquint"),
    "gaze": ("eyeLook",),
    "nose and upper lip": ("noseSneer", "mouthUpperUp", "mouthShrugUpper"),
    "jaw": ("jaw", "mouthClose"),
    "corners of the mouth": ("mouthSmile", "mouthDimple", "mouthStretch", "mouthFrown", "mouthLeft", "mouthRight"),
    "ring of the lips": ("mouthFunnel", "mouthPucker", "mouthPress", "mouthRoll", "cheekPuff"),
    "lower lip": ("mouthLowerDown", "mouthShrugLower"),
}
"""Blendshapes by the muscles behind them, by how their names begin."""

# All of these are chosen by hand; more frames and larger pictures take longer.
#
# Frames per second.
_RATE = 30.0
# At rest, with a blendshape held, and the last of those, whose weights are read.
_REST_FRAMES, _HELD_FRAMES, _READ_FRAMES = 15, 9, 4
# Weight of the frame on the way from rest to 1.
_RAMP = 0.5
# Standard deviation of the sensor's noise, of 255.
_NOISE = 2.0
# Cosine from which on two blendshapes count as alike.
_ALIKE = 0.7
_OPTIONS = SceneOptions(image_size=(288, 288), face_share=(0.5, 0.5), off_center=0.0)

Frame: TypeAlias = tuple[TrackedLandmarks, NDArray[np.uint8]]
"""What a detector finds in an image, and the image."""


class Observer:
    """Sees faces as the live pipeline does, or, for comparison, has their points from the truth."""

    def __init__(self, model: MorphableModel, method: str, exact: bool) -> None:
        """With a fit method.

        With `exact`, the detector's points give way to the true ones, whose deviations stay; it reads no expression.
        """
        self._weights = BlendshapeWeights(model)
        self._fitter: FaceFitter = create_fitter(model, method)
        self._tracker = LandmarkTracker(create_backend())
        self._exact = exact

    def rest(self, shown: RenderedScene, seeds: Iterator[int]) -> None:
        """Look at somebody at rest."""
        self._tracker.reset()
        self._rest = [self._look(self._tracker, shown, seeds) for _ in range(_REST_FRAMES)]

    def rise(self, ramp: RenderedScene, held: RenderedScene, seeds: Iterator[int]) -> tuple[NDArray, NDArray]:
        """How far each weight rises, (51,), when something is shown and held after the rest.

        And how far the points move for the detector, (468, 2) px.
        """
        self._fitter.reset()
        # A tracker replaces what it remembers and never changes it: the copy forgets what follows.
        tracker = copy.copy(self._tracker)
        frames = [*self._rest, *(self._look(tracker, shown, seeds) for shown in [ramp, *[held] * _HELD_FRAMES])]
        tuner = WeightTuner(Tuning(calibration_s=(_REST_FRAMES - 0.5) / _RATE, learn_range=False, dead_zone=0.0))
        tuner.recalibrate()
        fits = (self._fitter.fit(face, image) for face, image in frames)
        weights = [tuner.tune(0, self._weights.of(fitted), k / _RATE) for k, fitted in enumerate(fits)]
        rises = np.array(weights[-_READ_FRAMES:], np.float64).mean(axis=0)[: len(NAMES)]
        return rises, _mean_points(frames[-_READ_FRAMES:]) - _mean_points(self._rest)

    def _look(self, tracker: LandmarkTracker, shown: RenderedScene, seeds: Iterator[int]) -> Frame:
        image = expose(shown.image, Sensor(noise=_NOISE, seed=next(seeds)))
        faces = tracker.track(image)
        if not faces:
            raise Face3DMMError("the detector lost a synthetic face: draw other people with --seed")
        face = faces[0]
        landmarks = face.landmarks
        if self._exact:
            landmarks = replace(landmarks, points=_points(shown), expression=None, expression_deviation=None)
        return replace(face, face_id=0, landmarks=landmarks), image


def _points(shown: RenderedScene) -> NDArray[np.float32]:
    """(478, 2) px, where Face Mesh's points are in truth."""
    return shown.landmarks(MEDIAPIPE478)[:, :2].astype(np.float32)


def _mean_points(frames: Sequence[Frame]) -> NDArray[np.float32]:
    """(468, 2) px."""
    return np.mean([face.landmarks.points[:SKIN_COUNT] for face, _ in frames], axis=0, dtype=np.float32)


def somebody(rng: np.random.Generator, model: MorphableModel) -> Scene:
    """A random person in an even light, without hair, glasses or clothes."""
    alpha, gamma = random_identity(rng, model)
    person = random_person(rng, model, alpha, gamma, _OPTIONS)
    skin = replace(person.skin, scalp_cover=0.0)
    return Scene(
        _OPTIONS.image_size, person.camera, alpha, np.zeros(model.expression_count), gamma, Light(), skin, person.eyes,
        hair=None, outfit=None, background=Background(person.background.seed, None, 0.03), sensor=Sensor(),
    )  # fmt: skip


def turned(scene: Scene, pitch: float, yaw: float) -> Scene:
    """The person turned, degrees, the face in the middle and of one size."""
    rotation = rotation_from_pose_angles(*np.radians([pitch, yaw, 0.0]))
    return replace(scene, camera=place_face(np.random.default_rng(0), rotation, _OPTIONS))


def measure(
    model: MorphableModel, people: int, poses: Sequence[tuple[float, float]], seed: int, method: str, exact: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Show every blendshape to the tracker.

    Returns:
        (people, poses, 51, 51), per blendshape shown how far every weight rises, and (51, 3), how far it moves the
        points (RMS over all, mm in the image plane), which share of that the detector sees, and their correlation.

    Raises:
        Face3DMMError: a face is lost, or no OpenGL.
    """
    rises = np.zeros((people, len(poses), len(NAMES), len(NAMES)))
    products = np.zeros((len(NAMES), 3))  # of true and seen movements, mm²
    observer = Observer(model, method, exact)
    seeds = iter(range(sys.maxsize))
    bar = tqdm(total=people * len(poses) * len(NAMES), unit="expressions", disable=None)
    with SceneRenderer(model, samples=1) as renderer, bar:
        for p in range(people):
            person = somebody(np.random.default_rng([seed, p]), model)
            for v, (pitch, yaw) in enumerate(poses):
                scene = turned(person, pitch, yaw)
                rest = renderer.render(scene)
                observer.rest(rest, seeds)
                for k, beta in enumerate(np.eye(len(NAMES))):
                    ramp, held = (renderer.render(replace(scene, beta=share * beta)) for share in (_RAMP, 1.0))
                    rises[p, v, k], seen = observer.rise(ramp, held, seeds)
                    moved = (_points(held) - _points(rest))[:SKIN_COUNT] / scene.camera.scale
                    seen = seen / scene.camera.scale
                    products[k] += (moved**2).sum(), (moved * seen).sum(), (seen**2).sum()
                    bar.update()
    true, both, seen_square = products.T
    points = people * len(poses) * SKIN_COUNT
    movement = np.column_stack([np.sqrt(true / points), both / true, both / np.sqrt(true * seen_square)])
    return rises, movement


def likeness(model: MorphableModel) -> NDArray[np.float64]:
    """(51, 51) cosines between how blendshapes move Face Mesh's points on the mean face from the front.

    Compared is what is left once the head's small turns, shifts and growth are taken out (Procrustes' tangent space).
    """
    surface = model.scheme(MEDIAPIPE478)
    x, y, z = surface.interpolate(model.mean).astype(np.float64).T
    moved = surface.interpolate_basis(model.expression_basis)[:, :2, : len(NAMES)]
    no, one = np.zeros_like(x), np.ones_like(x)
    pose = np.column_stack([np.concatenate(pair) for pair in ((z, no), (no, z), (-y, x), (x, y), (one, no), (no, one))])
    flat = moved.transpose(1, 0, 2).reshape(len(pose), -1)
    Q = np.linalg.qr(pose)[0]
    flat -= Q @ (Q.T @ flat)
    flat /= np.linalg.norm(flat, axis=0)
    return np.asarray(flat.T @ flat)


def group_of(name: str) -> str:
    """Which of `GROUPS` a blendshape belongs to."""
    return next(group for group, beginnings in GROUPS.items() if name.startswith(beginnings))


def taken_for(matrix: NDArray[np.float64]) -> list[str]:
    """Per row (…, 51) the blendshape that rose most; "nothing" where none did."""
    return [NAMES[row.argmax()] if row.max() > 0.0 else "nothing" for row in matrix.reshape(-1, len(NAMES))]


def counts(matrix: NDArray[np.float64]) -> dict[str, int]:
    """How many rows of a (51, 51) matrix are right, right but for the side, and right but for the group's member."""
    found = list(zip(NAMES, taken_for(matrix), strict=True))
    return {
        "right": sum(there == seen for there, seen in found),
        "right_or_other_side": sum(seen in (there, other_side(there)) for there, seen in found),
        "right_group": sum(seen != "nothing" and group_of(seen) == group_of(there) for there, seen in found),
    }


def plot(matrix: NDArray[np.float64], path: Path) -> None:
    """The matrix as a picture; right answers are framed in green, wrong ones in red."""
    figure, axes = plt.subplots(figsize=(11.5, 11), dpi=100, layout="constrained")
    # The root of the rises, so that small ones can be told from none.
    shown = axes.imshow(matrix, cmap="magma_r", norm=PowerNorm(0.5, 0.0, 1.0))
    ticks = np.arange(len(NAMES))
    axes.set_xticks(ticks, NAMES, rotation=90, fontsize=7.5)
    axes.set_yticks(ticks, NAMES, fontsize=7.5)
    axes.set_xticks(ticks - 0.5, minor=True)
    axes.set_yticks(ticks - 0.5, minor=True)
    axes.grid(which="minor", color="0.92", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    for k, name in enumerate(taken_for(matrix)):
        if name != "nothing":
            color = "tab:green" if name == NAMES[k] else "tab:red"
            corner = (NAMES.index(name) - 0.5, k - 0.5)
            axes.add_patch(plt.Rectangle(corner, 1, 1, fill=False, edgecolor=color, linewidth=1.6))
    axes.set(xlabel="measured", ylabel="shown")
    right = counts(matrix)["right"]
    axes.set_title(f"Rise of every weight over that at rest; {right} of {len(NAMES)} are right (green)")
    figure.colorbar(shown, ax=axes, shrink=0.5, label="mean rise")
    figure.savefig(path)
    plt.close(figure)


def numbers(text: str) -> tuple[float, ...]:
    """Angles from a list with commas."""
    try:
        return tuple(float(part) for part in text.split(",") if part)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a list of degrees such as -30,0,30") from error


def main() -> None:
    """Measure, write, print how many are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--people", type=int, default=2, help="how many random people")
    add("--yaws", type=numbers, default="-30,-15,0,15,30", metavar="DEG,…", help="views at pitch 0, as --yaws=-30,0")
    add("--pitches", type=numbers, default="-15,15", metavar="DEG,…", help="further views at yaw 0; '' for none")
    add("--points", choices=("detector", "exact"), default="detector",
        help="exact: the fit gets the true points of the face, which tells its errors from the detector's")  # fmt: skip
    add("--fit-method", choices=FIT_METHODS, default=FIT_METHODS[0], help="how the weights are fitted")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("build/blendshape_confusion"), metavar="DIR", help="confusion.json and .png")
    arguments = parser.parse_args()
    poses = [(0.0, yaw) for yaw in arguments.yaws] + [(pitch, 0.0) for pitch in arguments.pitches]
    if arguments.people < 1 or not poses:
        parser.error("there must be at least one person and one view")
    model = load_model("default")
    rises, movement = measure(
        model, arguments.people, poses, arguments.seed, arguments.fit_method, arguments.points == "exact"
    )
    matrix = rises.mean(axis=(0, 1))
    taken = dict(zip(NAMES, taken_for(matrix), strict=True))
    alike = likeness(model)
    pairs = [(i, j) for i in range(len(NAMES)) for j in range(i) if alike[i, j] > _ALIKE]
    pairs.sort(key=lambda pair: -alike[pair])
    single = np.array(taken_for(rises)).reshape(rises.shape[:3]) == np.array(NAMES)
    result = {
        "people": arguments.people,
        "views_pitch_yaw_degrees": poses,
        "points": arguments.points,
        "fit_method": arguments.fit_method,
        "seed": arguments.seed,
        **counts(matrix),
        "right_by_view": [counts(rises[:, v].mean(axis=0))["right"] for v in range(len(poses))],
        "share_of_single_views_right": round(float(single.mean()), 3),
        "taken_for": taken,
        "share_right_by_blendshape": dict(zip(NAMES, np.round(single.mean(axis=(0, 1)), 3).tolist(), strict=True)),
        "movement_mm_share_seen_correlation": dict(zip(NAMES, np.round(movement, 3).tolist(), strict=True)),
        "alike": [(NAMES[j], NAMES[i], round(float(alike[i, j]), 2)) for i, j in pairs],
        "names": NAMES,
        "matrix": np.round(matrix, 4).tolist(),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "confusion.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(matrix, arguments.out / "confusion.png")
    for (there, seen), row in zip(taken.items(), matrix, strict=True):
        if there != seen:
            others = ", ".join(f"{NAMES[k]} {row[k]:.2f}" for k in row.argsort()[::-1][:3])
            print(f"{there} ({row[NAMES.index(there)]:.2f}) is taken for {others}")
    print({key: result[key] for key in ("right", "right_or_other_side", "right_group", "right_by_view")})


if __name__ == "__main__":
    main()
