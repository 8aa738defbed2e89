"""The OpenGL objects behind the watermelon, and the calls that draw with them.

As `gl_canvas`, this module imports PyOpenGL, so it may be imported only after `offscreen.open_context` has chosen the
platform; and all of it runs with that context current.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.avatar.watermelon.cutout_vertices import CutoutVertices
from face3dmm_ros.avatar.watermelon.shaders import CUTOUT, RIND
from face3dmm_ros.rendering.framebuffer import GrowingFramebuffer
from face3dmm_ros.rendering.gl_canvas import ShaderProgram

_FLOAT_BYTES = 4
_RIND_HALVINGS = 2
"""Times that the rind's texture is halved: small melons flicker without, and with more the bark of the stalk bleeds."""


class MelonCanvas:
    """A framebuffer, a melon of one topology, and parts of a face of one topology."""

    def __init__(
        self,
        rind: NDArray[np.uint8],
        rind_places: NDArray[np.float32],
        melon_triangles: NDArray[np.integer],
        cutout_triangles: NDArray[np.integer],
    ) -> None:
        """Make the objects.

        Args:
            rind: (H, W, 4) uint8 sRGB and shine; it repeats along its rows.
            rind_places: (N, 2) texture coordinates of the melon's vertices.
            melon_triangles: (M, 3), counter-clockwise seen from outside.
            cutout_triangles: (m, 3), counter-clockwise seen from outside.
        """
        self._framebuffer = GrowingFramebuffer()
        self._rind_program, self._cutout_program = ShaderProgram(*RIND), ShaderProgram(*CUTOUT)
        for program, sampler in ((self._rind_program, "rind_texture"), (self._cutout_program, "picture_texture")):
            program.use()
            program.set_samplers([sampler])
        self._melon = _Mesh(((3,), (3,), (2,)), melon_triangles)
        self._melon.load(2, rind_places)
        self._cutouts = _Mesh(((3, 2, 2, 3, 1),), cutout_triangles)
        self._rind = _rind_texture(rind)
        self._picture, self._picture_size = GL.glGenTextures(1), (0, 0)
        GL.glEnable(GL.GL_CULL_FACE)
        GL.glFrontFace(GL.GL_CW)  # counter-clockwise triangles, drawn upside down
        GL.glEnable(GL.GL_SCISSOR_TEST)
        GL.glClearColor(0.0, 0.0, 0.0, 0.0)
        GL.glBlendFunc(GL.GL_ONE, GL.GL_SRC1_COLOR)
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)
        GL.glPixelStorei(GL.GL_UNPACK_ALIGNMENT, 1)

    def begin(self, width: int, height: int) -> None:
        """Clear the canvas for a picture of some size.

        Raises:
            Face3DMMError: it is larger than OpenGL can draw here.
        """
        self._framebuffer.begin(width, height)

    def draw_melon(
        self,
        vertices: NDArray[np.float32],
        normals: NDArray[np.float32],
        model_to_clip: NDArray[np.float64],
        normal_to_world: NDArray[np.float64],
        to_light: NDArray[np.float64],
        exposure: float,
    ) -> None:
        """Draw the melon with vertices and normals (N, 3), model space, with y downward in clip space.

        Args:
            vertices: mm.
            normals: of any length but 0.
            model_to_clip: (4, 4).
            normal_to_world: (3, 3), to x right, y up, z toward the viewer.
            to_light: (3,) unit vector in the world.
            exposure: 1 in a well lit room.
        """
        self._rind_program.use()
        self._rind_program.set("model_to_clip", model_to_clip)
        self._rind_program.set("normal_to_world", normal_to_world)
        self._rind_program.set("to_light", to_light)
        self._rind_program.set("exposure", exposure)
        self._melon.load(0, vertices)
        self._melon.load(1, normals)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._rind)
        GL.glEnable(GL.GL_DEPTH_TEST)
        self._melon.draw()
        GL.glDisable(GL.GL_DEPTH_TEST)

    def load_picture(self, picture: NDArray[np.uint8]) -> None:
        """Replace the picture, (h, w, 4) uint8 BGRA, that parts of a face are taken from."""
        height, width = picture.shape[:2]
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._picture)
        if width > self._picture_size[0] or height > self._picture_size[1]:
            size = max(width, self._picture_size[0]), max(height, self._picture_size[1])
            GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, GL.GL_RGBA8, *size, 0, GL.GL_BGRA, GL.GL_UNSIGNED_BYTE, None)
            for name in (GL.GL_TEXTURE_MIN_FILTER, GL.GL_TEXTURE_MAG_FILTER):
                GL.glTexParameteri(GL.GL_TEXTURE_2D, name, GL.GL_LINEAR)
            self._picture_size = size
        GL.glTexSubImage2D(GL.GL_TEXTURE_2D, 0, 0, 0, width, height, GL.GL_BGRA, GL.GL_UNSIGNED_BYTE, picture)

    def draw_cutouts(self, vertices: CutoutVertices, model_to_clip: NDArray[np.float64]) -> None:
        """Lay parts of the loaded picture over the melon, with y downward in clip space."""
        texture = (vertices.picture + 0.5) / self._picture_size
        arrays = (vertices.position, texture, vertices.place, vertices.tone[:, ::-1], vertices.visibility[:, None])
        self._cutout_program.use()
        self._cutout_program.set("model_to_clip", model_to_clip)
        self._cutouts.load(0, np.concatenate(arrays, axis=1))
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._picture)
        GL.glEnable(GL.GL_BLEND)
        self._cutouts.draw()
        GL.glDisable(GL.GL_BLEND)

    def read(self) -> NDArray[np.uint8]:
        """What was drawn, (height, width, 4) uint8 BGRA, its first row the lowest in clip space."""
        return self._framebuffer.read()


