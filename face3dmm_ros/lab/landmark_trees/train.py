"""Grow the trees that find a face's points from faces with their truth, and write their file.

    tools/in_environment.sh python -m face3dmm_ros.lab.landmark_trees.train FOLDER... \\
        --out resource/landmark_models/trees.npz

FOLDERs are data sets of `face3dmm synth --format dataset`: renders, and photographs turned; one that is named twice
counts twice. One in ten faces of each is kept back, and tells how sure the points are. Each stage is kept in --work as
soon as it is grown, and a run that was stopped goes on from there; one of other faces or options does not.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.files.whole_file import make_folder, whole_file
from face3dmm_ros.lab.labelled_faces import LabelledFace, labelled_faces
from face3dmm_ros.lab.landmark_trees.boosting import Growth, grow
from face3dmm_ros.lab.landmark_trees.examples import Examples, examples_of, framed
from face3dmm_ros.lab.synthesis.dataset import keep_record
from face3dmm_ros.landmarks.face_mesh_response import FaceMeshResponse
from face3dmm_ros.landmarks.regression_trees import (
    CROP_IN_SQUARES,
    SQUARE_PX,
    TreeCascade,
    check_numbers,
    read_shades,
    summed_leaves,
)
from face3dmm_ros.landmarks.table_file import read_table
from face3dmm_ros.landmarks.tree_finder import TreeFinder
from face3dmm_ros.morphable_model import load_model

# All chosen by hand.
VIEWS = ((0.0, 0.0, 38.0), (42.0, 24.0, 64.0), (76.0, 52.0, 100.0), (0.0, 0.0, 100.0))
"""Of each view the yaw that it stands for, and from and up to which it learns, degrees, to one side; views that stand
for 0 learn from both sides. The last one is for a first look."""
_STAGES, _COMPONENTS, _PIXELS = 12, 40, 400
_EXAMPLES = 90_000
"""Crops of a view: each face is framed and disturbed as often as it takes."""
_MARGIN = 0.12
"""Sides of the square beyond the mean shape in which pixels are compared."""
_NEAR = 0.12
"""Sides of the square: the likelihood of a comparison falls by 1/e with such a distance."""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--out", required=True, type=Path, metavar="NPZ")
    parser.add_argument("--work", type=Path, default=Path("runs/trees"), help="for what is not finished (%(default)s)")
    parser.add_argument("--examples", type=int, default=_EXAMPLES, help="crops of a view (%(default)s)")
    parser.add_argument("--stages", type=int, default=_STAGES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--views",
        type=int,
        nargs="*",
        choices=range(len(VIEWS)),
        default=range(len(VIEWS)),
        help="grow these alone, and write nothing",
    )
    arguments = parser.parse_args()
    make_folder(arguments.work)
    faces = labelled_faces(arguments.folders, load_model("default"))
    judges, teachers = ([face for face in faces if face.kept_back is kept] for kept in (True, False))
    for view in range(len(VIEWS)):
        of_view(judges, view)  # better now than after hours
    keep_record(
        arguments.work,
        {
            "folders": [folder.name for folder in arguments.folders],
            "faces": len(faces),
            "examples": arguments.examples,
            "seed": arguments.seed,
        },
    )
    mirror = FaceMeshResponse.load(package_file("resource/landmark_models/face_mesh_response.npz")).mirror
    means = [mean_shape(of_view(teachers, view), mirror, view) for view in range(len(VIEWS))]
    basis = principal_shapes(teachers, mirror, means, arguments.seed)
    print(f"{len(teachers)} faces teach, {len(judges)} tell how sure points are", flush=True)
    grown = [
        grown_view(view, of_view(teachers, view), mirror, means[view], basis, arguments)
        for view in sorted(set(arguments.views))
    ]
    if len(grown) == len(VIEWS):
        stacked = {name: np.stack([stages[name] for stages in grown]) for name in grown[0]}
        cascade = TreeCascade(
            mean=np.stack(means),
            basis=basis,
            **stacked,
            yaw=np.array([yaw for yaw, _, _ in VIEWS], np.float32),
            turn=np.zeros((len(VIEWS), basis.shape[2] + 1), np.float32),
            spread=np.ones((len(VIEWS), 2, len(basis)), np.float32),
            mirror=mirror.astype(np.int16),
        )
        save(judged(cascade, judges, arguments.seed), arguments.out)
        print(f"written: {arguments.out}")


def of_view(faces: list[LabelledFace], view: int) -> list[LabelledFace]:
    """The faces that a view learns from, or is judged by.

    Raises:
        Face3DMMError: there is none.
    """
    _, least, most = VIEWS[view]
    found = [face for face in faces if least <= abs(face.yaw) <= most]
    if not found:
        which = "that are kept back" if any(face.kept_back for face in faces) else "that teach"
        raise Face3DMMError(f"of {len(faces)} faces {which} none is turned by {least:.0f}° to {most:.0f}°: add folders")
    return found


def both_sides(view: int) -> bool:
    """Whether a view learns from faces as they are and mirrored."""
    return VIEWS[view][0] == 0.0


def mean_shape(faces: list[LabelledFace], mirror: NDArray[np.integer], view: int) -> NDArray[np.float32]:
    """(P, 2) of faces that look to one side, or of those that look ahead and their mirror images."""
    shapes = [_in_square(face, mirror, face.yaw < 0.0) for face in faces]
    if both_sides(view):
        shapes += [shape[mirror] * [-1.0, 1.0] for shape in shapes]
    return _rounded(np.mean(shapes, axis=0))


def _rounded(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """As the file will have them, so that stages learn from what stages before them will say."""
    return np.ascontiguousarray(values, np.float16).astype(np.float32)


def _in_square(face: LabelledFace, mirror: NDArray[np.integer], mirrored: bool) -> NDArray[np.float64]:
    """A face's points (P, 2) in sides of its square, from its middle."""
    shape = (face.square.to_crop(face.points.astype(np.float64), 3) - 1.0) / 3.0
    return shape[mirror] * [-1.0, 1.0] if mirrored else shape


