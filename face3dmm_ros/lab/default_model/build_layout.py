"""Build resource/makehuman_layout.npz: which vertex of MakeHuman's base mesh each of the default model's is, and where
its triangles lie in MakeHuman's skins."""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.default_model.head import Head, build_head
from face3dmm_ros.lab.default_model.makehuman import MakeHuman
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.morphable_model.makehuman_layout import MakeHumanLayout, triangles_digest

_PARTS = ("skin", "upper_teeth", "lower_teeth", "tongue")
_MOST_MIXED = 2
"""Vertices of the base mesh between which one of the neck's rim lies."""


def build_layout(makehuman: MakeHuman, model: MorphableModel) -> MakeHumanLayout:
    """The layout of the model that is built from the same base mesh."""
    head = build_head(makehuman)
    assert np.array_equal(head.triangles, model.triangles), "the model is of another build"
    base_vertex = np.where(head.is_part(*_PARTS), np.asarray(head.from_base.argmax(axis=1)).ravel(), -1)
    uv, base = _corner_uv(makehuman, head), makehuman.base.vertices.astype(np.float32)
    return MakeHumanLayout(base_vertex.astype(np.int32), uv, base, triangles_digest(model))


def _corner_uv(makehuman: MakeHuman, head: Head) -> NDArray[np.float32]:
    """Texture coordinates of the corners of the head's triangles, (M, 3, 2); NaN where a part has none."""
    base = makehuman.base
    quads_at: dict[int, set[int]] = {}
    for index, quad in enumerate(base.quads):
        for vertex in quad:
            quads_at.setdefault(int(vertex), set()).add(index)
    rows = head.from_base.tocsr()
    sources: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    for start, end in pairwise(rows.indptr):
        vertices, weights = rows.indices[start:end], rows.data[start:end]
        if len(vertices) != _MOST_MIXED:  # a copy, or scaled about the middle of many
            vertices, weights = vertices[[weights.argmax()]], np.ones(1)
        sources.append((vertices, weights))
    uv = np.full((*head.triangles.shape, 2), np.nan, np.float32)
    for index in np.flatnonzero(head.is_part(*_PARTS)[head.triangles[:, 0]]):
        corners = [sources[vertex] for vertex in head.triangles[index]]
        (quad,) = set.intersection(*(quads_at[int(vertex)] for vertices, _ in corners for vertex in vertices))
        place = dict(zip(base.quads[quad].tolist(), base.quad_uv[quad], strict=True))
        uv[index] = [sum(w * place[int(v)] for v, w in zip(*corner, strict=True)) for corner in corners]
    return uv


def main() -> None:
    """Build, and write in place of the old file."""
    parser = argparse.ArgumentParser(description=__doc__)
    MakeHuman.add_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("resource/makehuman_layout.npz"))
    arguments = parser.parse_args()
    build_layout(MakeHuman.of(arguments), load_model("default")).save(arguments.out)


if __name__ == "__main__":
    main()
