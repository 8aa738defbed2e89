"""The OpenGL objects behind the character, and the calls that draw it.

As `gl_canvas`, this module imports PyOpenGL, so it may be imported only after `offscreen.open_context` has chosen the
platform; and all of it runs with that context current.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.avatar.character.shaders import EYE, HULL, SURFACE
from face3dmm_ros.rendering.framebuffer import GrowingFramebuffer
from face3dmm_ros.rendering.gl_canvas import ShaderProgram

_POSITION, _NORMAL, _PAINT = 0, 1, 2  # the vertex shaders' locations


class CharacterCanvas:
    """A framebuffer, the character's shader programs and its mesh."""

    def __init__(
        self,
        still_vertices: NDArray[np.float32],
        still_normals: NDArray[np.float32],
        paint: NDArray[np.uint8],
        triangles: Sequence[NDArray[np.integer]],
        constants: Mapping[str, object],
    ) -> None:
        """Make the objects for N vertices that move and, after them, n that lie still in the head's frame.

        Args:
            still_vertices, still_normals: (n, 3) each.
            paint: (N + n, 4) sRGB and gloss.
            triangles: three times (M, 3): of what has an outline, of what has none, and of the eyes.
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
        moving = 12 * (len(paint) - len(still_vertices))  # bytes
        for location, still in ((_POSITION, still_vertices), (_NORMAL, still_normals)):
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._buffers[location])
            GL.glBufferData(GL.GL_ARRAY_BUFFER, 12 * len(paint), None, GL.GL_DYNAMIC_DRAW)
            GL.glBufferSubData(GL.GL_ARRAY_BUFFER, moving, still.nbytes, np.ascontiguousarray(still, np.float32))
            GL.glVertexAttribPointer(location, 3, GL.GL_FLOAT, False, 0, None)
            GL.glEnableVertexAttribArray(location)
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._buffers[_PAINT])
        GL.glBufferData(GL.GL_ARRAY_BUFFER, paint.nbytes, np.ascontiguousarray(paint), GL.GL_STATIC_DRAW)
        GL.glVertexAttribPointer(_PAINT, 4, GL.GL_UNSIGNED_BYTE, True, 0, None)
        GL.glEnableVertexAttribArray(_PAINT)
        indices = np.concatenate([block.ravel() for block in triangles]).astype(np.uint32)
        outlined, plain, eyes = (block.size for block in triangles)
        # First index and count of what each program draws.
        self._ranges = {
            self._surface: (0, outlined + plain),
            self._eye: (outlined + plain, eyes),
            self._hull: (0, outlined),
        }
        GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, GL.glGenBuffers(1))
        GL.glBufferData(GL.GL_ELEMENT_ARRAY_BUFFER, indices.nbytes, indices, GL.GL_STATIC_DRAW)

        GL.glEnable(GL.GL_DEPTH_TEST)
        GL.glEnable(GL.GL_SCISSOR_TEST)
        GL.glFrontFace(GL.GL_CW)  # counter-clockwise triangles, drawn upside down
        GL.glEnable(GL.GL_CULL_FACE)
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
            vertices, normals: (N, 3) each, of what moves.
            uniforms: model_to_clip and normal_to_world, and gaze and glint of the eyes.
            outline_width: (3,) along x, y and z in clip space.

        Raises:
            Face3DMMError: the picture is larger than OpenGL can draw here.
        """
        self._framebuffer.begin(*size)
        for location, array in ((_POSITION, vertices), (_NORMAL, normals)):
            array = np.ascontiguousarray(array, np.float32)
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._buffers[location])
            GL.glBufferSubData(GL.GL_ARRAY_BUFFER, 0, array.nbytes, array)
        for program, (first, count) in self._ranges.items():
            program.use()
            for name, value in uniforms.items():
                program.set(name, value)
            if program is self._hull:
                program.set("outline_width", outline_width)
            GL.glCullFace(GL.GL_FRONT if program is self._hull else GL.GL_BACK)
            GL.glDrawElements(GL.GL_TRIANGLES, count, GL.GL_UNSIGNED_INT, GL.GLvoidp(4 * first))
        return self._framebuffer.read()
