"""What canvases are made of in OpenGL: shader programs, vertex arrays and textures.

This module imports PyOpenGL, so it may be imported only after `offscreen.open_context` has chosen the platform; all of
it is to be called with that context current.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.core.errors import Face3DMMError


def prepare(*capabilities: int) -> None:
    """Set up a new context for drawings that are upside down (`Framing.clip_to_canvas`); enable some capabilities."""
    for capability in capabilities:
        GL.glEnable(capability)
    GL.glFrontFace(GL.GL_CW)  # counter-clockwise triangles, drawn upside down
    GL.glBlendFunc(GL.GL_ONE, GL.GL_ONE_MINUS_SRC_ALPHA)
    GL.glClearColor(0.0, 0.0, 0.0, 0.0)
    GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)
    GL.glPixelStorei(GL.GL_UNPACK_ALIGNMENT, 1)


class VertexArray:
    """Vertices, each attribute in a buffer of its own, and the indices of what is drawn of them."""

    def __init__(self, attributes: Sequence[tuple[int, type]]) -> None:
        """Make it, empty.

        Args:
            attributes: by location, how many components and of which type: np.float32, or np.uint8, which shaders read
                as [0, 1].
        """
        self._name = GL.glGenVertexArrays(1)
        self._buffers = [int(GL.glGenBuffers(1)) for _ in attributes]
        self._types = [kind for _, kind in attributes]
        GL.glBindVertexArray(self._name)
        for location, (buffer, (components, kind)) in enumerate(zip(self._buffers, attributes, strict=True)):
            is_bytes = kind is np.uint8
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, buffer)
            number = GL.GL_UNSIGNED_BYTE if is_bytes else GL.GL_FLOAT
            GL.glVertexAttribPointer(location, components, number, is_bytes, 0, None)
            GL.glEnableVertexAttribArray(location)
        GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, GL.glGenBuffers(1))

    def load(self, first: int, *arrays: NDArray) -> None:
        """Replace the attributes from a location on, (N, components) each."""
        for location, array in enumerate(arrays, first):
            data: NDArray = np.ascontiguousarray(array, self._types[location])
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._buffers[location])
            GL.glBufferData(GL.GL_ARRAY_BUFFER, data.nbytes, data, GL.GL_STREAM_DRAW)

    def update(self, first: int, *arrays: NDArray) -> None:
        """Replace the attributes from a location on for the first n vertices, (n, components) each."""
        for location, array in enumerate(arrays, first):
            data: NDArray = np.ascontiguousarray(array, self._types[location])
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._buffers[location])
            GL.glBufferSubData(GL.GL_ARRAY_BUFFER, 0, data.nbytes, data)

    def load_indices(self, *blocks: NDArray[np.integer]) -> list[tuple[int, int]]:
        """Replace the indices by those of some blocks; returns where each block begins and how many it has."""
        GL.glBindVertexArray(self._name)
        indices = np.concatenate([np.zeros(0, np.uint32), *(np.asarray(block, np.uint32).ravel() for block in blocks)])
        GL.glBufferData(GL.GL_ELEMENT_ARRAY_BUFFER, indices.nbytes, indices, GL.GL_STREAM_DRAW)
        ends = np.cumsum([block.size for block in blocks]).tolist()
        return [(end - block.size, block.size) for end, block in zip(ends, blocks, strict=True)]

    def draw(self, first: int, count: int, kind: int = GL.GL_TRIANGLES) -> None:
        """Draw the primitives of some indices: `count` of them from the index number `first` on."""
        GL.glBindVertexArray(self._name)
        GL.glDrawElements(kind, count, GL.GL_UNSIGNED_INT, GL.GLvoidp(4 * first))


def texture(
    pixels: NDArray[np.uint8],
    *,
    halvings: int | None = None,
    clamped: bool = False,
    srgb: bool = False,
    levels: Sequence[NDArray[np.uint8]] = (),
) -> int:
    """Make and bind a texture that repeats, with mipmaps; returns OpenGL's name of it.

    Args:
        pixels: (H, W, 1 to 4), in the order red, green, blue, alpha.
        halvings: how many mipmap levels below the picture itself; all if None.
        clamped: whether it does not repeat along its columns.
        srgb: shaders read the linear light of its three colours; alpha stays as it is.
        levels: the mipmaps, each half as large as the one before; made by OpenGL if there are none, which takes
            software some ten times as long as `cv2.resize`.
    """
    channels = pixels.shape[2]
    formats = (GL.GL_R8, GL.GL_RG8, *((GL.GL_SRGB8, GL.GL_SRGB8_ALPHA8) if srgb else (GL.GL_RGB8, GL.GL_RGBA8)))
    stored = formats[channels - 1]
    order = (GL.GL_RED, GL.GL_RG, GL.GL_RGB, GL.GL_RGBA)[channels - 1]
    name = int(GL.glGenTextures(1))
    GL.glBindTexture(GL.GL_TEXTURE_2D, name)
    for level, image in enumerate((pixels, *levels)):
        height, width = image.shape[:2]
        content = np.ascontiguousarray(image)
        GL.glTexImage2D(GL.GL_TEXTURE_2D, level, stored, width, height, 0, order, GL.GL_UNSIGNED_BYTE, content)
    settings = {
        GL.GL_TEXTURE_MIN_FILTER: GL.GL_LINEAR_MIPMAP_NEAREST,
        GL.GL_TEXTURE_MAG_FILTER: GL.GL_LINEAR,
        GL.GL_TEXTURE_WRAP_T: GL.GL_CLAMP_TO_EDGE if clamped else GL.GL_REPEAT,
    }
    if levels:
        halvings = len(levels)
    if halvings is not None:
        settings[GL.GL_TEXTURE_MAX_LEVEL] = halvings
    for setting, value in settings.items():
        GL.glTexParameteri(GL.GL_TEXTURE_2D, setting, value)
    if not levels:
        GL.glGenerateMipmap(GL.GL_TEXTURE_2D)
    return name


_VECTORS = {1: GL.glUniform1fv, 2: GL.glUniform2fv, 3: GL.glUniform3fv, 4: GL.glUniform4fv}
_MATRICES = {3: GL.glUniformMatrix3fv, 4: GL.glUniformMatrix4fv}
"""What sets a uniform, by its size."""


class ShaderProgram:
    """A vertex and a fragment shader, linked."""

    def __init__(self, vertex_shader: str, fragment_shader: str) -> None:
        """Compile and link GLSL 3.30 sources without their version line.

        Raises:
            Face3DMMError: the driver rejects them.
        """
        self._program = GL.glCreateProgram()
        for kind, source in ((GL.GL_VERTEX_SHADER, vertex_shader), (GL.GL_FRAGMENT_SHADER, fragment_shader)):
            shader = GL.glCreateShader(kind)
            GL.glShaderSource(shader, "#version 330 core\n" + source)
            GL.glCompileShader(shader)
            if not GL.glGetShaderiv(shader, GL.GL_COMPILE_STATUS):
                raise Face3DMMError(f"the OpenGL driver rejects a shader: {GL.glGetShaderInfoLog(shader)}")
            GL.glAttachShader(self._program, shader)
            GL.glDeleteShader(shader)
        GL.glLinkProgram(self._program)
        if not GL.glGetProgramiv(self._program, GL.GL_LINK_STATUS):
            raise Face3DMMError(f"the OpenGL driver cannot link a program: {GL.glGetProgramInfoLog(self._program)}")
        self._locations: dict[str, int] = {}

    def use(self, **uniforms: object) -> None:
        """Draw with it from now on, after `set` of some uniforms."""
        GL.glUseProgram(self._program)
        for name, value in uniforms.items():
            self.set(name, value)

    def set(self, name: str, value: object) -> None:
        """Set a uniform of the program in use: a number, a vector of two to four, or a row-major matrix.

        Nothing happens if the program has no such uniform.
        """
        if name not in self._locations:
            self._locations[name] = GL.glGetUniformLocation(self._program, name)
        location = self._locations[name]
        if location < 0:
            return
        array = np.asarray(value, dtype=np.float32, order="C")
        if array.ndim == 2:
            _MATRICES[len(array)](location, 1, True, array)
        else:
            _VECTORS[array.size](location, 1, array)

    def set_integer(self, name: str, value: int) -> None:
        """Set an integer uniform of the program in use."""
        GL.glUniform1i(GL.glGetUniformLocation(self._program, name), value)

    def set_samplers(self, names: Sequence[str]) -> None:
        """Let the samplers of the program in use read texture units 0, 1, … in this order."""
        for unit, name in enumerate(names):
            self.set_integer(name, unit)
