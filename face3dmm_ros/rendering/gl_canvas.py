"""The OpenGL objects behind `FaceRenderer`, and the calls that draw with them.

This module imports PyOpenGL, so it may be imported only after `face3dmm_ros.rendering.offscreen.open_context` has
chosen the platform; and all of it runs with that context current.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.rendering.framebuffer import GrowingFramebuffer
from face3dmm_ros.rendering.lighting import FLAT, LIT_PER_PIXEL, LIT_PER_VERTEX, Lighting
from face3dmm_ros.rendering.toon import OUTLINE, TOON

_POSITION, _NORMAL, _SRGB = 0, 1, 2  # the vertex shader's locations


class Canvas:
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

        GL.glBindVertexArray(GL.glGenVertexArrays(1))
        self._vertex_buffers = GL.glGenBuffers(3)
        for location, kind in ((_POSITION, GL.GL_FLOAT), (_NORMAL, GL.GL_FLOAT), (_SRGB, GL.GL_UNSIGNED_BYTE)):
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._vertex_buffers[location])
            GL.glVertexAttribPointer(location, 3, kind, kind == GL.GL_UNSIGNED_BYTE, 0, None)
            GL.glEnableVertexAttribArray(location)
        corners = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        edges = np.unique(np.sort(corners, axis=1), axis=0)
        # Triangles and edges share the one index buffer.
        indices = np.concatenate([triangles.ravel(), edges.ravel()])
        self._triangle_indices, self._edge_indices = triangles.size, edges.size
        GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, GL.glGenBuffers(1))
        GL.glBufferData(GL.GL_ELEMENT_ARRAY_BUFFER, indices.nbytes, indices, GL.GL_STATIC_DRAW)

        GL.glEnable(GL.GL_DEPTH_TEST)
        GL.glFrontFace(GL.GL_CW)  # counter-clockwise triangles, drawn upside down
        GL.glEnable(GL.GL_SCISSOR_TEST)
        GL.glClearColor(0.0, 0.0, 0.0, 0.0)
        GL.glPolygonOffset(1.0, 1.0)
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)

    def begin(self, width: int, height: int) -> None:
        """Clear the canvas for a picture of some size.

        Raises:
            Face3DMMError: it is larger than OpenGL can draw here.
        """
        self._framebuffer.begin(width, height)

    def load(self, vertices: NDArray[np.floating], normals: NDArray[np.floating], rgb: NDArray[np.uint8]) -> None:
        """Upload the mesh that is drawn next: (N, 3) each."""
        arrays: tuple[NDArray, ...] = (
            np.ascontiguousarray(vertices, np.float32),
            np.ascontiguousarray(normals, np.float32),
            np.ascontiguousarray(rgb),
        )
        for buffer, array in zip(self._vertex_buffers, arrays, strict=True):
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, buffer)
            GL.glBufferData(GL.GL_ARRAY_BUFFER, array.nbytes, array, GL.GL_STREAM_DRAW)

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
        self._draw_triangles()

    def draw_wireframe(self, model_to_clip: NDArray[np.float64]) -> None:
        """Draw the loaded mesh's edges, in front of all that was drawn before, without those that it hides itself."""
        self._flat.use()
        self._flat.set("model_to_clip", model_to_clip)
        GL.glClear(GL.GL_DEPTH_BUFFER_BIT)
        GL.glColorMask(False, False, False, False)
        GL.glEnable(GL.GL_POLYGON_OFFSET_FILL)
        self._draw_triangles()
        GL.glDisable(GL.GL_POLYGON_OFFSET_FILL)
        GL.glColorMask(True, True, True, True)
        offset = 4 * self._triangle_indices
        GL.glDrawElements(GL.GL_LINES, self._edge_indices, GL.GL_UNSIGNED_INT, GL.GLvoidp(offset))

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
        self._draw_triangles()
        self._outline.use()
        self._outline.set("model_to_clip", model_to_clip)
        self._outline.set("normal_to_world", normal_to_world)
        self._outline.set("outline_width", outline_width)
        GL.glEnable(GL.GL_CULL_FACE)
        GL.glCullFace(GL.GL_FRONT)
        self._draw_triangles()
        GL.glDisable(GL.GL_CULL_FACE)

    def read(self) -> NDArray[np.uint8]:
        """What was drawn, (height, width, 4) uint8 BGRA, its first row the lowest in clip space."""
        return self._framebuffer.read()

    def _draw_triangles(self) -> None:
        GL.glDrawElements(GL.GL_TRIANGLES, self._triangle_indices, GL.GL_UNSIGNED_INT, None)


class ShaderProgram:
    """A vertex and a fragment shader, linked."""

    def __init__(self, vertex_shader: str, fragment_shader: str) -> None:
        self._program = GL.glCreateProgram()
        for kind, source in ((GL.GL_VERTEX_SHADER, vertex_shader), (GL.GL_FRAGMENT_SHADER, fragment_shader)):
            shader = GL.glCreateShader(kind)
            GL.glShaderSource(shader, source)
            GL.glCompileShader(shader)
            if not GL.glGetShaderiv(shader, GL.GL_COMPILE_STATUS):
                raise Face3DMMError(f"the OpenGL driver rejects a shader: {GL.glGetShaderInfoLog(shader)}")
            GL.glAttachShader(self._program, shader)
            GL.glDeleteShader(shader)
        GL.glLinkProgram(self._program)
        if not GL.glGetProgramiv(self._program, GL.GL_LINK_STATUS):
            raise Face3DMMError(f"the OpenGL driver cannot link a program: {GL.glGetProgramInfoLog(self._program)}")
        self._locations: dict[str, int] = {}
        self._lighting: Lighting | None = None

    def use(self) -> None:
        GL.glUseProgram(self._program)

    def set(self, name: str, value: object) -> None:
        """Set a uniform of the program in use: a number, a vector of two to four, or a row-major matrix."""
        if name not in self._locations:
            self._locations[name] = GL.glGetUniformLocation(self._program, name)
        location = self._locations[name]
        if location < 0:  # the program does without it
            return
        array = np.asarray(value, dtype=np.float32, order="C")
        match array.shape:
            case ():
                GL.glUniform1f(location, float(array))
            case (2,):
                GL.glUniform2fv(location, 1, array)
            case (3,):
                GL.glUniform3fv(location, 1, array)
            case (4,):
                GL.glUniform4fv(location, 1, array)
            case (3, 3):
                GL.glUniformMatrix3fv(location, 1, True, array)
            case (4, 4):
                GL.glUniformMatrix4fv(location, 1, True, array)

    def set_integer(self, name: str, value: int) -> None:
        """Set an integer uniform of the program in use."""
        GL.glUniform1i(GL.glGetUniformLocation(self._program, name), value)

    def set_samplers(self, names: Sequence[str]) -> None:
        """Let the samplers of the program in use read texture units 0, 1, … in this order."""
        for unit, name in enumerate(names):
            GL.glUniform1i(GL.glGetUniformLocation(self._program, name), unit)

    def light(self, lighting: Lighting) -> None:
        """Set the lighting of the program in use, which keeps it."""
        if lighting is self._lighting:
            return
        self.set("to_light", lighting.to_light)
        self.set("to_viewer", (0.0, 0.0, 1.0))
        self.set("light_color", lighting.color)
        self.set("ambient_color", lighting.ambient)
        for name in ("diffuse", "specular", "shininess", "transmission"):
            self.set(name, getattr(lighting, name))
        self.set("phong", lighting.model == "phong")
        self._lighting = lighting
