"""GLSL of the synthetic scenes' materials: skin, eyes, hair, teeth, plain surfaces (cloth, objects) and glass.

Light is a key light with a shadow map, a fill light without, and ambient light that varies with direction (the
first three bands of spherical harmonics; Ramamoorthi & Hanrahan, SIGGRAPH 2001), darkened by ambient occlusion per
vertex. Skin scatters light past the terminator, red farthest: wrapped diffuse light per channel (Green, GPU Gems,
chapter 16, 2004). Hair has the highlight of a strand along its tangent (Kajiya & Kay, SIGGRAPH 1989).

Detail finer than the mesh (brows, freckles, pores, stubble, iris) is a function of the place on the mean face, so that
it sticks to the skin of every identity and expression. Colours, sizes and strengths are chosen by hand, looking at
renders of the default model.
"""

from face3dmm_ros.rendering.lighting import DECODED_FUNCTION

_PASSED_ON = """
out vec3 place_at;
out vec3 model_at;
out vec3 albedo_at;
out vec3 normal_at;
out vec3 shadow_at;
out vec4 traits_at;
out vec4 masks_at;
out vec2 uv_at;
out vec2 unrolled_at;  // the place on the face unrolled as from a cylinder, mm
"""
"""What the vertex shader puts out; with `in` for `out` what the fragment shaders take."""

_VERTEX = (
    DECODED_FUNCTION
    + _PASSED_ON
    + """
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec3 place;
layout(location = 3) in vec3 srgb;
layout(location = 4) in vec4 traits;
layout(location = 5) in vec4 masks;
layout(location = 6) in vec2 uv;

uniform mat4 model_to_clip;
uniform mat4 model_to_shadow;
uniform mat3 normal_to_world;
uniform float lift;  // mm toward the viewer, in depth alone

void main() {
    gl_Position = model_to_clip * vec4(position, 1.0);
    if (lift > 0.0) {
        vec4 lifted = model_to_clip * vec4(position + lift * (vec3(0.0, 0.0, 1.0) * normal_to_world), 1.0);
        gl_Position.z = lifted.z / lifted.w * gl_Position.w;
    }
    place_at = place;
    model_at = position;
    albedo_at = decoded(srgb);
    normal_at = normal_to_world * normal;
    // Moved out along the normal, so that a surface does not shadow itself.
    shadow_at = (model_to_shadow * vec4(position + 1.5 * normal, 1.0)).xyz * 0.5 + 0.5;
    traits_at = traits;
    masks_at = masks;
    uv_at = uv;
    unrolled_at = vec2(75.0 * atan(place.x, place.z + 95.0), place.y);
}
"""
)

