"""How light falls on a face: ambient + Lambert + Blinn-Phong or Phong, with light that shines through to the back.

With N the unit normal, L the unit vector toward the light, V the one toward the viewer, R = 2(N·L)N − L the mirrored
light and H the halfway vector between L and V, a surface of albedo a sends out

    a · (ambient + diffuse · color · max(N·L, 0)) + specular · color · highlight
    highlight = max(N·H, 0)ⁿ  (Blinn, SIGGRAPH 1977)  or  max(R·V, 0)ⁿ  (Phong, CACM 1975),  n the shininess

with no highlight where N·L ≤ 0. A triangle seen from behind shows the light that falls on its other side: the diffuse
term times `transmission`, without highlight. The highlight has the light's colour, not the albedo's, as on skin.

Light adds up linearly, and stored colours are not linear: vertex colours are decoded from sRGB before the sum, and the
sum is encoded to sRGB again (IEC 61966-2-1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError

LIGHTING_MODELS = ("blinn-phong", "phong")
"""The names of the highlight's two formulas."""


@dataclass(frozen=True)
class Lighting:
    """One directional light and ambient light; intensities are linear RGB, 1 being a display's white.

    Axes are OpenGL's: x right, y up, z from the image toward the viewer. The defaults were chosen by hand: a warm light
    from the upper right, dimmer and cooler light from everywhere, and a broad, faint highlight as on skin.

    Attributes:
        direction: the way the light travels, of any length but zero.
        color: the light's colour and intensity.
        ambient: colour and intensity of the light that comes from everywhere.
        diffuse: share of the light that a surface scatters, in [0, 1].
        specular: share of the light in the highlight, in [0, 1].
        shininess: n, the highlight's exponent; the greater, the smaller the highlight.
        transmission: share of the scattered light that shows on the back of a surface, in [0, 1].
        model: one of `LIGHTING_MODELS`.

    Raises:
        Face3DMMError: a value is outside its range, or the model unknown.
    """

    direction: tuple[float, float, float] = (-0.4, -0.5, -1.0)
    color: tuple[float, float, float] = (1.0, 0.96, 0.9)
    ambient: tuple[float, float, float] = (0.27, 0.28, 0.3)
    diffuse: float = 1.0
    specular: float = 0.15
    shininess: float = 14.0
    transmission: float = 0.3
    model: str = "blinn-phong"

    def __post_init__(self) -> None:
        for name in ("direction", "color", "ambient"):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            if value.shape != (3,) or not np.isfinite(value).all():
                raise Face3DMMError(f"lighting: {name} must be three finite numbers, not {getattr(self, name)}")
            if name != "direction" and value.min() < 0:
                raise Face3DMMError(f"lighting: {name} must not be negative, found {getattr(self, name)}")
        if not np.any(self.direction):
            raise Face3DMMError("lighting: direction must not be zero")
        for name in ("diffuse", "specular", "transmission"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise Face3DMMError(f"lighting: {name} must lie between 0 and 1, not {getattr(self, name)}")
        if not (np.isfinite(self.shininess) and self.shininess >= 0.0):
            raise Face3DMMError(f"lighting: shininess must be a number from 0 up, not {self.shininess}")
        if self.model not in LIGHTING_MODELS:
            raise Face3DMMError(f"unknown lighting model {self.model!r}: choose one of {', '.join(LIGHTING_MODELS)}")

    @property
    def to_light(self) -> NDArray[np.float64]:
        """L, the unit vector toward the light, (3,)."""
        against = -np.asarray(self.direction, np.float64)
        return np.asarray(against / np.linalg.norm(against))

    def uniforms(self) -> dict[str, object]:
        """What the shaders of this module that compute light need, by name."""
        own = {name: getattr(self, name) for name in ("diffuse", "specular", "shininess", "transmission")}
        colors = {"light_color": self.color, "ambient_color": self.ambient}
        return {**own, **colors, "to_light": self.to_light, "phong": self.model == "phong"}


DECODED_FUNCTION = """
// sRGB as linear light; `core.srgb.linear` in GLSL.
vec3 decoded(vec3 srgb) {
    return mix(srgb / 12.92, pow((srgb + 0.055) / 1.055, vec3(2.4)), greaterThan(srgb, vec3(0.04045)));
}
"""

MESH_INPUTS = """
layout(location = 0) in vec3 position;  // model space, mm
layout(location = 1) in vec3 normal;    // model space
layout(location = 2) in vec4 paint;     // sRGB, and gloss where there is one

uniform mat4 model_to_clip;
uniform mat3 normal_to_world;
"""
"""Inputs of a painted mesh's vertex shaders."""

FADING_INPUTS = (
    MESH_INPUTS
    + """
layout(location = 3) in float shown;  // opacity, 0 to 1
"""
)
"""The same of a mesh that fades out."""

_LIGHTING_FUNCTION = """
uniform vec3 to_light;
uniform vec3 light_color;
uniform vec3 ambient_color;
uniform float diffuse;
uniform float specular;
uniform float shininess;
uniform float transmission;
uniform bool phong;

const vec3 TO_VIEWER = vec3(0.0, 0.0, 1.0);

vec3 encoded(vec3 linear) {
    linear = min(linear, 1.0);
    return mix(12.92 * linear, 1.055 * pow(linear, vec3(1.0 / 2.4)) - 0.055, greaterThan(linear, vec3(0.0031308)));
}

vec3 lit(vec3 albedo, vec3 normal, bool front) {
    vec3 N = normal / max(length(normal), 1e-9);
    float lambert = max(dot(N, to_light), 0.0);
    float highlight = 0.0;
    if (!front) {
        lambert *= transmission;
    } else if (lambert > 0.0) {
        float cosine = phong ? dot(reflect(-to_light, N), TO_VIEWER) : dot(N, normalize(to_light + TO_VIEWER));
        highlight = pow(max(cosine, 1e-6), shininess);
    }
    return encoded(albedo * (ambient_color + diffuse * lambert * light_color) + specular * highlight * light_color);
}
"""

LIT_PER_PIXEL = (
    FADING_INPUTS
    + DECODED_FUNCTION
    + """
out vec3 albedo;
out vec3 world_normal;
out float opacity;

void main() {
    opacity = shown;
    gl_Position = model_to_clip * vec4(position, 1.0);
    albedo = decoded(paint.rgb);
    world_normal = normal_to_world * normal;
}
""",
    _LIGHTING_FUNCTION
    + """
in vec3 albedo;
in vec3 world_normal;
in float opacity;

out vec4 color;

void main() {
    color = opacity * vec4(lit(albedo, world_normal, gl_FrontFacing), 1.0);
}
""",
)
"""Vertex and fragment shader that light each pixel."""

LIT_PER_VERTEX = (
    FADING_INPUTS
    + DECODED_FUNCTION
    + _LIGHTING_FUNCTION
    + """
out vec3 front_color;
out vec3 back_color;
out float opacity;

void main() {
    opacity = shown;
    gl_Position = model_to_clip * vec4(position, 1.0);
    front_color = lit(decoded(paint.rgb), normal_to_world * normal, true);
    back_color = lit(decoded(paint.rgb), normal_to_world * normal, false);
}
""",
    """
in vec3 front_color;
in vec3 back_color;
in float opacity;

out vec4 color;

void main() {
    color = opacity * vec4(gl_FrontFacing ? front_color : back_color, 1.0);
}
""",
)
"""The same light, at each vertex: where triangles are a few pixels wide the same picture at half the cost."""

FLAT = (
    FADING_INPUTS
    + """
out float opacity;

void main() {
    opacity = shown;
    gl_Position = model_to_clip * vec4(position, 1.0);
}
""",
    """
uniform vec3 flat_color;

in float opacity;

out vec4 color;

void main() {
    color = opacity * vec4(flat_color, 1.0);
}
""",
)
"""One colour, without light."""