class _Mesh:
    """Vertex arrays and triangles."""

    def __init__(self, layout: Sequence[Sequence[int]], triangles: NDArray[np.integer]) -> None:
        """Make them.

        Args:
            layout: for each buffer the number of components of its attributes, which lie side by side; the attributes'
                locations count up through all buffers.
            triangles: (M, 3).
        """
        self._vertex_array = GL.glGenVertexArrays(1)
        self._buffers = [GL.glGenBuffers(1) for _ in layout]
        self._index_count = triangles.size
        GL.glBindVertexArray(self._vertex_array)
        location = 0
        for buffer, components in zip(self._buffers, layout, strict=True):
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, buffer)
            stride, offset = _FLOAT_BYTES * sum(components), 0
            for count in components:
                GL.glVertexAttribPointer(location, count, GL.GL_FLOAT, False, stride, GL.GLvoidp(offset))
                GL.glEnableVertexAttribArray(location)
                location, offset = location + 1, offset + _FLOAT_BYTES * count
        indices = np.ascontiguousarray(triangles, np.uint32)
        GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, GL.glGenBuffers(1))
        GL.glBufferData(GL.GL_ELEMENT_ARRAY_BUFFER, indices.nbytes, indices, GL.GL_STATIC_DRAW)

    def load(self, buffer: int, array: NDArray[np.floating]) -> None:
        """Replace the content of one buffer, (N, its components)."""
        array = np.ascontiguousarray(array, np.float32)
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._buffers[buffer])
        GL.glBufferData(GL.GL_ARRAY_BUFFER, array.nbytes, array, GL.GL_STREAM_DRAW)

    def draw(self) -> None:
        """Draw the triangles."""
        GL.glBindVertexArray(self._vertex_array)
        GL.glDrawElements(GL.GL_TRIANGLES, self._index_count, GL.GL_UNSIGNED_INT, None)


def _rind_texture(rind: NDArray[np.uint8]) -> int:
    texture = GL.glGenTextures(1)
    height, width = rind.shape[:2]
    GL.glBindTexture(GL.GL_TEXTURE_2D, texture)
    GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, GL.GL_RGBA8, width, height, 0, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, rind)
    for name, value in (
        (GL.GL_TEXTURE_MAX_LEVEL, _RIND_HALVINGS),
        (GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR_MIPMAP_NEAREST),
        (GL.GL_TEXTURE_MAG_FILTER, GL.GL_LINEAR),
        (GL.GL_TEXTURE_WRAP_S, GL.GL_REPEAT),
        (GL.GL_TEXTURE_WRAP_T, GL.GL_CLAMP_TO_EDGE),
    ):
        GL.glTexParameteri(GL.GL_TEXTURE_2D, name, value)
    GL.glGenerateMipmap(GL.GL_TEXTURE_2D)
    return int(texture)
