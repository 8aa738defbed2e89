"""`face3dmm fit IMAGE …`: a 3D model of every face in a picture, or of one person from several."""

import argparse
from pathlib import Path

from face3dmm_ros.cli.fit_pictures import PHOTOMETRIC, fit_pictures
from face3dmm_ros.cli.options import (
    add_colors_option,
    add_fit_options,
    add_fov_option,
    add_json_option,
    add_max_faces_option,
    add_megapixels_option,
)
from face3dmm_ros.rendering.face_extent import EXTENTS
from face3dmm_ros.rendering.texture import DEFAULT_TEXTURE_SIZE

DESCRIPTION = (
    "Fit the morphable model to every face in a picture. Writes params.json (s, R, t, alpha, beta of each "
    "face), mesh.obj and mesh.ply with colours sampled from the picture, mesh.glb with the person's skin as texture "
    "(mesh_1.obj … for further faces), and overlay.png. Several pictures are fitted each on its own, into "
    "folders of their names below --out; with --same-person they share one identity, whose neutral face is "
    "written besides, as identity.obj, identity.ply and identity.glb, coloured from all of them. Exit code 2 "
    "where a picture has no face or cannot be read, or its overlay cannot be drawn; all else is written all the same."
)
EPILOG = """
examples:
  face3dmm fit portrait.jpg --out me                        a model of every face in a picture
  face3dmm fit a.jpg b.jpg c.jpg --same-person --out me     one identity from several pictures of a person
  face3dmm fit portrait.jpg --camera camera.yaml            under full perspective, by the camera's calibration
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    add = verb.add_argument
    add("images", type=Path, nargs="+", metavar="IMAGE", help="pictures: PNG, JPEG, WebP, TIFF, BMP …")
    add("--out", type=Path, default=Path("out"), metavar="DIR", help="folder to write to, made if missing")
    add("--same-person", action="store_true", help="the pictures show one person: fit one identity")
    add("--face", type=int, action="append", metavar="INDEX", help="with --same-person, which face of a picture with "
        "several is the person, as fit numbers them; once for all pictures, or once for each in their order; without "
        "it the largest")  # fmt: skip
    add_fit_options(verb, more_methods=(PHOTOMETRIC,))
    add_colors_option(verb)
    add_megapixels_option(verb)
    add_max_faces_option(verb, default=20)
    add_fov_option(verb)
    add("--camera", type=Path, metavar="FILE", help="the camera's calibration (ROS camera_info YAML) instead of --fov: "
        "meshes and their places in space are then fitted under full perspective; pictures may be resized, but not "
        "cropped; without it --fov holds")  # fmt: skip
    add("--rectified", action="store_true", help="the pictures are rectified: the P of --camera holds, not its K and D")
    add("--texture-size", type=int, default=DEFAULT_TEXTURE_SIZE, metavar="PX", help="of mesh.glb; 0: vertex colours "
        "instead")  # fmt: skip
    add_json_option(verb, "what was found, as params.json and identity.json have it,")
    add("--opacity", type=float, default=0.7, help="of the faces in overlay.png, 0 to 1")
    add("--extent", choices=EXTENTS, default=EXTENTS[0], help="how much of the head overlay.png covers")


run = fit_pictures
