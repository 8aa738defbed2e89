"""The OpenGL objects behind the character, and the calls that draw it.

As `gl_objects`, it may be imported only once a context is open.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.avatar.character.rig import CharacterRig
from face3dmm_ros.avatar.character.shaders import EYE, HULL, SURFACE
from face3dmm_ros.rendering.framebuffer import GrowingFramebuffer
from face3dmm_ros.rendering.gl_objects import ShaderProgram, VertexArray, prepare


class CharacterCanvas(GrowingFramebuffer):
    """A framebuffer, the character's shader programs and its mesh."""

    def __init__(self, rig: CharacterRig, constants: Mapping[str, object]) -> None:
        """Make the objects of a rig; `constants` are the uniforms that never change."""
        super().__init__()
        self._surface, self._eye, self._hull = (ShaderProgram(*shaders) for shaders in (SURFACE, EYE, HULL))
        for program in (self._surface, self._eye):
            program.use(**constants)
        self._mesh = VertexArray([(3, np.float32), (3, np.float32), (4, np.uint8)])
        moving = np.zeros((rig.model.vertex_count, 3), np.float32)
        still = (np.concatenate([moving, array]) for array in (rig.still_vertices, rig.still_normals))
        self._mesh.load(0, *still, rig.paint)
        outlined, plain, eyes = self._mesh.load_indices(rig.outlined, rig.inner, rig.eyes)
        self._ranges = {
            self._surface: (0, outlined[1] + plain[1]),
            self._eye: eyes,
            self._hull: outlined,
        }
        """Where what each program draws begins, and how many indices it has."""
        prepare(GL.GL_DEPTH_TEST, GL.GL_SCISSOR_TEST, GL.GL_CULL_FACE)

    def draw(
        self,
        size: tuple[int, int],
        vertices: NDArray[np.float32],
        normals: NDArray[np.float32],
        uniforms: Mapping[str, object],
    ) -> NDArray[np.uint8]:
        """Draw one character, (height, width, 4) uint8 BGRA, with y downward in clip space.

        Args:
            size: (width, height) of the picture, px.
            vertices, normals: (N, 3) each, of what moves.
            uniforms: model_to_clip and normal_to_world; gaze and glint of the eyes; the outline's outline_width.

        Raises:
            Face3DMMError: the picture is larger than OpenGL can draw here.
        """
        self.begin(*size)
        self._mesh.update(0, vertices, normals)
        for program, (first, count) in self._ranges.items():
            program.use(**uniforms)
            GL.glCullFace(GL.GL_FRONT if program is self._hull else GL.GL_BACK)
            self._mesh.draw(first, count)
        return self.read()