_LIGHT = (
    _PASSED_ON.replace("out ", "in ")
    + """
out vec4 color;

uniform sampler2DShadow shadow_map;
uniform sampler2D tone_noise;    // r: blotches, g: spots, b: fine, a: medium; all in [0, 1] about 0.5
uniform sampler2D relief_noise;  // rg: slope of a fine relief, about 0.5
uniform sampler2D strand_noise;  // r: strands that run along v

uniform mat3 normal_to_world;
uniform vec3 to_key;
uniform vec3 key_color;
uniform vec3 to_fill;
uniform vec3 fill_color;
uniform vec3 ambient_mean;
uniform mat3 ambient_slope;  // rows: red, green, blue; columns: x, y, z
uniform mat3 ambient_bend;   // likewise; columns: xy, yz, zx
uniform mat3 ambient_bulge;  // likewise; columns: x², y², z²
uniform float shadow_softness;

const vec3 TO_VIEWER = vec3(0.0, 0.0, 1.0);

vec3 encoded(vec3 linear) {
    // Film's shoulder: what is brighter than 0.6 approaches white slowly.
    vec3 over = max(linear - 0.6, 0.0) / 0.4;
    linear = max(min(linear, 0.6) + 0.4 * over / (1.0 + over), 0.0);
    // sRGB's curve to half a step of 255, from square roots, which are four times as fast as its power.
    vec3 root = sqrt(linear), fourth = sqrt(root);
    return max(0.662002687 * root + 0.684122060 * fourth - 0.323583601 * sqrt(fourth) - 0.0225411470 * linear, 0.0);
}

float lit_by_key() {
    vec3 at = vec3(shadow_at.xy, min(shadow_at.z, 1.0));
    float s = shadow_softness;
    return 0.25 * (texture(shadow_map, at + vec3(s, 0.4 * s, 0.0)) + texture(shadow_map, at + vec3(-s, -0.4 * s, 0.0))
                 + texture(shadow_map, at + vec3(-0.4 * s, s, 0.0)) + texture(shadow_map, at + vec3(0.4 * s, -s, 0.0)));
}

vec3 ambient(vec3 N) {
    return max(ambient_mean + ambient_slope * N + ambient_bend * (N * N.yzx) + ambient_bulge * (N * N), 0.0);
}

vec3 lambert(vec3 N, float key) {
    return key * max(dot(N, to_key), 0.0) * key_color + max(dot(N, to_fill), 0.0) * fill_color;
}

vec3 highlight(vec3 N, float key, float shininess) {
    float grazing = 1.0 - max(dot(N, TO_VIEWER), 0.0);
    float fresnel = 0.35 + 0.65 * grazing * grazing * grazing;  // of its value at grazing angles
    float a = pow(max(dot(N, normalize(to_key + TO_VIEWER)), 1e-4), shininess) * max(dot(N, to_key), 0.0);
    float b = max(dot(N, normalize(to_fill + TO_VIEWER)), 0.0);
    b *= b;
    b *= b;
    b *= b * b;  // a wide highlight; the fill light is large
    return fresnel * (0.02 * shininess + 0.3) * (key * a * key_color + b * max(dot(N, to_fill), 0.0) * fill_color);
}
"""
)