def principal_shapes(
    faces: list[LabelledFace], mirror: NDArray[np.integer], means: list[NDArray[np.float32]], seed: int
) -> NDArray[np.float32]:
    """(P, 2, C) how shapes differ from their view's mean, framed as examples are."""
    rng, rows = np.random.default_rng([seed, 1]), []
    for view, mean in enumerate(means[:-1]):  # a first look may be coarse
        for face in of_view(faces, view)[:2000]:
            shape = _in_square(face, mirror, bool(rng.random() < 0.5) if both_sides(view) else face.yaw < 0.0)
            turn, growth, shift = (
                0.15 * rng.standard_normal(),
                np.exp(0.09 * rng.standard_normal()),
                rng.normal(0, 0.06, 2),
            )
            cosine, sine = growth * np.cos(turn), growth * np.sin(turn)
            rows.append((shape @ np.array([[cosine, sine], [-sine, cosine]]) + shift - mean).ravel())
    values, vectors = np.linalg.eigh(np.cov(np.array(rows), rowvar=False))
    kept = vectors[:, ::-1][:, :_COMPONENTS]
    print(f"{_COMPONENTS} components leave {100 * values[:-_COMPONENTS].sum() / values.sum():.2f} % of the variance")
    return _rounded(kept.reshape(len(means[0]), 2, _COMPONENTS))


def grown_view(
    view: int,
    faces: list[LabelledFace],
    mirror: NDArray[np.integer],
    mean: NDArray[np.float32],
    basis: NDArray[np.float32],
    arguments: argparse.Namespace,
) -> dict[str, NDArray]:
    """All stages of a view; arrays as of `TreeCascade`, without the views."""
    files = [arguments.work / f"view{view}_stage{stage}.npz" for stage in range(arguments.stages)]
    if not all(file.is_file() for file in files):
        repeats = max(1, round(arguments.examples / len(faces)))
        examples = examples_of(
            faces, mirror, both_sides(view), repeats, np.random.default_rng([arguments.seed, view, 2])
        )
        left = ((examples.points - mean).reshape(len(examples.points), -1) @ basis.reshape(-1, basis.shape[2])).astype(
            np.float32
        )
        components, c = np.ascontiguousarray(basis.reshape(-1, basis.shape[2]).T), np.zeros_like(left)
        bar = progress_bar(files, desc=f"view {view}, {len(left)} crops", unit="stage")
        for stage, file in enumerate(bar):
            if file.is_file():
                done = kept_stage(file, *basis.shape[::2])
            else:
                done = grown_stage(
                    examples, mean, components, c, left - c, np.random.default_rng([arguments.seed, view, 3, stage])
                )
                with whole_file(file) as unfinished, unfinished.open("wb") as opened:
                    np.savez_compressed(opened, **done)
            # As the cascade itself takes it, from the shape before.
            c = staged(examples, mean, components, c, done)
            error = np.sqrt(((left - c) ** 2).sum(axis=1) / len(mean))
            bar.set_postfix_str(f"points off by {100 * np.median(error):.2f} % of the square")
    stages = [kept_stage(file, *basis.shape[::2]) for file in files]
    return {name: np.stack([stage[name] for stage in stages]) for name in stages[0]}


