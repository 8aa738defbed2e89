"""How the default model's vertices and triangles correspond to MakeHuman's base mesh, for whatever is made for that.

MakeHuman's skins are pictures in its texture coordinates, and its hair, brows and teeth hang on its vertices.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.morphable_model.model import MorphableModel


@dataclass(frozen=True, eq=False)
class MakeHumanLayout:
    """The correspondence of a model of N vertices and M triangles.

    Attributes:
        base_vertex: (N,) int32, the vertex of the base mesh that a vertex is, or comes nearest to; −1 on the eyeballs,
            which the model meshes anew.
        uv: (M, 3, 2) float32, texture coordinates of every triangle's corners: u right and v up, (0, 0) the picture's
            lower left corner; the face lies on its side. NaN on the eyeballs.
        base: (B, 3) float32, the base mesh's vertices, dm; x to the person's left, y up, z out of the face.
        model: digest of the triangles that it is for.
    """

    base_vertex: NDArray[np.int32]
    uv: NDArray[np.float32]
    base: NDArray[np.float32]
    model: str

    @staticmethod
    def of(model: MorphableModel) -> "MakeHumanLayout":
        """The layout of the default model, or of one with the same triangles.

        Raises:
            Face3DMMError: the model has other triangles, or the package's file is damaged.
        """
        with ArrayArchive(package_file("resource/makehuman_layout.npz"), "MakeHuman's layout") as file:
            layout = MakeHumanLayout(
                file.read("base_vertex").astype(np.int32),
                file.read("uv")[file.read("corners")].astype(np.float32),
                file.read("base").astype(np.float32),
                str(file.read("model")),
            )
        if layout.model != triangles_digest(model):
            raise Face3DMMError(
                f"the model {model.name!r} has other triangles than the default one: MakeHuman's skins, hair and teeth "
                "fit the default model alone"
            )
        return layout

    def save(self, path: Path) -> None:
        """Write a file; NaN are kept."""
        uv, corners = np.unique(self.uv.reshape(-1, 2), axis=0, return_inverse=True)
        np.savez_compressed(
            path,
            base_vertex=self.base_vertex,
            uv=uv,
            corners=corners.reshape(self.uv.shape[:2]).astype(np.int32),
            base=self.base,
            model=np.str_(self.model),
        )


def triangles_digest(model: MorphableModel) -> str:
    """SHA-256 of a model's triangles, 16 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(model.triangles, np.int32).tobytes()).hexdigest()[:16]