_SKIN = """
// traits: ambient occlusion, lips, beard, scalp. masks: mouth interior, face, skin detail, colours of
// the vertices in place of the picture's.
uniform vec2 offset;          // of the noise, so that no two skins are alike
uniform vec3 hair_color;      // linear
uniform vec3 brow_color;      // linear
uniform vec4 brow_curve;      // height of the brow's middle: x + y a + z a², with a along it; w: half its width, mm
uniform vec2 brow_span;       // distance of its ends from the midline, mm
uniform float brow_density;
uniform vec3 nostril;         // the left one's middle on the mean, mm; the right one is its mirror image
uniform float blotches;
uniform float freckles;
uniform float pores;
uniform float stubble;
uniform float scalp_cover;
uniform float gloss;
uniform float makeup;
uniform sampler2D picture;    // of the skin, where its alpha is 1
uniform float pictured;       // whether there is one
uniform vec3 picture_gain;
uniform float mirrors;        // whether a place is mirrored

float brow(vec3 place) {
    float side = abs(place.x);
    float along = (side - brow_span.x) / (brow_span.y - brow_span.x);
    float middle = brow_curve.x + along * (brow_curve.y + along * brow_curve.z);
    float width = brow_curve.w * (1.15 - 0.6 * clamp(along, 0.0, 1.0));
    float across = (place.y - middle) / width;
    // Hairs stand up at the nose side and lie down toward the temple.
    vec2 comb = vec2(0.035 * side + 0.03 * sign(place.x), 0.0)
              + across * width * mix(vec2(0.002, 0.02), vec2(-0.03, 0.008), clamp(along, 0.0, 1.0));
    float hairs = texture(strand_noise, vec2(comb.x * 0.9 + offset.x, comb.y * 2.0 + offset.y)).r;
    float ends = smoothstep(-0.05, 0.12, along) * (1.0 - smoothstep(0.8, 1.12, along));
    float cover = exp(-across * across) * ends;
    float wild = texture(tone_noise, place.xy / 23.0 + offset).b;
    return clamp(brow_density * cover * (0.45 + 0.8 * hairs + 0.7 * wild), 0.0, 0.95);
}

void main() {
    float ao = traits_at.x, lips = traits_at.y, beard = traits_at.z, scalp = traits_at.w;
    float interior = masks_at.x, face = masks_at.y, detail = masks_at.z * (1.0 - interior);
    vec2 at = unrolled_at;
    vec4 coarse = texture(tone_noise, at / 190.0 + offset) - 0.5;
    vec4 fine = texture(tone_noise, at / 37.0 + offset.yx) - 0.5;
    vec2 slope = texture(relief_noise, at / 46.0 + offset).rg - 0.5;

    vec3 albedo = albedo_at;
    if (pictured > 0.0) {
        vec4 painted = texture(picture, uv_at);
        albedo = mix(albedo, picture_gain * painted.rgb, painted.a * (1.0 - masks_at.w));
    }
    albedo *= 1.0 + detail * blotches * (vec3(0.3, 0.8, 0.9) * coarse.r + 0.25 * coarse.a);
    albedo *= 1.0 + detail * pores * 0.5 * fine.b;
    float spots = smoothstep(0.12, 0.3, fine.g + 0.35 * coarse.r);
    albedo *= mix(vec3(1.0), vec3(0.72, 0.52, 0.42), detail * face * freckles * spots * (1.0 - lips));
    albedo *= mix(vec3(1.0), 0.85 + 0.5 * vec3(fine.a), lips);
    albedo = mix(albedo, albedo * vec3(0.9, 0.35, 0.4), makeup * lips);
    float shadow_of_beard = stubble * beard * (0.55 + 0.9 * fine.b);
    vec3 roots = 0.5 * hair_color + vec3(0.015, 0.017, 0.02);
    albedo = mix(albedo, roots, clamp(0.6 * shadow_of_beard, 0.0, 0.9) * (1.0 - lips));
    albedo = mix(albedo, hair_color, clamp(scalp_cover * scalp * (0.9 + 0.9 * fine.b), 0.0, 1.0));
    if (face > 0.0) {
        albedo = mix(albedo, brow_color, brow(place_at) * min(4.0 * face, 1.0));
    }
    vec3 from_nostril = (vec3(abs(place_at.x), place_at.yz) - nostril) / vec3(3.4, 2.6, 4.2);
    float hole = exp(-dot(from_nostril, from_nostril));
    albedo = max(albedo, 0.0) * mix(vec3(1.0), vec3(0.16, 0.08, 0.07), hole);

    float relief = detail * pores * 1.1;
    vec3 N = normalize(normalize(normal_at) + relief * (normal_to_world * vec3(slope, 0.0)));
    float key = lit_by_key();
    // Light wraps around the terminator: red reaches farthest through skin.
    vec3 wrap = mix(vec3(0.28, 0.14, 0.1), vec3(0.0), interior);
    vec3 cosine = max((dot(N, to_key) + wrap) / (1.0 + wrap), 0.0);
    vec3 diffuse = cosine * mix(vec3(key), sqrt(vec3(key)), wrap) * key_color + max(dot(N, to_fill), 0.0) * fill_color;
    vec3 occlusion = ao * mix(vec3(1.15, 0.96, 0.92), vec3(1.0), ao);  // what skin reflects onto itself is red
    float shine = gloss * ao * (0.7 + 0.6 * fine.a + 0.5 * coarse.a) * (1.0 + 1.2 * lips);
    shine *= (1.0 - hole) * (1.0 - 0.6 * scalp * scalp_cover);
    vec3 light = ambient(N) * occlusion + diffuse * mix(1.0, ao, 0.35);
    vec3 mirrored = shine * highlight(N, key, mix(14.0, 34.0, lips + interior));
    if (mirrors > 0.0) {
        float grazing = 1.0 - max(dot(N, TO_VIEWER), 0.0);
        mirrored += shine * (0.08 + 0.7 * grazing * grazing * grazing) * ao * ambient(reflect(-TO_VIEWER, N));
    }
    color = vec4(encoded(albedo * light + mirrored), 1.0);
}
"""

