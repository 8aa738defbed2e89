"""GLSL of the character: its painted surface, its eyes and its outline, shaded by `toon`.

Numbers in the shaders were chosen by hand.
"""

from face3dmm_ros.rendering.lighting import MESH_INPUTS
from face3dmm_ros.rendering.toon import HULL_FUNCTION, PAINTED_VERTEX, TOON_FUNCTION

SURFACE = (
    PAINTED_VERTEX,
    TOON_FUNCTION
    + """
in vec4 paint_at;
in vec3 normal_at;

uniform vec3 to_light;
uniform vec3 halfway;  // between the light and the viewer

out vec4 color;

void main() {
    vec3 N = normalize(normal_at);
    float shine = paint_at.a * smoothstep(0.93, 0.965, dot(N, halfway));
    color = vec4(mix(toon(paint_at.rgb, N, to_light), vec3(1.0), shine), 1.0);
}
""",
)
"""Vertex and fragment shader of all but the eyes; back faces are to be culled."""

EYE = (
    MESH_INPUTS
    + """
uniform vec3 eye_center;  // of the left eye, mm; the right one's is its mirror image
uniform vec3 eye_radii;

out vec3 ball_at;   // on the unit sphere that the eyeball is a scaled one of
out float side_at;  // 1 on the left eye, 0 on the right one

void main() {
    gl_Position = model_to_clip * vec4(position, 1.0);
    side_at = step(0.0, position.x);
    ball_at = (position - eye_center * vec3(2.0 * side_at - 1.0, 1.0, 1.0)) / eye_radii;
}
""",
    """
in vec3 ball_at;
in float side_at;

uniform mat3 gaze;   // columns: where the left and the right eye look, unit vectors
uniform mat3 glint;  // columns: where the light is mirrored on each
uniform vec3 iris_color;

out vec4 color;

const float IRIS = 0.60, PUPIL = 0.31, GLINT = 0.155;  // radii on the unit sphere

float inside(float distance, float radius) {
    float soft = 0.7 * fwidth(distance) + 0.004;
    return 1.0 - smoothstep(radius - soft, radius + soft, distance);
}

void main() {
    vec3 d = normalize(ball_at);
    vec3 toward = side_at > 0.5 ? gaze[0] : gaze[1], light = side_at > 0.5 ? glint[0] : glint[1];
    float r = distance(d, toward);
    float down = 0.5 - (d.y - toward.y) / (2.0 * IRIS);  // 0 at the iris's top, 1 at its bottom
    vec3 iris = mix(0.55 * iris_color, min(1.25 * iris_color + 0.08, 1.0), smoothstep(0.25, 0.95, down));
    iris = mix(0.30 * iris_color, iris, inside(r, 0.87 * IRIS));
    iris = mix(iris, vec3(0.06, 0.03, 0.08), inside(r, PUPIL));
    vec3 white = mix(vec3(0.98, 0.97, 1.0), vec3(0.80, 0.77, 0.90), smoothstep(0.75, 1.0, r));
    vec3 ball = mix(white, iris, inside(r, IRIS));
    ball *= mix(vec3(1.0), vec3(0.70, 0.62, 0.80), smoothstep(0.20, 0.26, d.y));  // the lid's shadow
    float shine = max(inside(distance(d, light), GLINT), 0.75 * inside(distance(d, 2.0 * toward - light), 0.5 * GLINT));
    color = vec4(mix(ball, vec3(1.0), shine), 1.0);
}
""",
)
"""Vertex and fragment shader of the eyes."""

HULL = (
    MESH_INPUTS
    + HULL_FUNCTION
    + """
out vec3 ink_at;

void main() {
    gl_Position = pushed_out(model_to_clip * vec4(position, 1.0), normalize(normal_to_world * normal));
    ink_at = 0.38 * paint.rgb;
}
""",
    """
in vec3 ink_at;

out vec4 color;

void main() {
    color = vec4(ink_at, 1.0);
}
""",
)
"""Vertex and fragment shader of the outline, a dark shade of the surface's own colour; front faces are to be culled."""
