"""The OpenGL objects behind `FaceRenderer`, and the calls that draw with them.

As `gl_objects`, it may be imported only once a context is open.
"""

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.rendering.framebuffer import GrowingFramebuffer
from face3dmm_ros.rendering.gl_objects import ShaderProgram, VertexArray, prepare
from face3dmm_ros.rendering.lighting import FLAT, LIT_PER_PIXEL, LIT_PER_VERTEX, Lighting
from face3dmm_ros.rendering.toon import OUTLINE, TOON


class FaceCanvas:
    """A framebuffer, the shader programs and one mesh topology."""

    def __init__(
        self,
        triangles: NDArray[np.uint32],
        wire_color: tuple[float, float, float],
        outline_color: tuple[float, float, float],
    ) -> None:
        """Make the objects for (M, 3) triangles; colours are sRGB in [0, 1]."""
        self._framebuffer = GrowingFramebuffer()
        self._lit_per_pixel = ShaderProgram(*LIT_PER_PIXEL)
        self._lit_per_vertex = ShaderProgram(*LIT_PER_VERTEX)
        self._flat = ShaderProgram(*FLAT)
        self._flat.use()
        self._flat.set("flat_color", wire_color)
        self._toon, self._outline = ShaderProgram(*TOON), ShaderProgram(*OUTLINE)
        self._outline.use()
        self._outline.set("flat_color", outline_color)

        self._mesh = VertexArray([(3, np.float32), (3, np.float32), (3, np.uint8)])
        corners = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        self._triangles, self._edges = self._mesh.load_indices(triangles, np.unique(np.sort(corners, axis=1), axis=0))
        prepare(GL.GL_DEPTH_TEST, GL.GL_SCISSOR_TEST)
        GL.glPolygonOffset(1.0, 1.0)

    def begin(self, width: int, height: int) -> None:
        """Clear the canvas for a picture of some size.

        Raises:
            Face3DMMError: it is larger than OpenGL can draw here.
        """
        self._framebuffer.begin(width, height)

    def load(self, vertices: NDArray[np.floating], normals: NDArray[np.floating], rgb: NDArray[np.uint8]) -> None:
        """Upload the mesh that is drawn next: (N, 3) each."""
        for location, array in enumerate((vertices, normals, rgb)):
            self._mesh.load(location, array)

    def draw_shaded(
        self,
        model_to_clip: NDArray[np.float64],
        normal_to_world: NDArray[np.float64],
        lighting: Lighting,
        *,
        per_pixel: bool,
    ) -> None:
        """Draw the loaded mesh, in front of all that was drawn before, with y downward in clip space."""
        program = self._lit_per_pixel if per_pixel else self._lit_per_vertex
        program.use()
        program.light(lighting)
        program.set("model_to_clip", model_to_clip)
        program.set("normal_to_world", normal_to_world)
        GL.glClear(GL.GL_DEPTH_BUFFER_BIT)
        self._mesh.draw(*self._triangles)

    def draw_wireframe(self, model_to_clip: NDArray[np.float64]) -> None:
        """Draw the loaded mesh's edges, in front of all that was drawn before, without those that it hides itself."""
        self._flat.use()
        self._flat.set("model_to_clip", model_to_clip)
        GL.glClear(GL.GL_DEPTH_BUFFER_BIT)
        GL.glColorMask(False, False, False, False)
        GL.glEnable(GL.GL_POLYGON_OFFSET_FILL)
        self._mesh.draw(*self._triangles)
        GL.glDisable(GL.GL_POLYGON_OFFSET_FILL)
        GL.glColorMask(True, True, True, True)
        self._mesh.draw(*self._edges, GL.GL_LINES)

    def draw_toon(
        self,
        model_to_clip: NDArray[np.float64],
        normal_to_world: NDArray[np.float64],
        lighting: Lighting,
        outline_width: tuple[float, float, float],
    ) -> None:
        """Draw the loaded mesh like a cartoon, in front of all that was drawn before, with y downward in clip space.

        Of the lighting only its direction counts. The outline's width along x, y and z is in clip space.
        """
        self._toon.use()
        self._toon.set("to_light", lighting.to_light)
        self._toon.set("model_to_clip", model_to_clip)
        self._toon.set("normal_to_world", normal_to_world)
        GL.glClear(GL.GL_DEPTH_BUFFER_BIT)
        self._mesh.draw(*self._triangles)
        self._outline.use()
        self._outline.set("model_to_clip", model_to_clip)
        self._outline.set("normal_to_world", normal_to_world)
        self._outline.set("outline_width", outline_width)
        GL.glEnable(GL.GL_CULL_FACE)
        GL.glCullFace(GL.GL_FRONT)
        self._mesh.draw(*self._triangles)
        GL.glDisable(GL.GL_CULL_FACE)

    def read(self) -> NDArray[np.uint8]:
        """What was drawn, (height, width, 4) uint8 BGRA, its first row the lowest in clip space."""
        return self._framebuffer.read()
