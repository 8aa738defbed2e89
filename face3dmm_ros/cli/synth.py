"""`face3dmm synth`: sequences and data sets of rendered faces, with exact truth."""

import argparse
import re
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from face3dmm_ros.bags.messages import TRUTH
from face3dmm_ros.bags.writer import BagWriter, remove_bag
from face3dmm_ros.cli.options import (
    add_fov_option,
    add_model_option,
    add_pool_options,
    check_apart,
    everywhere,
    pool_of,
    tell_failures,
)
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.core.work_items import Pool, outcomes
from face3dmm_ros.files.whole_file import check_writable
from face3dmm_ros.lab.synthesis.backgrounds import find_pictures
from face3dmm_ros.lab.synthesis.dataset import missing_parts, open_renderer, write_part
from face3dmm_ros.lab.synthesis.motion import MOTIONS, sequence
from face3dmm_ros.lab.synthesis.people_folder import PeopleFolder
from face3dmm_ros.lab.synthesis.profile_dataset import fit_photographs, write_profiles
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.morphable_model import MorphableModel, load_model

# px: a usual webcam's, and that of AFLW2000-3D.
_SEQUENCE_SIZE, _DATASET_SIZE = (640, 480), (450, 450)
EPILOG = """
A bag holds one person moving: images on /camera/image_raw, camera_info, and on /truth/params the s, R, t, alpha, beta
and gamma of every frame. A data set holds as many people as pictures, each as NAME.jpg and NAME.mat in the layout of
AFLW2000-3D (pt3d_68, Pose_Para, roi), with scale, rotation, translation, alpha, beta, gamma and the visibility of the
landmarks beside. With --photographs it holds a folder's photographs of people, each fitted as `face3dmm fit` does,
meshed in depth and turned to the side; the fit under the turned camera is the truth. The same seed makes the same
pictures; the same command continues a data set that was stopped.

examples:
  face3dmm synth --out talk --motion talk --duration 10 --seed 1        ten seconds of somebody talking, talk/bag
  face3dmm synth --out rest --motion still --noise 3                    for measuring jitter: only sensor noise moves
  face3dmm synth --out nods --motion nod --projection perspective       in perspective, with a calibrated camera_info
  face3dmm synth --out faces --format dataset --count 1000 --max-yaw 90
  face3dmm synth --out faces --format dataset --count 1000 --backgrounds ~/Pictures
  face3dmm synth --out faces --format dataset --count 1000 --assets makehuman     skins, hair and eyes of MakeHuman
  face3dmm synth --out faces --format dataset --count 1000 --people london:odd    skins mixed from those of people
  face3dmm synth --out /share/faces --format dataset --count 1000000 --dask tcp://10.0.0.5:8786
  face3dmm synth --out turned --format dataset --count 1000 --photographs ~/Portraits
"""