_EYE = """
// traits: ambient occlusion.
uniform vec3 eye_center;      // of the left eyeball on the mean, mm, which looks along z; the right: mirrored
uniform vec3 iris_color;      // linear
uniform float iris_radius;    // cosine-free angle, radians
uniform float pupil_radius;   // radians
uniform float redness;
uniform vec2 offset;
uniform sampler2D picture;    // of an eye that looks at the viewer
uniform float pictured;       // whether there is one
uniform vec2 in_picture;      // the iris's share of the picture, and the pupil's of the iris
uniform sampler2D mirrored_place;  // root of the light of `Panorama.small`, over 16
uniform float mirrors;        // whether there is one
uniform vec3 place_gain;
uniform float place_turn;     // of a whole turn
uniform mat3 upper_lid;       // columns: left, right eye; the lid's height is a + b (x − c)², a column being (a, b, c)

void main() {
    float side = place_at.x < 0.0 ? -1.0 : 1.0;
    vec3 mirror = vec3(side, 1.0, 1.0);
    vec3 d = normalize(place_at * mirror - eye_center);
    float angle = acos(clamp(d.z, -1.0, 1.0));
    vec2 around = normalize(d.xy + 1e-5);
    float turn = atan(around.y, around.x) / 6.2831853;
    float r = angle / iris_radius;

    float fibre = texture(strand_noise, vec2(2.0 * turn + offset.x, 0.25 * r)).r;
    vec3 iris = iris_color * (0.55 + 0.9 * fibre) * mix(1.5, 0.75, smoothstep(0.35, 0.9, r));
    iris *= 1.0 - 0.75 * smoothstep(0.82, 1.0, r);
    float p = pupil_radius / iris_radius;
    iris = mix(vec3(0.004), iris, smoothstep(p - 0.06, p + 0.06, r));
    float veins = texture(tone_noise, vec2(3.0 * turn, 0.9 * angle) + offset).a;
    vec3 sclera = mix(vec3(0.56, 0.52, 0.49), vec3(0.50, 0.27, 0.23),
                      clamp(redness * (smoothstep(0.6, 1.3, angle) + 0.8 * veins - 0.25), 0.0, 0.8));
    vec3 albedo = mix(iris, sclera, smoothstep(0.95, 1.1, r));
    if (pictured > 0.0) {
        float q = in_picture.y;
        float stretched = r < p ? r * q / p : r < 1.0 ? q + (r - p) * (1.0 - q) / (1.0 - p) : r;
        vec2 from_middle = 0.5 * in_picture.x * stretched * around * vec2(1.0, -1.0);
        from_middle *= min(1.0, 0.49 / max(length(from_middle), 1e-4));
        albedo = texture(picture, 0.5 + from_middle).rgb * mix(0.55, 1.05, smoothstep(0.92, 1.1, r));
        albedo *= mix(vec3(1.0), vec3(1.0, 0.86, 0.84), redness);
    }

    vec3 lid = side > 0.0 ? upper_lid[0] : upper_lid[1];
    float below = lid.x + lid.y * (model_at.x - lid.z) * (model_at.x - lid.z) - model_at.y;
    float shade = mix(0.2, 1.0, smoothstep(-0.6, 4.2, below)) * mix(0.55, 1.0, traits_at.x);

    vec3 N = normalize(normal_at);
    float key = lit_by_key();
    vec3 light = ambient(N) + lambert(N, key);
    // The cornea bulges: its highlights are small, sharp, and lie over the iris.
    vec3 tilt = normal_to_world * (vec3(d.xy, 0.0) * mirror);
    vec3 cornea = normalize(N + 0.35 * (1.0 - smoothstep(0.0, 1.1, r)) * tilt);
    vec3 R = reflect(-TO_VIEWER, cornea);
    vec3 mirrored = key_color * pow(max(dot(R, to_key), 1e-4), 130.0) * 2.2 * mix(0.35, 1.0, key)
                  + fill_color * pow(max(dot(R, to_fill), 1e-4), 90.0)
                  + 0.035 * ambient(R);
    if (mirrors > 0.0) {
        vec2 seen = vec2(atan(-R.x, R.z) / 6.2831853 - place_turn + 0.5, 0.5 - asin(clamp(R.y, -1.0, 1.0)) / 3.1415927);
        vec3 root = textureLod(mirrored_place, seen, 0.0).rgb;
        float grazing = 1.0 - max(dot(cornea, TO_VIEWER), 0.0);
        // Of a lamp no more than a highlight: lids and lashes hide most of it.
        mirrored = 0.5 * mirrored + min((0.016 + 0.04 * pow(grazing, 4.0)) * 16.0 * root * root * place_gain, 0.4);
    }
    color = vec4(encoded((albedo * light + mirrored) * shade), 1.0);
}
"""

