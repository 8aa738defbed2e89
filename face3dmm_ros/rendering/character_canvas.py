"""The OpenGL objects behind the character, and the calls that draw it.

As `gl_canvas`, this module imports PyOpenGL, so it may be imported only after `offscreen.open_context` has chosen the
platform; and all of it runs with that context current.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.rendering.character_shaders import EYE, HULL, SURFACE
from face3dmm_ros.rendering.framebuffer import GrowingFramebuffer
from face3dmm_ros.rendering.gl_canvas import ShaderProgram

_POSITION, _NORMAL, _PAINT = 0, 1, 2  # the vertex shaders' locations


class CharacterCanvas:
    """A framebuffer, the character's shader programs and its mesh."""

    def __init__(
        self,
        surface: NDArray[np.integer],
        eyes: NDArray[np.integer],
        paint: NDArray[np.uint8],
        constants: Mapping[str, object],
    ) -> None:
        """Make the objects.

        Args:
            surface: (M, 3) triangles of all but the eyes.
            eyes: (m, 3) triangles of the eyes.
            paint: (N, 4) sRGB and gloss of each vertex.
            constants: uniforms that never change.
        """
        self._framebuffer = GrowingFramebuffer()
        self._surface, self._eye, self._hull = (ShaderProgram(*shaders) for shaders in (SURFACE, EYE, HULL))
        for program in (self._surface, self._eye):
            program.use()
            for name, value in constants.items():
                program.set(name, value)
        GL.glBindVertexArray(GL.glGenVertexArrays(1))
        self._buffers = GL.glGenBuffers(3)
        for location, size, kind in (
            (_POSITION, 3, GL.GL_FLOAT),
            (_NORMAL, 3, GL.GL_FLOAT),
            (_PAINT, 4, GL.GL_UNSIGNED_BYTE),
        ):
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._buffers[location])
            GL.glVertexAttribPointer(location, size, kind, kind == GL.GL_UNSIGNED_BYTE, 0, None)
            GL.glEnableVertexAttribArray(location)
        paint = np.ascontiguousarray(paint)
        GL.glBufferData(GL.GL_ARRAY_BUFFER, paint.nbytes, paint, GL.GL_STATIC_DRAW)
        indices = np.concatenate([surface.ravel(), eyes.ravel()]).astype(np.uint32)
        self._surface_indices, self._eye_indices = surface.size, eyes.size
        GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, GL.glGenBuffers(1))
        GL.glBufferData(GL.GL_ELEMENT_ARRAY_BUFFER, indices.nbytes, indices, GL.GL_STATIC_DRAW)

        GL.glEnable(GL.GL_DEPTH_TEST)
        GL.glEnable(GL.GL_SCISSOR_TEST)
        GL.glFrontFace(GL.GL_CW)  # counter-clockwise triangles, drawn upside down
        GL.glCullFace(GL.GL_FRONT)
        GL.glClearColor(0.0, 0.0, 0.0, 0.0)
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)

    def draw(
        self,
        size: tuple[int, int],
        vertices: NDArray[np.float32],
        normals: NDArray[np.float32],
        uniforms: Mapping[str, object],
        outline_width: NDArray[np.float64],
    ) -> NDArray[np.uint8]:
        """One character, (height, width, 4) uint8 BGRA, drawn with y downward in clip space.

        Args:
            size: (width, height) of the picture, px.
            vertices, normals: (N, 3) each.
            uniforms: model_to_clip and normal_to_world, and gaze and glint of the eyes.
            outline_width: (3,) along x, y and z in clip space.

        Raises:
            Face3DMMError: the picture is larger than OpenGL can draw here.
        """
        self._framebuffer.begin(*size)
        for buffer, array in ((self._buffers[_POSITION], vertices), (self._buffers[_NORMAL], normals)):
            array = np.ascontiguousarray(array, np.float32)
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, buffer)
            GL.glBufferData(GL.GL_ARRAY_BUFFER, array.nbytes, array, GL.GL_STREAM_DRAW)
        for program in (self._surface, self._eye, self._hull):
            program.use()
            for name, value in uniforms.items():
                program.set(name, value)
            if program is self._eye:
                offset = GL.GLvoidp(4 * self._surface_indices)
                GL.glDrawElements(GL.GL_TRIANGLES, self._eye_indices, GL.GL_UNSIGNED_INT, offset)
                continue
            if program is self._hull:
                program.set("outline_width", outline_width)
                GL.glEnable(GL.GL_CULL_FACE)
            GL.glDrawElements(GL.GL_TRIANGLES, self._surface_indices, GL.GL_UNSIGNED_INT, None)
        GL.glDisable(GL.GL_CULL_FACE)
        return self._framebuffer.read()
