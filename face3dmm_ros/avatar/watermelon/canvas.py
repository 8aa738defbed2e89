"""The OpenGL objects behind the watermelon, and the calls that draw with them.

As `gl_objects`, it may be imported only once a context is open.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.avatar.watermelon.shaders import CUTOUT, RIND
from face3dmm_ros.avatar.watermelon.shape import MelonShape
from face3dmm_ros.rendering.framebuffer import GrowingFramebuffer
from face3dmm_ros.rendering.gl_objects import ShaderProgram, VertexArray, prepare, texture

_RIND_HALVINGS = 2
"""Mipmap levels of the rind, chosen by hand: with fewer small melons flicker, with more the stalk's bark bleeds."""


class MelonCanvas(GrowingFramebuffer):
    """A framebuffer, a melon of one topology, and parts of a face of one topology."""

    def __init__(self, shape: MelonShape, rind: NDArray[np.uint8], cutout_triangles: NDArray[np.integer]) -> None:
        """Make the objects.

        Args:
            shape: the melon.
            rind: (H, W, 4) uint8 sRGB and gloss; it repeats along its rows.
            cutout_triangles: (m, 3), counter-clockwise seen from outside.
        """
        super().__init__()
        self._rind_program, self._cutout_program = ShaderProgram(*RIND), ShaderProgram(*CUTOUT)
        self._melon = VertexArray([(3, np.float32), (3, np.float32), (2, np.float32)])
        self._melon.load(2, shape.rind)
        [self._melon_range] = self._melon.load_indices(shape.triangles)
        self._cutouts = VertexArray([(count, np.float32) for count in (3, 2, 3, 3)])
        [self._cutout_range] = self._cutouts.load_indices(cutout_triangles)
        self._rind = texture(rind, halvings=_RIND_HALVINGS, clamped=True)
        self._picture, self._picture_size = GL.glGenTextures(1), (0, 0)
        prepare(GL.GL_CULL_FACE, GL.GL_SCISSOR_TEST)
        GL.glBlendFunc(GL.GL_ONE, GL.GL_SRC1_COLOR)

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
        self._rind_program.use(
            model_to_clip=model_to_clip, normal_to_world=normal_to_world, to_light=to_light, exposure=exposure
        )
        self._melon.load(0, vertices, normals)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._rind)
        GL.glEnable(GL.GL_DEPTH_TEST)
        self._melon.draw(*self._melon_range)
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

    def draw_cutouts(
        self, vertices: Sequence[NDArray[np.floating]], model_to_clip: NDArray[np.float64], brightness: float = 1.0
    ) -> None:
        """Draw parts of the loaded picture over the melon, with y downward in clip space.

        Args:
            vertices: the inputs of `shaders.CUTOUT` by location, but the places in the picture in px, (0, 0) being the
                centre of its top left pixel.
            model_to_clip: (4, 4).
            brightness: factor of what is dark; white stays white. 1 leaves the picture as it is.
        """
        position, picture, *others = vertices
        self._cutout_program.use(model_to_clip=model_to_clip, brightness=brightness)
        self._cutouts.load(0, position, (picture + 0.5) / self._picture_size, *others)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._picture)
        GL.glEnable(GL.GL_BLEND)
        self._cutouts.draw(*self._cutout_range)
        GL.glDisable(GL.GL_BLEND)
