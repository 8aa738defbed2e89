"""GLSL of a melon in a head's place: its rind, and the parts of a face that show on it.

Colours are mixed as they are stored, in sRGB: light multiplies them by its own 1/2.2-th power, which is near enough to
the exact curve for an object whose colour nobody knows. Numbers in the shaders were chosen by hand.
"""

RIND = (
    """
layout(location = 0) in vec3 position;  // model space, mm
layout(location = 1) in vec3 normal;    // model space
layout(location = 2) in vec2 rind;      // texture coordinates

uniform mat4 model_to_clip;
uniform mat3 normal_to_world;
uniform vec3 to_light;  // unit vector in the world
uniform float exposure;

out vec2 rind_at;
out vec3 light;
out vec2 gleam;  // cosines of the highlight of the key light, and of that of the sky

const vec3 KEY = vec3(0.88, 0.84, 0.77);
const vec3 SKY = vec3(0.36, 0.38, 0.42);
const vec3 GROUND = vec3(0.16, 0.15, 0.13);

void main() {
    gl_Position = model_to_clip * vec4(position, 1.0);
    vec3 N = normalize(normal_to_world * normal);
    // Light wraps around a little, as on all that is thick and waxy.
    float lambert = clamp((dot(N, to_light) + 0.35) / 1.35, 0.0, 1.0);
    vec3 sum = mix(GROUND, SKY, 0.5 + 0.5 * N.y) + lambert * lambert * KEY;
    // Toward its outline it turns away from the room, which makes it round.
    sum *= 0.50 + 0.50 * smoothstep(0.0, 0.75, N.z);
    light = pow(exposure * sum, vec3(1.0 / 2.2));
    rind_at = rind;
    gleam = vec2(dot(N, normalize(to_light + vec3(0.0, 0.0, 1.0))), dot(N, normalize(vec3(-0.75, 0.35, 0.75))));
}
""",
    """
in vec2 rind_at;
in vec3 light;
in vec2 gleam;

uniform sampler2D rind_texture;  // sRGB, and how much it shines
uniform float exposure;

out vec4 color;

void main() {
    vec4 rind = texture(rind_texture, rind_at);
    vec2 c = max(gleam, 0.0);
    c *= c;
    c *= c;
    c *= c;                        // to the 8th
    float wide = c.x * c.x;        // 16th
    float narrow = wide * wide;    // 32nd
    narrow *= narrow;              // 64th
    c.y *= c.y * c.y;              // 24th
    float shine = exposure * rind.a * (0.10 * wide + 0.42 * narrow + 0.10 * c.y);
    color = vec4(rind.rgb * light + shine, 1.0);
}
""",
)
"""Vertex and fragment shader of the melon itself."""

CUTOUT = (
    """
layout(location = 0) in vec3 position;  // model space, mm, on the melon
layout(location = 1) in vec2 picture;   // texture coordinates
layout(location = 2) in vec3 place;     // see below
layout(location = 3) in vec3 tone;      // of the skin around, sRGB

uniform mat4 model_to_clip;

out vec2 picture_at;
out vec3 place_at;
out vec3 tone_at;

void main() {
    gl_Position = model_to_clip * vec4(position, 1.0);
    picture_at = picture;
    place_at = place;
    tone_at = tone;
}
""",
    """
in vec2 picture_at;
in vec3 place_at;  // x: below 0 the picture itself shows, above 1 only its relief; y: at 1 nothing of it; z: visibility
in vec3 tone_at;

uniform sampler2D picture_texture;
uniform float brightness;

// What is drawn is: what was there · kept + added.
layout(location = 0, index = 0) out vec4 added;
layout(location = 0, index = 1) out vec4 kept;

void main() {
    vec3 pixel = texture(picture_texture, picture_at).rgb;
    // It ends a little before the face does: beyond its outline the picture shows what is behind.
    float seen = smoothstep(0.3, 1.0, place_at.z);
    float own = seen * (1.0 - smoothstep(0.0, 1.0, place_at.x));
    float relief = seen * (1.0 - smoothstep(0.55, 1.0, place_at.y));
    // Against the tone of the skin only what lies on it is left: brows, lashes, folds and shades.
    vec3 ratio = pixel / max(tone_at, 0.04);
    float grey = dot(ratio, vec3(0.3, 0.5, 0.2));
    ratio = mix(vec3(grey), ratio, 0.35);
    vec3 gloss = clamp(ratio - 1.0, 0.0, 0.5);
    // Brighter, with black and white where they are.
    vec3 bright = brightness * pixel / (1.0 + (brightness - 1.0) * pixel);
    added = vec4(own * bright + (1.0 - own) * relief * 0.25 * gloss, 0.0);
    ratio = min(ratio, 1.0);
    kept = vec4((1.0 - own) * mix(vec3(1.0), ratio * sqrt(ratio), relief), 1.0);  // a little stronger than life
}
""",
)
"""Vertex and fragment shader of a part of a face on the melon; blended from two sources."""
