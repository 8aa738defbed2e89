"""Where eyelids and lips run on the head: edge loops of the base mesh, named once by a vertex and its neighbour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.default_model.head import Head
from face3dmm_ros.lab.default_model.makehuman import BaseMesh

# Loops start at the middle of the upper lip or upper eyelid; (start, next) are vertices of MakeHuman's base mesh,
# picked by hand.
_LIP_LOOPS = ((455, 7214), (466, 7222), (467, 7223), (509, 7257), (468, 7224), (474, 7229))
_LEFT_EYELID_LOOPS = {"rim": (6785, 6784), "lash_line": (11465, 11466), "socket": (7748, 7747)}


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Loops of head vertices.

    Attributes:
        lips: from the vermilion border, the first, to where the lips meet, the last; each from the middle of the upper
            lip over the person's left corner, the lower lip and the right corner.
        left_eyelids, right_eyelids: ``rim`` (edge of the opening), ``lash_line`` and ``socket``, each from the middle
            of the upper lid; the left over its outer corner, the right mirrored.
    """

    lips: tuple[NDArray[np.int64], ...]
    left_eyelids: dict[str, NDArray[np.int64]]
    right_eyelids: dict[str, NDArray[np.int64]]


def find_anatomy(base: BaseMesh, head: Head) -> Anatomy:
    """Trace the loops on the base mesh and carry them to the head."""
    quads = base.quads[base.group_of_quad == "body"]
    on_head = head.of_base_vertex
    lips = tuple(on_head[_edge_loop(quads, *seed)] for seed in _LIP_LOOPS)
    left = {name: on_head[_edge_loop(quads, *seed)] for name, seed in _LEFT_EYELID_LOOPS.items()}
    right = {name: head.mirror[loop] for name, loop in left.items()}
    return Anatomy(lips, left, right)


def _edge_loop(quads: NDArray[np.int64], start: int, second: int) -> NDArray[np.int64]:
    """The closed loop of edges from one vertex to a second and straight on at every vertex, where four quads meet."""
    loop = [start, second]
    while len(loop) < 200:
        before, here = loop[-2:]
        around = quads[(quads == here).any(axis=1)]
        beside = np.unique(around[(around == before).any(axis=1)])
        column, row = np.nonzero(around == here)
        neighbours = np.unique(np.concatenate([around[column, (row + 1) % 4], around[column, row - 1]]))
        onward = np.setdiff1d(neighbours, beside)
        assert (len(neighbours), len(onward)) == (4, 1), f"the edge loop from {start} ends at vertex {here}"
        if onward[0] == start:
            return np.array(loop)
        loop.append(int(onward[0]))
    raise AssertionError(f"the edge loop from {start} does not close")
