"""`face3dmm fit IMAGE …`: a 3D model of every face in a picture, or of one person from several."""

import argparse
from pathlib import Path

from face3dmm_ros.cli.regressor_options import METHODS, add_regressor_options

DEFAULT_MAX_FACES = 20


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Describe the verb."""
    verb = verbs.add_parser(
        "fit",
        help="make 3D models of the faces in pictures",
        description=(
            "Fit the morphable model to every face in a picture. Writes params.json (s, R, t, alpha, beta of each "
            "face), mesh.obj and mesh.ply with colours sampled from the picture, mesh.glb with the picture as texture "
            "(mesh_1.obj … for further faces), and overlay.png. Several pictures are fitted each on its own, into "
            "folders of their names below --out; with --same-person they share one identity, whose neutral face is "
            "written besides, as identity.obj, identity.ply and identity.glb, coloured from all of them. Exit code 2 "
            "where a picture has no face or cannot be read; the others are written all the same."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    verb.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="pictures that OpenCV reads: PNG, JPEG, WebP, TIFF, BMP …"
    )
    verb.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help="folder to write to, made if missing"
    )
    verb.add_argument("--same-person", action="store_true", help="the pictures show one person: fit one identity")
    verb.add_argument(
        "--face",
        type=int,
        action="append",
        metavar="INDEX",
        help="with --same-person, which face of a picture with several is the person, as fit numbers them; once for "
        "all pictures, or once for each in their order; without it the largest",
    )
    verb.add_argument("--model", default="default", help="'default', a model .npz, or a BFM .mat")
    verb.add_argument("--backend", default="dense", help="landmark detector: dense, facemesh or dlib")
    verb.add_argument("--fit-method", default="joint", help=f"photometric (needs torch), {METHODS}")
    add_regressor_options(verb)
    verb.add_argument(
        "--estimate-colors",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="tell the person's colours, gamma, for the overlay and what the picture hides; photometric has its own",
    )
    verb.add_argument("--max-faces", type=int, default=DEFAULT_MAX_FACES, metavar="N", help="fit at most N faces")
    verb.add_argument("--fov", type=float, default=60.0, metavar="DEG", help="horizontal field of view of the camera")
    verb.add_argument(
        "--camera",
        type=Path,
        metavar="FILE",
        help="the camera's calibration (ROS camera_info YAML) instead of --fov: meshes and their places in space are "
        "then fitted under full perspective",
    )
    verb.add_argument(
        "--texture-size", type=int, default=1024, metavar="PX", help="of mesh.glb; 0: vertex colours instead"
    )
    verb.add_argument("--opacity", type=float, default=0.7, help="of the faces in overlay.png, 0 to 1")
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Fit and write; returns 0, or 2 where some of several pictures had no face.

    Raises:
        Face3DMMError: no readable picture, no face, or options that cannot be.
    """
    from face3dmm_ros.cli.fit_pictures import fit_pictures

    return fit_pictures(arguments)
