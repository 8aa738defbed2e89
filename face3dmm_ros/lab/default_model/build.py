"""Build resource/default_model.npz from MakeHuman's CC0 data: the same file, bit for bit, from every run."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from face3dmm_ros.core.library_threads import limit_threads
from face3dmm_ros.lab.default_model.albedo import COMPONENTS, build_albedo
from face3dmm_ros.lab.default_model.anatomy import find_anatomy
from face3dmm_ros.lab.default_model.contours import outline_contours
from face3dmm_ros.lab.default_model.expression import NAMES, blendshapes
from face3dmm_ros.lab.default_model.expression_prior import read_prior
from face3dmm_ros.lab.default_model.face_mesh_points import locate_face_mesh_points, locate_iris_points
from face3dmm_ros.lab.default_model.head import Head, build_head
from face3dmm_ros.lab.default_model.ibug_points import locate_ibug_points
from face3dmm_ros.lab.default_model.identity import IdentityBasis, principal_components
from face3dmm_ros.lab.default_model.makehuman import MakeHuman
from face3dmm_ros.lab.default_model.mended_mean import RECENTRED, mend
from face3dmm_ros.lab.default_model.people_mean import PeopleMean
from face3dmm_ros.lab.default_model.population import sample_population
from face3dmm_ros.morphable_model import MorphableModel, load_model, save_npz

SEED = 20240229
"""Any number; another draws other people and views, and so makes another model."""
PEOPLE, COMPONENT_COUNT, VIEWS = 4000, 100, 400
"""People drawn, principal components kept (the build prints the share of variance that they hold), and renderings on
which Face Mesh's points are located. Chosen by hand: more of each cost time or size of the file."""


def mended_identity(makehuman: MakeHuman, head: Head) -> IdentityBasis:
    """The population's principal components about the mended mean."""
    identity = principal_components(sample_population(makehuman, head, PEOPLE, SEED), COMPONENT_COUNT)
    print(f"{COMPONENT_COUNT} components keep {100 * identity.variance_kept:.2f} % of {PEOPLE} faces' variance")
    return replace(identity, mean=mend(identity.mean.astype(np.float64), head).astype(np.float32))


def build(makehuman: MakeHuman) -> MorphableModel:
    """The default model: head, population, PCA, blendshapes, albedo, landmarks and contours, made in that order."""
    head = build_head(makehuman)
    anatomy = find_anatomy(makehuman.base, head)
    identity = mended_identity(makehuman, head)
    print(f"{len(identity.mean)} vertices, {len(head.triangles)} triangles")
    mean = identity.mean.astype(np.float64)
    # Colours are painted by place, and the places are those of the face before it moved.
    albedo_mean, albedo_basis, regions = build_albedo(makehuman, head, anatomy, mean - RECENTRED)
    sigma, correlation = read_prior()
    model = MorphableModel(
        name="default",
        mean=identity.mean,
        triangles=head.triangles,
        shape_basis=identity.basis,
        shape_sigma=identity.sigma,
        expression_basis=blendshapes(makehuman, head, anatomy, mean).astype(np.float32),
        expression_sigma=sigma,
        expression_names=NAMES,
        expression_bounds=np.array([[0.0] * len(NAMES), [1.0] * len(NAMES)], np.float32),
        albedo_mean=albedo_mean.astype(np.float32),
        albedo_basis=albedo_basis.astype(np.float32),
        albedo_sigma=np.ones(len(COMPONENTS), np.float32),
        landmarks={},
        regions={name: mask.astype(np.float32) for name, mask in regions.items()},
        expression_correlation=correlation,
    )
    skin = locate_face_mesh_points(model, anatomy, VIEWS, SEED)
    mean = PeopleMean.read().moved(mean, head, skin)
    basis = blendshapes(makehuman, head, anatomy, mean)
    model = replace(model, mean=mean.astype(np.float32), expression_basis=basis.astype(np.float32))
    landmarks = {
        "ibug68": locate_ibug_points(model, anatomy, skin),
        "mediapipe478": skin.followed_by(locate_iris_points(head)),
    }
    return replace(model, landmarks=landmarks, contours=outline_contours(model, landmarks))


def main() -> None:
    """Build, write beside the old file, replace it in one step, and print the digest."""
    parser = argparse.ArgumentParser(description=__doc__)
    MakeHuman.add_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("resource/default_model.npz"))
    arguments = parser.parse_args()
    # Sums in several threads depend on their number: one thread gives every machine the same order of additions.
    limit_threads()
    started = time.monotonic()
    model = build(MakeHuman.of(arguments))
    unfinished = arguments.out.with_name(f".{arguments.out.name}")
    save_npz(model, unfinished)
    unfinished.replace(arguments.out)
    print(
        f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB, digest {load_model(str(arguments.out)).digest}"
    )
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
