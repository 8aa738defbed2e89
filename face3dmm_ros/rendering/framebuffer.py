"""Framebuffers, into which OpenGL draws offscreen, and reading pictures from them.

As `gl_objects`, it may be imported only once a context is open.
"""

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.core.errors import Face3DMMError


class Framebuffer:
    """A framebuffer with colour and depth.

    Attributes:
        name: OpenGL's name of it.
    """

    def __init__(self, samples: int = 0) -> None:
        """Make it, without a size; `samples` per pixel for multisampling, 0 for none."""
        self.name = GL.glGenFramebuffers(1)
        self._samples = samples
        self._buffers = GL.glGenRenderbuffers(2)

    def allocate(self, width: int, height: int) -> None:
        """Give it a size, px, and bind it.

        Raises:
            Face3DMMError: the size is larger than OpenGL can draw here.
        """
        largest = int(min(*GL.glGetIntegerv(GL.GL_MAX_VIEWPORT_DIMS), GL.glGetIntegerv(GL.GL_MAX_RENDERBUFFER_SIZE)))
        if max(width, height) > largest:
            raise Face3DMMError(f"OpenGL draws pictures of up to {largest} px a side here, not {width}×{height}")
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self.name)
        kinds = ((GL.GL_RGBA8, GL.GL_COLOR_ATTACHMENT0), (GL.GL_DEPTH_COMPONENT24, GL.GL_DEPTH_ATTACHMENT))
        for buffer, (kind, attachment) in zip(self._buffers, kinds, strict=True):
            GL.glBindRenderbuffer(GL.GL_RENDERBUFFER, buffer)
            GL.glRenderbufferStorageMultisample(GL.GL_RENDERBUFFER, self._samples, kind, width, height)
            GL.glFramebufferRenderbuffer(GL.GL_FRAMEBUFFER, attachment, GL.GL_RENDERBUFFER, buffer)
        status = GL.glCheckFramebufferStatus(GL.GL_FRAMEBUFFER)
        if status != GL.GL_FRAMEBUFFER_COMPLETE:
            raise Face3DMMError(f"OpenGL gave no {width}×{height} framebuffer (status {status:#x})")


class SampledFramebuffer:
    """A framebuffer with several samples per pixel, whose drawings are resolved into one of one sample to be read."""

    def __init__(self, samples: int) -> None:
        """Make it, without a size; 0 or 1 `samples` per pixel for no antialiasing."""
        self._drawn, self._resolved = Framebuffer(samples if samples > 1 else 0), Framebuffer()
        self._size = (0, 0)

    def begin(self, width: int, height: int) -> None:
        """Bind it and clear colour and depth for a drawing of a size, px.

        Raises:
            Face3DMMError: the size is larger than OpenGL can draw here.
        """
        if (width, height) != self._size:
            self._size = (width, height)
            self._drawn.allocate(width, height)
            self._resolved.allocate(width, height)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._drawn.name)
        GL.glViewport(0, 0, width, height)
        GL.glClear(GL.GL_COLOR_BUFFER_BIT | GL.GL_DEPTH_BUFFER_BIT)

    def resolve(self) -> None:
        """End a drawing: what follows reads it."""
        box = (0, 0, *self._size)
        GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, self._drawn.name)
        GL.glBindFramebuffer(GL.GL_DRAW_FRAMEBUFFER, self._resolved.name)
        GL.glBlitFramebuffer(*box, *box, GL.GL_COLOR_BUFFER_BIT | GL.GL_DEPTH_BUFFER_BIT, GL.GL_NEAREST)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._resolved.name)

    def read(self) -> NDArray[np.uint8]:
        """What was drawn, (height, width, 4) uint8 BGRA, its first row the lowest in clip space."""
        return read_pixels(*self._size)

    def read_depth(self) -> NDArray[np.float32]:
        """The depth of what was drawn, (height, width) float32 from 0 (near) to 1 (far, and where nothing is)."""
        width, height = self._size
        depth = np.empty((height, width), np.float32)
        GL.glReadPixels(0, 0, width, height, GL.GL_DEPTH_COMPONENT, GL.GL_FLOAT, array=depth)
        return depth


class GrowingFramebuffer:
    """A framebuffer for drawings that change their size with every frame: it only ever grows."""

    def __init__(self) -> None:
        """Make it, without a size."""
        self._framebuffer = Framebuffer()
        self._capacity = (0, 0)
        self._size = (0, 0)

    def begin(self, width: int, height: int) -> None:
        """Bind it and clear colour and depth for a drawing of a size, px; the scissor test must be enabled.

        Raises:
            Face3DMMError: the size is larger than OpenGL can draw here.
        """
        if width > self._capacity[0] or height > self._capacity[1]:
            capacity = max(width, self._capacity[0]), max(height, self._capacity[1])
            self._framebuffer.allocate(*capacity)
            self._capacity = capacity
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._framebuffer.name)
        self._size = (width, height)
        GL.glViewport(0, 0, width, height)
        GL.glScissor(0, 0, width, height)
        GL.glClear(GL.GL_COLOR_BUFFER_BIT | GL.GL_DEPTH_BUFFER_BIT)

    def read(self) -> NDArray[np.uint8]:
        """What was drawn, (height, width, 4) uint8 BGRA, its first row the lowest in clip space."""
        return read_pixels(*self._size)


def read_pixels(width: int, height: int) -> NDArray[np.uint8]:
    """The lower left part of the bound framebuffer, (height, width, 4) uint8 BGRA, its first row the lowest."""
    pixels = np.empty((height, width, 4), np.uint8)
    GL.glReadPixels(0, 0, width, height, GL.GL_BGRA, GL.GL_UNSIGNED_BYTE, array=pixels)
    return pixels