_HAIR = """
// place: u around the head (strands), v from root (0) to tip (1), layer. traits: ambient occlusion, curl, gloss, fray.
uniform vec2 offset;

void main() {
    float layer = place_at.z;
    float fray = 0.35 * traits_at.w;  // how far strands end unevenly, a share of the length
    float curl = traits_at.y;
    vec2 at = vec2(place_at.x * 0.16, place_at.y * mix(0.35, 3.0, curl)) + offset;
    float strands = texture(strand_noise, at).r;
    float clumps = texture(tone_noise, vec2(at.x * 0.7, at.y * mix(0.25, 1.5, curl))).a;
    float coarse = texture(strand_noise, vec2(at.x * 0.23, at.y * 0.5)).r;
    float edge = place_at.y + fray * (0.7 * (coarse - 0.5) + 0.5 * (strands - 0.5));
    float cover = clamp(9.0 * (1.0 - 0.5 * fray - edge), 0.0, 1.0)
                * (layer > 0.0 ? smoothstep(layer - 0.08, layer + 0.08, mix(strands, clumps, curl)) : 1.0);
    if (cover < 0.02) {
        discard;
    }
    vec3 N = normalize(gl_FrontFacing ? normal_at : -normal_at);
    vec3 up = normal_to_world * vec3(0.0, 1.0, 0.0);
    vec3 T = normalize(up - dot(up, N) * N + 1e-4 + 0.5 * (strands - 0.5) * normal_to_world[0]);
    float key = gl_FrontFacing ? texture(shadow_map, vec3(shadow_at.xy, min(shadow_at.z, 1.0))) : 0.25;
    float ao = traits_at.x * (gl_FrontFacing ? 1.0 : 0.35);
    vec3 albedo = albedo_at * (0.35 + 0.8 * strands + 0.5 * clumps);
    vec3 light = ambient(N) * ao + lambert(N, key) * mix(0.4, 1.0, ao);
    vec3 H = normalize(to_key + TO_VIEWER);
    float along = dot(T, H) + 0.25 * (coarse - 0.5);
    float strand = pow(sqrt(max(1.0 - along * along, 0.0)), 48.0) * max(dot(N, to_key) + 0.2, 0.0);
    vec3 shine = traits_at.z * key * strand * key_color * (0.05 + 0.5 * albedo_at);
    color = vec4(encoded(albedo * light + shine), cover);
}
"""

_PLAIN = """
// traits: ambient occlusion, gloss, sharpness of the highlight, strength of the weave.
// masks: stripes, checks, opacity, folds.
uniform vec2 offset;

void main() {
    vec2 at = place_at.xy;
    float weave = texture(tone_noise, at / 30.0 + offset).b - 0.5;
    vec2 folds = texture(relief_noise, at / 800.0 + offset).rg - 0.5;
    vec3 albedo = albedo_at * (1.0 + 0.6 * traits_at.w * weave);
    float stripe = step(0.5, fract(at.y / 26.0)), column = step(0.5, fract(at.x / 26.0));
    albedo = mix(albedo, 0.55 * albedo + 0.25, masks_at.x * stripe + masks_at.y * mix(stripe, column, 0.5));
    vec3 N = normalize(gl_FrontFacing ? normal_at : -normal_at);
    N = normalize(N + masks_at.w * (normal_to_world * vec3(folds, 0.0)));
    float key = lit_by_key();
    vec3 light = ambient(N) * traits_at.x + lambert(N, key) * mix(0.5, 1.0, traits_at.x);
    vec3 shine = traits_at.y * highlight(N, key, 4.0 + 120.0 * traits_at.z);
    float opacity = clamp(masks_at.z + dot(shine, vec3(0.33)), 0.0, 1.0);
    color = vec4(encoded(albedo * light + shine) * opacity, opacity);
}
"""

