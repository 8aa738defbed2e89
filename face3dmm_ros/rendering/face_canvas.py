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


class FaceCanvas(GrowingFramebuffer):
    """A framebuffer, the shader programs and one mesh topology."""

    def __init__(self, triangles: NDArray[np.integer], edges: NDArray[np.integer]) -> None:
        """Make the objects for (M, 3) triangles and their (E, 2) edges."""
        super().__init__()
        self._lit_per_pixel, self._lit_per_vertex = ShaderProgram(*LIT_PER_PIXEL), ShaderProgram(*LIT_PER_VERTEX)
        self._flat, self._toon, self._outline = (ShaderProgram(*shaders) for shaders in (FLAT, TOON, OUTLINE))
        self._lightings: dict[ShaderProgram, Lighting] = {}
        """Those that the programs were last given."""

        self._mesh = VertexArray([(3, np.float32), (3, np.float32), (3, np.uint8), (1, np.float32)])
        self._triangles, self._edges = self._mesh.load_indices(triangles, edges)
        prepare(GL.GL_DEPTH_TEST, GL.GL_SCISSOR_TEST)
        GL.glPolygonOffset(1.0, 1.0)

    def load(
        self,
        vertices: NDArray[np.floating],
        normals: NDArray[np.floating],
        rgb: NDArray[np.uint8],
        opacity: NDArray[np.float32],
    ) -> None:
        """Upload the mesh that is drawn next: (N, 3) each, and how much of each vertex shows, (N,) in [0, 1].

        It will hide what was drawn before, also where it does not show itself.
        """
        self._mesh.load(0, vertices, normals, rgb, opacity)
        GL.glClear(GL.GL_DEPTH_BUFFER_BIT)

    def draw_shaded(
        self,
        model_to_clip: NDArray[np.float64],
        normal_to_world: NDArray[np.float64],
        lighting: Lighting,
        *,
        per_pixel: bool,
    ) -> None:
        """Draw the loaded mesh, lit per pixel or per vertex."""
        program = self._lit_per_pixel if per_pixel else self._lit_per_vertex
        program.use(model_to_clip=model_to_clip, normal_to_world=normal_to_world)
        if lighting is not self._lightings.get(program):
            for name, value in lighting.uniforms().items():
                program.set(name, value)
            self._lightings[program] = lighting
        self._mesh.draw(*self._triangles)

    def draw_wireframe(self, model_to_clip: NDArray[np.float64], color: tuple[float, float, float]) -> None:
        """Draw the loaded mesh's edges, sRGB from 0 to 1, without those that its own surface hides."""
        self._flat.use(model_to_clip=model_to_clip, flat_color=color)
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
        to_light: NDArray[np.float64],
        outline_width: NDArray[np.float64],
        outline_color: tuple[float, float, float],
    ) -> None:
        """Draw the loaded mesh like a cartoon.

        Args:
            model_to_clip: (4, 4).
            normal_to_world: (3, 3), to x right, y up, z toward the viewer.
            to_light: (3,) unit vector in the world.
            outline_width: (3,) along x, y and z in clip space.
            outline_color: sRGB from 0 to 1.
        """
        self._toon.use(model_to_clip=model_to_clip, normal_to_world=normal_to_world, to_light=to_light)
        self._mesh.draw(*self._triangles)
        self._outline.use(model_to_clip=model_to_clip, normal_to_world=normal_to_world, outline_width=outline_width)
        self._outline.set("flat_color", outline_color)
        GL.glEnable(GL.GL_CULL_FACE)
        GL.glCullFace(GL.GL_FRONT)
        self._mesh.draw(*self._triangles)
        GL.glDisable(GL.GL_CULL_FACE)
