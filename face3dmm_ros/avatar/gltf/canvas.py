"""The OpenGL objects that draw a `Figure`, such as a glTF file's.

This module imports PyOpenGL, so it may be imported only after `face3dmm_ros.rendering.offscreen.open_context` has
chosen the platform; and all of it runs with that context current.

Light falls on vertices and not on pixels, which software pays for one by one: a sky that is brighter than the ground,
and a soft key light from the upper left that reaches a little round the edge, as on skin. A toon's surfaces fall from
light to their shade colour within a narrow band instead. sRGB is taken for the root of linear light, which it is to
within a few levels: then the root of texture times light is that of the texture times that of the light, which is a
vertex's, so that all that is left to a pixel is one product.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.avatar.gltf.figure import TURNS, Figure, Surface
from face3dmm_ros.rendering.framebuffer import GrowingFramebuffer
from face3dmm_ros.rendering.gl_canvas import ShaderProgram

_VERTEX = f"""#version 330 core
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec2 uv;
layout(location = 3) in vec4 color;
layout(location = 4) in vec3 shares;

uniform mat4 to_clip;
uniform mat4 turns[{TURNS}];
uniform vec4 surface_color;
uniform vec3 shade;
uniform int shading;

out vec2 place;
out vec4 front;
out vec3 back;

vec3 light(vec3 n) {{
    if (shading == 2) {{
        return vec3(1.0);
    }}
    float key = dot(n, normalize(vec3(-0.45, 0.55, 0.9)));
    if (shading == 1) {{
        return mix(shade, vec3(1.0), smoothstep(-0.25, 0.15, key));
    }}
    vec3 sky = mix(vec3(0.27, 0.25, 0.24), vec3(0.48, 0.49, 0.52), 0.5 + 0.5 * n.y);
    return sky + vec3(0.78, 0.76, 0.72) * max((key + 0.3) / 1.3, 0.0);
}}

void main() {{
    vec4 rest = vec4(position, 1.0);
    float still = 1.0 - shares.x - shares.y - shares.z;
    vec4 turned = still * rest;
    vec3 n = still * normal;
    for (int i = 0; i < {TURNS}; ++i) {{
        turned += shares[i] * (turns[i] * rest);
        n += shares[i] * (mat3(turns[i]) * normal);
    }}
    gl_Position = to_clip * turned;
    n = normalize(n + vec3(0.0, 0.0, 1e-9));
    place = uv;
    vec4 tint = surface_color * color;
    front = vec4(sqrt(tint.rgb * light(n)), tint.a);
    back = sqrt(tint.rgb * light(-n));
}}
"""

_FRAGMENT = """#version 330 core
in vec2 place;
in vec4 front;
in vec3 back;

uniform sampler2D base;
uniform float least_alpha;

out vec4 color;