_TOOTH = """
// traits: ambient occlusion.
void main() {
    float gap = abs(fract(abs(place_at.x) / 7.3) - 0.5);  // 0 in a tooth's middle
    vec3 albedo = albedo_at * mix(1.0, 0.35, smoothstep(0.4, 0.5, gap));
    vec3 N = normalize(normal_at + normal_to_world * vec3(1.2 * (fract(place_at.x / 7.3 + 0.5) - 0.5), 0.0, 0.0));
    float key = lit_by_key();
    vec3 light = ambient(N) * traits_at.x + lambert(N, key) * mix(0.4, 1.0, traits_at.x);
    color = vec4(encoded(albedo * light + 0.25 * traits_at.x * highlight(N, key, 60.0)), 1.0);
}
"""

_CARD = """
// uv: in the picture. traits: ambient occlusion, gloss.
uniform sampler2D picture;  // brightness and alpha
uniform float fine;         // whether it is blended with what is behind it, not with a pixel's other samples

void main() {
    vec4 painted = texture(picture, uv_at);
    // Sharpened, so that hair hides what is behind it where its alpha is more than half.
    float cover = clamp(fine > 0.0 ? 1.15 * painted.a : 3.0 * painted.a - 1.0, 0.0, 1.0);
    if (cover < 0.02) {
        discard;
    }
    vec3 N = normalize(normal_at);
    vec3 up = normal_to_world * vec3(0.0, 1.0, 0.0);
    vec3 T = normalize(up - dot(up, N) * N + 1e-4 + 1.2 * (painted.r - 0.25) * normal_to_world[0]);
    vec3 albedo = albedo_at * 4.0 * painted.rgb;
    float key = mix(0.3, 1.0, texture(shadow_map, vec3(shadow_at.xy, min(shadow_at.z, 1.0))));
    float ao = traits_at.x;
    vec3 light = ambient(N) * ao + lambert(N, key) * mix(0.4, 1.0, ao);
    float along = dot(T, normalize(to_key + TO_VIEWER)) + 0.4 * (painted.r - 0.25);
    float strand = pow(max(1.0 - along * along, 1e-4), 20.0) * max(dot(N, to_key) + 0.2, 0.0);
    vec3 shine = traits_at.y * key * ao * strand * key_color * (0.04 + 0.5 * albedo);
    color = vec4(encoded(albedo * light + shine) * mix(1.0, cover, fine), cover);
}
"""

CARD = (_VERTEX, _LIGHT + _CARD)
"""Vertex and fragment shader of things that show a picture with holes."""

MATERIALS = {
    "skin": (_VERTEX, _LIGHT + _SKIN),
    "eye": (_VERTEX, _LIGHT + _EYE),
    "tooth": (_VERTEX, _LIGHT + _TOOTH),
    "hair": (_VERTEX, _LIGHT + _HAIR),
    "fur": (_VERTEX, _LIGHT + _HAIR),
    "plain": (_VERTEX, _LIGHT + _PLAIN),
    "glass": (_VERTEX, _LIGHT + _PLAIN),
}
"""Vertex and fragment shader of each material. Fur is hair seen from outside alone; glass is drawn last, blended with
what is behind it."""

SHADOW = (
    """
layout(location = 0) in vec3 position;

uniform mat4 model_to_shadow;

void main() {
    gl_Position = model_to_shadow * vec4(position, 1.0);
}
""",
    "void main() {}\n",
)
"""Depth alone, seen from the key light."""

CARD_SHADOW = (
    """
layout(location = 0) in vec3 position;
layout(location = 6) in vec2 uv;

uniform mat4 model_to_shadow;
out vec2 uv_at;

void main() {
    gl_Position = model_to_shadow * vec4(position, 1.0);
    uv_at = uv;
}
""",
    """
in vec2 uv_at;
uniform sampler2D picture;

void main() {
    if (texture(picture, uv_at).a < 0.5) {
        discard;
    }
}
""",
)
"""Likewise, of what shows a picture with holes."""

SAMPLERS = ("shadow_map", "tone_noise", "relief_noise", "strand_noise", "picture", "mirrored_place")
"""The texture units that the materials read, in order."""
