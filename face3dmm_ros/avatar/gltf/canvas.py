"""The OpenGL objects that draw a `Figure`, such as a glTF file's.

As `gl_objects`, it may be imported only once a context is open.

Lighting is computed per vertex, since a software renderer pays for every pixel: hemisphere ambient light, and a key
light from the upper left that wraps around the terminator, as on skin. Toon surfaces pass from lit to their shade
colour within a narrow band instead. sRGB is approximated by the square root of linear light: then the root of texture
times light is the texture's stored value times the root of the light, so that a pixel costs one product. The numbers of
the light were chosen by hand.
"""

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.avatar.gltf.figure import TURNS, Figure, Surface
from face3dmm_ros.rendering.framebuffer import GrowingFramebuffer
from face3dmm_ros.rendering.gl_objects import ShaderProgram, VertexArray, prepare, texture

_VERTEX = f"""
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

_FRAGMENT = """
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
_LEAST_BLENDED = 0.02  # fainter fragments do not write depth either; chosen by hand


class GltfCanvas(GrowingFramebuffer):
    """A framebuffer, the shader programs, and one figure with its textures."""

    def __init__(self, figure: Figure) -> None:
        """Make the objects for a figure, which is drawn at rest until `move`."""
        super().__init__()
        self._surfaces = figure.surfaces
        self._programs = {
            (mode, sides): ShaderProgram(
                _VERTEX, _FRAGMENT.replace("ALPHA", _ALPHAS[mode]).replace("LIT", _SIDES[sides])
            )
            for mode, sides in {(each.material.alpha_mode, each.material.double_sided) for each in figure.surfaces}
        }
        self._mesh = VertexArray([(3, np.float32), (3, np.float32), (2, np.float32), (4, np.uint8), (3, np.float32)])
        self._mesh.load(0, figure.points[:, :3], figure.points[:, 3:], figure.uv, figure.colors, figure.shares)
        self._mesh.load_indices(figure.triangles)
        white = np.full((1, 1, 4), 255, np.uint8)
        self._textures = [texture(pixels) for pixels in (*figure.textures, white)]  # the last stands for "none"
        prepare(GL.GL_DEPTH_TEST, GL.GL_SCISSOR_TEST)
        GL.glDepthFunc(GL.GL_LEQUAL)  # lashes and brows often lie on the very skin

    def move(self, points: NDArray[np.float32]) -> None:
        """New positions and normals of the figure's moving vertices, (moving, 6)."""
        self._mesh.update(0, points[:, :3], points[:, 3:])

    def draw(
        self, size: tuple[int, int], to_clip: NDArray[np.float64], turns: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        """Draw the figure, (height, width, 4) uint8 sRGB BGRA, premultiplied, its first row the lowest in clip space.

        Args:
            size: (width, height) of the picture, px.
            to_clip: (4, 4), from the figure's space to clip space, with y downward.
            turns: (TURNS, 4, 4), what moves each turning part.

        Raises:
            Face3DMMError: the picture is larger than OpenGL can draw here.
        """
        self.begin(*size)
        uniforms = {"to_clip": to_clip} | {f"turns[{index}]": turn for index, turn in enumerate(turns)}
        for program in self._programs.values():
            program.use(**uniforms)
        for surface in self._surfaces:
            self._draw(surface)
        return self.read()

    def _draw(self, surface: Surface) -> None:
        material = surface.material
        blended = material.alpha_mode == "BLEND"
        program = self._programs[material.alpha_mode, material.double_sided]
        program.use(
            surface_color=material.color,
            shade=material.shade,
            least_alpha=_LEAST_BLENDED if blended else material.alpha_cutoff,
        )
        program.set_integer("shading", _SHADINGS[material.shading])
        for capability, wanted in ((GL.GL_BLEND, blended), (GL.GL_CULL_FACE, not material.double_sided)):
            (GL.glEnable if wanted else GL.glDisable)(capability)
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._textures[material.texture])
        self._mesh.draw(surface.first, surface.count)