DESCRIPTION = (
    "Render random people with the face model, or turn photographs to the side, and write with every picture what is "
    "true in it."
)


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    add = verb.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to, made if missing")
    add("--format", choices=("bag", "dataset"), default="bag", help="a rosbag2 with one sequence, or a folder of "
        "pictures")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="the same seed makes the same pictures")
    add("--size", type=_size, metavar="WxH", help="of the pictures, px; without it 640x480 in bags, 450x450 "
        "in data sets")  # fmt: skip
    add_model_option(verb)
    add("--backgrounds", type=Path, metavar="DIR", help="pictures to stand behind the faces; without it procedural "
        "textures and, where scikit-image is installed, its free photographs")  # fmt: skip
    add("--people", nargs="+", default=[], metavar="DIR", help="portraits with 189 points set by hand (NAME.jpg, "
        "NAME.json): skins mixed from theirs, which nobody has; DIR:odd, DIR:even: of such numbers; "
        "without it none")  # fmt: skip
    add("--assets", type=Path, metavar="DIR", help="MakeHuman's skins, hair, eyebrows, eyelashes, teeth, eyes and "
        "beards, as its repositories lay them out, and panoramas (hdri/*.exr, *.hdr) for light; without it all is "
        "drawn from colours and noise")  # fmt: skip
    add("--projection", choices=("weak", "perspective"), default="weak",
        help="of the camera: weak perspective, in which the truth is exact, or perspective, whose weak "
        "perspective is that of the model's origin")  # fmt: skip
    add_fov_option(verb)
    add("--clean", action="store_true", help="no blur, noise, compression or colour cast")
    sequences = verb.add_argument_group("bags")
    sequences.add_argument("--motion", choices=MOTIONS, default="free", help="what the face does")
    sequences.add_argument("--duration", type=float, default=10.0, metavar="SECONDS", help="of the sequence")
    sequences.add_argument("--fps", type=float, default=30.0, help="images per second")
    sequences.add_argument("--noise", type=float, metavar="SIGMA", help="of the sensor, fresh in each image, of 255; "
        "without it 2, or 0 with --clean")  # fmt: skip
    sequences.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="of the bag")
    sequences.add_argument("--record-images", choices=("raw", "jpeg"), default="raw", help="how images go into the "
        "bag; as jpeg they are no longer exact")  # fmt: skip
    sets = verb.add_argument_group("data sets")
    sets.add_argument("--count", type=int, default=1000, metavar="N", help="how many pictures")
    sets.add_argument("--max-yaw", type=float, default=90.0, metavar="DEG", help="yaw is uniform to both sides up to "
        "it")  # fmt: skip
    sets.add_argument("--photographs", type=PeopleFolder.parse, nargs="+", metavar="DIR", help="turn the people in "
        "these photographs instead of rendering random ones, as without it; photographs without a face, or with one "
        "that is turned far or fits badly, are left out; DIR:odd and DIR:even take such numbers alone")  # fmt: skip
    add_pool_options(sets, "parts of 20 pictures")
    sets.add_argument("--suffix", choices=("jpg", "png"), default="jpg", help="of the pictures")