void main() {
    vec4 texel = texture(base, place);
    float alpha = ALPHA;
    color = vec4(min(texel.rgb * LIT, 1.0) * alpha, alpha);
}
"""
_CUT = "texel.a * front.a; if (alpha < least_alpha) discard"
_ALPHAS = {"OPAQUE": "1.0", "MASK": _CUT + "; alpha = 1.0", "BLEND": _CUT}
_SIDES = {False: "front.rgb", True: "(gl_FrontFacing ? front.rgb : back)"}
_SHADINGS = {"lit": 0, "toon": 1, "unlit": 2}
_LEAST_BLENDED = 0.02  # what is fainter leaves no trace in the depth either


class GltfCanvas:
    """A framebuffer, the shader programs, and one figure with its textures."""

    def __init__(self, figure: Figure) -> None:
        """Make the objects for a figure, which is drawn at rest until `move`."""
        self._framebuffer = GrowingFramebuffer()
        self._surfaces = figure.surfaces
        self._programs = {
            (mode, sides): ShaderProgram(
                _VERTEX, _FRAGMENT.replace("ALPHA", _ALPHAS[mode]).replace("LIT", _SIDES[sides])
            )
            for mode, sides in {(surface.alpha_mode, surface.double_sided) for surface in figure.surfaces}
        }
        self._vertex_array = GL.glGenVertexArrays(1)
        GL.glBindVertexArray(self._vertex_array)
        self._points = _buffer(figure.points, GL.GL_DYNAMIC_DRAW)
        for location, offset in ((0, 0), (1, 12)):
            GL.glVertexAttribPointer(location, 3, GL.GL_FLOAT, False, 24, GL.GLvoidp(offset))
            GL.glEnableVertexAttribArray(location)
        arrays: Sequence[NDArray] = (figure.uv, figure.colors, figure.shares)
        for location, array in enumerate(arrays, start=2):
            _buffer(array, GL.GL_STATIC_DRAW)
            kind = GL.GL_UNSIGNED_BYTE if array.dtype == np.uint8 else GL.GL_FLOAT
            GL.glVertexAttribPointer(location, array.shape[1], kind, True, 0, None)
            GL.glEnableVertexAttribArray(location)
        GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, GL.glGenBuffers(1))
        GL.glBufferData(
            GL.GL_ELEMENT_ARRAY_BUFFER,
            figure.triangles.nbytes,
            np.ascontiguousarray(figure.triangles),
            GL.GL_STATIC_DRAW,
        )
        white = np.full((1, 1, 4), 255, np.uint8)
        self._textures = [_texture(pixels) for pixels in (*figure.textures, white)]  # the last stands for "none"

        GL.glEnable(GL.GL_DEPTH_TEST)
        GL.glDepthFunc(GL.GL_LEQUAL)  # lashes and brows often lie on the very skin
        GL.glFrontFace(GL.GL_CW)  # counter-clockwise triangles, drawn upside down
        GL.glEnable(GL.GL_SCISSOR_TEST)
        GL.glBlendFunc(GL.GL_ONE, GL.GL_ONE_MINUS_SRC_ALPHA)
        GL.glClearColor(0.0, 0.0, 0.0, 0.0)
        GL.glPixelStorei(GL.GL_PACK_ALIGNMENT, 1)

    def move(self, points: NDArray[np.float32]) -> None:
        """New positions and normals of the figure's moving vertices, (moving, 6)."""
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._points)
        GL.glBufferSubData(GL.GL_ARRAY_BUFFER, 0, points.nbytes, points)

    def draw(
        self, width: int, height: int, to_clip: NDArray[np.float64], turns: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        """The figure, (height, width, 4) uint8 sRGB BGRA, premultiplied, its first row the lowest in clip space.

        Args:
            width, height: of the picture, px.
            to_clip: (4, 4), from the figure's space to clip space, with y downward.
            turns: (TURNS, 4, 4), what moves each turning part.

        Raises:
            Face3DMMError: the picture is larger than OpenGL can draw here.
        """
        self._framebuffer.begin(width, height)
        for program in self._programs.values():
            program.use()
            program.set("to_clip", to_clip)
            for index, turn in enumerate(turns):
                program.set(f"turns[{index}]", turn)
        for surface in self._surfaces:
            self._draw(surface)
        return self._framebuffer.read()

    def _draw(self, surface: Surface) -> None:
        program = self._programs[surface.alpha_mode, surface.double_sided]
        program.use()
        program.set("surface_color", surface.color)
        program.set("shade", surface.shade)
        program.set_integer("shading", _SHADINGS[surface.shading])
        blended = surface.alpha_mode == "BLEND"
        program.set("least_alpha", _LEAST_BLENDED if blended else surface.alpha_cutoff)
        for capability, wanted in ((GL.GL_BLEND, blended), (GL.GL_CULL_FACE, not surface.double_sided)):
            (GL.glEnable if wanted else GL.glDisable)(capability)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._textures[surface.texture])
        GL.glDrawElements(GL.GL_TRIANGLES, surface.count, GL.GL_UNSIGNED_INT, GL.GLvoidp(4 * surface.first))


def _buffer(array: NDArray, usage: int) -> int:
    """A vertex buffer with an array's contents, which stays bound."""
    name = int(GL.glGenBuffers(1))
    GL.glBindBuffer(GL.GL_ARRAY_BUFFER, name)
    GL.glBufferData(GL.GL_ARRAY_BUFFER, array.nbytes, np.ascontiguousarray(array), usage)
    return name


def _texture(pixels: NDArray[np.uint8]) -> int:
    """A texture that repeats, with smaller versions of itself."""
    height, width = pixels.shape[:2]
    name = int(GL.glGenTextures(1))
    GL.glBindTexture(GL.GL_TEXTURE_2D, name)
    GL.glTexImage2D(
        GL.GL_TEXTURE_2D,
        *(0, GL.GL_RGBA8, width, height, 0, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE),
        np.ascontiguousarray(pixels),
    )
    GL.glGenerateMipmap(GL.GL_TEXTURE_2D)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR_MIPMAP_NEAREST)
    GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MAG_FILTER, GL.GL_LINEAR)
    return name
