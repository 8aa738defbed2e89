"""A folder of OBJ files: one neutral mesh, and one for each blendshape, called as ARKit calls them.

So modelling programs export a head; each file is the whole mesh with one blendshape at weight 1. Spellings such
as ``browDown_L`` and ``EyeBlinkRight`` are understood. Vertex colours (``v x y z r g b``) of the neutral mesh are sRGB.
"""

from pathlib import Path

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.shape_names import in_arkits_names
from face3dmm_ros.morphable_model.formats.blendshape_files import neutral_files, shape_files
from face3dmm_ros.morphable_model.formats.blendshape_head import blendshape_head
from face3dmm_ros.morphable_model.formats.contents import contents
from face3dmm_ros.morphable_model.formats.obj_deltas import columns, read_neutral
from face3dmm_ros.morphable_model.formats.source_head import in_our_convention
from face3dmm_ros.morphable_model.model import MorphableModel


def load(path: Path) -> MorphableModel:
    """Read a folder.

    The axes and the unit, m, dm, cm or mm, are told from the eyes where both blink; else y is up, the face looks along
    +z, and the mesh's size tells the unit.

    Raises:
        Face3DMMError: a mesh is damaged, too large, or has another number of vertices, there is not one neutral mesh
            alone, or its size is no head's.
    """
    files = contents(path).names
    neutrals, shapes = neutral_files(files), shape_files(files)
    if len(neutrals) != 1:
        raise Face3DMMError(
            f"{path}: expected one neutral mesh, such as neutral.obj; found {', '.join(neutrals) or 'none'}"
        )
    paths = [path / file for file in shapes.values()]
    mesh = read_neutral(path / neutrals[0], paths)
    groups = in_arkits_names(tuple(shapes))
    deltas = columns(mesh.vertices, [[paths[index] for index in each] for each in groups.values()])
    colors = mesh.colors
    if colors is not None and colors.max() > 1.0:
        colors = colors / 255.0  # as some programs write them
    albedo = None if colors is None else np.clip(colors, 0.0, 1.0)
    return in_our_convention(
        blendshape_head(path.resolve().name, mesh.vertices, mesh.triangles, deltas, tuple(groups), albedo)
    )