def kept_stage(path: Path, points: int, components: int) -> dict[str, Any]:
    """A stage from --work; arrays as of `TreeCascade`, without views and stages.

    Raises:
        Face3DMMError: the file is damaged, or of other points or components.
    """
    shapes = {
        "anchors": ("F",), "offsets": ("F", 2), "pixels": ("K", "J", 2), "thresholds": ("K", "J"),
        "leaves": ("K", "L", components), "steps": (components,),
    }  # fmt: skip
    stage = read_table(path, shapes, "a stage of trees")
    check_numbers(path, "anchors", stage["anchors"], points)
    check_numbers(path, "pixels", stage["pixels"], len(stage["anchors"]))
    if stage["leaves"].shape[1] != stage["thresholds"].shape[1] + 1:
        raise Face3DMMError(f"{path} is not a stage of trees: leaves has shape {stage['leaves'].shape}")
    return stage


def grown_stage(
    examples: Examples,
    mean: NDArray[np.float32],
    components: NDArray[np.float32],
    c: NDArray[np.float32],
    left: NDArray[np.float32],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """One stage from shapes c (N, C), of which `left` is wanted."""
    low, high = mean.min(axis=0) - _MARGIN, mean.max(axis=0) + _MARGIN
    places = rng.uniform(low, high, (_PIXELS, 2)).astype(np.float32)
    anchors = ((places[:, None] - mean) ** 2).sum(axis=2).argmin(axis=1).astype(np.int16)
    offsets = _rounded(places - mean[anchors])
    shades = read_shades(examples.crops, mean, components, c, anchors, offsets, np.float32(SQUARE_PX))
    nearness = np.exp(-np.linalg.norm(places[:, None] - places, axis=2) / _NEAR)
    np.fill_diagonal(nearness, 0.0)
    stage = grow(shades, np.ascontiguousarray(left), nearness, Growth(), rng)
    return {"anchors": anchors, "offsets": offsets, **vars(stage)}


def staged(
    examples: Examples,
    mean: NDArray[np.float32],
    components: NDArray[np.float32],
    c: NDArray[np.float32],
    stage: dict[str, Any],
) -> NDArray[np.float32]:
    """The shapes c (N, C) after a stage."""
    shades = read_shades(examples.crops, mean, components, c, stage["anchors"], stage["offsets"], np.float32(SQUARE_PX))
    return c + summed_leaves(shades, stage["pixels"], stage["thresholds"], stage["leaves"]) * stage["steps"]


def judged(cascade: TreeCascade, judges: list[LabelledFace], seed: int) -> TreeCascade:
    """A cascade that knows how sure its points are, and how shapes turn with yaw, by faces that were kept back."""
    finder, rng = TreeFinder(cascade), np.random.default_rng([seed, 4])
    spreads, turns = [], []
    for view in range(len(VIEWS)):
        squares, variances, coefficients, yaws = [], [], [], []
        for face in of_view(judges, view):
            image = read_picture(face.picture, upright=False)
            region = framed(face.square, rng)
            square = replace(region, size=region.size / CROP_IN_SQUARES)
            yaw = None if view == len(VIEWS) - 1 else float(np.copysign(VIEWS[view][0], face.yaw))
            # As in a stream, or for a single picture: the first look only frames the face.
            for _ in range(2):
                found = finder.find(image, square, yaw)
                square = found.square
            squares.append((np.square(found.points - face.points).sum(axis=1) / 2.0) / found.square.size**2)
            variances.append((found.spread / found.square.size) ** 2)
            coefficients.append(np.append(found.coefficients, 1.0))
            yaws.append(-face.yaw if yaw is not None and face.yaw < 0.0 else face.yaw)
        error, apart = np.array(squares), np.array(variances)
        explained = [
            nnls(np.column_stack([np.ones(len(apart)), variance]), off)[0]
            for variance, off in zip(apart.T, error.T, strict=True)
        ]
        spreads.append(np.maximum(np.array(explained).T, [[1e-6], [0.0]]))
        turns.append(np.linalg.lstsq(np.array(coefficients), np.array(yaws), rcond=None)[0])
        off = np.sqrt(2.0 * error).mean(axis=1)
        print(f"view {view}: {len(off)} faces kept back, points off by {100 * np.median(off):.2f} % of the square")
    return replace(cascade, spread=np.array(spreads, np.float32), turn=np.array(turns, np.float32))


def save(cascade: TreeCascade, path: Path) -> None:
    """Write a cascade's file."""
    halved = {"basis", "offsets", "mean", "spread", "turn"}
    arrays: dict[str, Any] = {k: v.astype(np.float16) if k in halved else v for k, v in vars(cascade).items()}
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main()
