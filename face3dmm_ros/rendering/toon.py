"""GLSL of cel shading: light in a few soft-edged bands, a bright rim on the lit side, flat colours and a dark outline.

Light is cut into bands over N·L (Lake et al., NPAR 2000), N the unit normal and L the unit vector toward the light. The
outline is an inverted hull: the surface's back, pushed out along its normals and drawn dark, so that it shows only
where it stands out beyond the front. Colours are mixed as they are stored, in sRGB, which is how painters pick them.
"""

from face3dmm_ros.rendering.lighting import FADING_INPUTS, FLAT, MESH_INPUTS

SHADOW_TINT, MIDDLE_TINT = (0.66, 0.54, 0.66), (0.87, 0.80, 0.87)
"""Factors of an sRGB colour; chosen by hand: shadows of a painted face are cool."""

TOON_FUNCTION = (
    f"""
const vec3 SHADOW_TINT = vec3{SHADOW_TINT}, MIDDLE_TINT = vec3{MIDDLE_TINT};
"""
    + """
// What a surface of an sRGB colour shows; N and to_light are of unit length, z toward the viewer.
vec3 toon(vec3 srgb, vec3 N, vec3 to_light) {
    float cosine = dot(N, to_light);
    float middle = smoothstep(-0.02, 0.08, cosine), bright = smoothstep(0.38, 0.50, cosine);
    vec3 tint = mix(mix(SHADOW_TINT, MIDDLE_TINT, middle), vec3(1.0), bright);
    float rim = smoothstep(0.66, 0.80, 1.0 - N.z) * smoothstep(0.15, 0.35, cosine);
    return mix(srgb * tint, vec3(1.0), 0.35 * rim);
}
"""
)
"""The shading of one surface point. Bands and rim were chosen by hand."""

HULL_FUNCTION = """
uniform vec3 outline_width;  // in clip space, along each axis

// A corner of the inverted hull, N the unit normal in the world.
vec4 pushed_out(vec4 clip, vec3 N) {
    // Rows of the canvas go down in clip space. The hull lies back by its own width: it is to show around the surface
    // and where one part stands out before another, but not in every shallow fold.
    vec2 outward = N.xy / max(length(N.xy), 0.25);
    return clip + vec4(vec3(outward.x, -outward.y, 1.0) * outline_width, 0.0);
}
"""
"""For vertex shaders of outlines under an orthographic projection (w of clip space is 1)."""

PAINTED_VERTEX = (
    MESH_INPUTS
    + """
out vec4 paint_at;
out vec3 normal_at;

void main() {
    gl_Position = model_to_clip * vec4(position, 1.0);
    paint_at = paint;
    normal_at = normal_to_world * normal;
}
"""
)
"""Vertex shader of a painted mesh."""

TOON = (
    FADING_INPUTS
    + """
out vec3 paint_at;
out vec3 normal_at;
out float opacity;

void main() {
    gl_Position = model_to_clip * vec4(position, 1.0);
    paint_at = paint.rgb;
    normal_at = normal_to_world * normal;
    opacity = shown;
}
""",
    TOON_FUNCTION
    + """
in vec3 paint_at;
in vec3 normal_at;
in float opacity;

uniform vec3 to_light;

out vec4 color;

// Brightness in soft steps and a stronger hue, as if painted with few colours.
vec3 flattened(vec3 srgb) {
    const float STEPS = 6.0;
    float brightness = max(dot(srgb, vec3(0.3, 0.59, 0.11)), 1e-3);
    float step_at = brightness * STEPS;
    float painted = (floor(step_at) + smoothstep(0.35, 0.65, fract(step_at)) + 0.15) / STEPS;
    vec3 flat_color = srgb * (painted / brightness);
    return clamp(painted + 1.35 * (flat_color - painted), 0.0, 1.0);
}

void main() {
    vec3 N = normalize(gl_FrontFacing ? normal_at : -normal_at);
    color = opacity * vec4(toon(flattened(paint_at), N, to_light), 1.0);
}
""",
)
"""Vertex and fragment shader of a face in its own colours."""

OUTLINE = (
    FADING_INPUTS
    + HULL_FUNCTION
    + """
out float opacity;

void main() {
    opacity = shown;
    gl_Position = pushed_out(model_to_clip * vec4(position, 1.0), normalize(normal_to_world * normal));
}
""",
    FLAT[1],
)
"""Vertex and fragment shader of the inverted hull, whose front faces are to be culled."""