def run(arguments: argparse.Namespace) -> int:
    """Render and write; returns 0, or 2 if some pictures of a data set could not be written.

    Raises:
        Face3DMMError: an option is out of range, there is no OpenGL, or the folder cannot be written to.
    """
    pool = pool_of(arguments)
    _check(arguments)
    check_writable(arguments.out)
    as_bag = arguments.format == "bag"
    options = SceneOptions(
        image_size=arguments.size or (_SEQUENCE_SIZE if as_bag else _DATASET_SIZE),
        max_yaw=min(arguments.max_yaw, 45.0) if as_bag else arguments.max_yaw,
        face_share=(0.25, 0.6) if as_bag else (0.34, 0.46),
        pictures=tuple(path.absolute() for path in find_pictures(arguments.backgrounds)),
        clean=arguments.clean,
        occluder=0.0 if as_bag else 0.1,
        field_of_view=arguments.fov if arguments.projection == "perspective" else None,
        assets=arguments.assets and arguments.assets.absolute(),
        people=tuple(str(Path(folder).absolute()) for folder in arguments.people),
    )
    model = load_model(arguments.model)
    if arguments.photographs is not None:
        _write_profiles(arguments, model, options)
        return 0
    options.open(model)  # what is missing shows before anything is written
    if not as_bag:
        return _write_dataset(arguments, model, options, pool)
    with SceneRenderer(model) as renderer:
        _write_bag(arguments, model, renderer, options)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Check the numbers before anything large is loaded.

    Raises:
        Face3DMMError: one is out of range.
    """
    # Wide bounds, chosen by hand: beyond them an option is a slip of the pen, or no number generator takes it.
    for what, value, low, high in (
        ("the seed", arguments.seed, 0, 2**63),
        ("the duration", arguments.duration, 1e-3, 3600.0),
        ("the images per second", arguments.fps, 0.1, 1000.0),
        ("the noise", arguments.noise, 0.0, 255.0),
        ("the count", arguments.count, 1, 10_000_000),
    ):
        if value is not None and not low <= value <= high:
            raise Face3DMMError(f"{what} must lie between {low} and {high}, not {value}")
    several = arguments.jobs is not None or arguments.dask is not None
    if several and (arguments.format != "dataset" or arguments.photographs is not None):
        raise Face3DMMError(
            "--jobs and --dask are for data sets of rendered faces: give --format dataset, and no --photographs"
        )
    if arguments.photographs is not None:
        if arguments.format != "dataset":
            raise Face3DMMError("--photographs makes a data set: give --format dataset too")
        if arguments.projection != "weak" or arguments.backgrounds is not None:
            raise Face3DMMError("--photographs keeps the photographs' background and turns in weak perspective: leave "
                "out --backgrounds and --projection")  # fmt: skip
        for folder in arguments.photographs:
            check_apart(folder.root, arguments.out)


def _write_bag(
    arguments: argparse.Namespace, model: MorphableModel, renderer: SceneRenderer, options: SceneOptions
) -> None:
    """Write one sequence as DIR/bag, which replaces an earlier one."""
    noise = arguments.noise if arguments.noise is not None else (0.0 if arguments.clean else 2.0)
    frames = max(round(arguments.duration * arguments.fps), 1)
    bag = arguments.out / "bag"
    remove_bag(bag)
    scenes = sequence(
        np.random.default_rng(arguments.seed), model, arguments.motion, frames, arguments.fps, options, noise=noise
    )
    with BagWriter(bag, arguments.storage) as writer:
        for index, scene in enumerate(tqdm(scenes, total=frames, unit="image", disable=None)):
            # From one second on: a stamp of zero means "unknown" to some.
            stamp = 1_000_000_000 + round(index * 1e9 / arguments.fps)
            image = renderer.render(scene).image
            writer.write_image(image, stamp, compressed=arguments.record_images == "jpeg")
            writer.write_camera_info(scene.intrinsics, scene.image_size, stamp)
            face = FaceParameters(
                scene.camera, scene.alpha, scene.beta, model.name, model.digest, "truth", 0.0, 1.0, scene.image_size,
                scene.gamma, model.gaze(scene.camera.rotation, scene.beta),
            )  # fmt: skip
            writer.write_parameters([face], stamp, TRUTH, expression_names=model.expression_names)
    print(f"written: {bag} ({frames} images)")


def _write_dataset(arguments: argparse.Namespace, model: MorphableModel, options: SceneOptions, pool: Pool) -> int:
    """Have a data set written by a pool's workers; 2 if some pictures could not be."""
    parts = missing_parts(arguments.out.absolute(), model, options, arguments.count, arguments.seed, arguments.suffix)
    missing = sum(len(part.missing) for part in parts)
    share = partial(open_renderer, everywhere(arguments.model))
    failures: list[tuple[object, Exception]] = []
    with closing(outcomes(write_part, parts, pool, share)) as found, progress_bar(total=missing, unit="picture") as bar:
        for part, outcome in found:
            if isinstance(outcome, Exception):
                failures.append((f"{part.path(part.missing[0]).name} and on", outcome))
            bar.update(len(part.missing))
    if failures and len(failures) == len(parts):
        raise failures[0][1]
    there = sum(part.path(index).with_suffix(".mat").exists() for part in parts for index in part.missing)
    _tell(arguments, there, arguments.count - missing)
    return tell_failures("synth", failures)


def _write_profiles(arguments: argparse.Namespace, model: MorphableModel, options: SceneOptions) -> None:
    def leave_out(path: Path, reason: Face3DMMError) -> None:
        tqdm.write(f"face3dmm synth: {path} is left out: {one_line(reason)}", file=sys.stderr)

    paths = [path for folder in arguments.photographs for path in folder.pictures()]
    photographs = fit_photographs(paths, model, leave_out)
    written = write_profiles(
        arguments.out, photographs, model, options, arguments.count, arguments.seed, arguments.suffix
    )
    _tell(arguments, written, arguments.count - written)


def _tell(arguments: argparse.Namespace, written: int, there: int) -> None:
    print(f"written: {written} pictures to {arguments.out}/" + (f"; {there} were there already" if there else ""))


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (re.fullmatch("[0-9]{1,6}", width) and re.fullmatch("[0-9]{1,6}", height)):
        raise argparse.ArgumentTypeError(f"{text} is not a size such as 640x480")
    return int(width), int(height)
