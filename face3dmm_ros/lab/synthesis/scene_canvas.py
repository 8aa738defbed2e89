"""The OpenGL objects behind the synthetic scenes: meshes by material, a shadow map, and one framebuffer.

As `gl_objects`, it may be imported only once a context is open.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.lab.synthesis.parts import Card, Head, VertexArrays, joined
from face3dmm_ros.lab.synthesis.scene_shaders import CARD, CARD_SHADOW, MATERIALS, SAMPLERS, SHADOW
from face3dmm_ros.rendering.framebuffer import SampledFramebuffer
from face3dmm_ros.rendering.gl_objects import ShaderProgram, VertexArray, prepare, texture

Uniforms = Mapping[str, object]

_SHADOW_SIDE = 384  # px of the shadow map; chosen by hand: more is slower, less shows steps in the shadows
_PICTURE_UNIT = GL.GL_TEXTURE0 + SAMPLERS.index("picture")
_MOST_PICTURES = 80  # kept on the graphics card, 5 MB each and less; chosen by hand
_TWO_SIDED = frozenset({"hair", "plain", "glass"})
# Strands fade by the share of a pixel's samples that they cover; glass is mixed with what is behind it.
_FADING = (GL.GL_SAMPLE_ALPHA_TO_COVERAGE, GL.GL_SAMPLE_ALPHA_TO_ONE)
_STATES = {"hair": _FADING, "fur": _FADING, "glass": (GL.GL_BLEND,)}
_FORMATS = [
    (3, np.float32), (3, np.float32), (3, np.float32), (3, np.uint8), (4, np.uint8), (4, np.uint8), (2, np.float32),
]  # fmt: skip
"""Numbers per vertex and their type in each of `VertexArrays`."""


class _MaterialMesh:
    """Vertices and triangles by material, glass last."""

    def __init__(self) -> None:
        self._vertices = VertexArray(_FORMATS)
        self._ranges: dict[str, tuple[int, int]] = {}

    def load(self, **arrays: NDArray) -> None:
        """Replace some of the `VertexArrays`, named as there."""
        for name, array in arrays.items():
            self._vertices.load(VertexArrays._fields.index(name), array)

    def load_triangles(self, triangles: Mapping[str, NDArray[np.integer]]) -> None:
        """Replace the triangles: (m, 3) per material."""
        self._ranges = dict(zip(triangles, self._vertices.load_indices(*triangles.values()), strict=True))

    def draw(self, material: str) -> None:
        """Draw the triangles of one material, if there are any."""
        if material in self._ranges:
            self._vertices.draw(*self._ranges[material])

    def draw_all(self) -> None:
        """Draw everything but glass in one call."""
        self._vertices.draw(0, sum(count for material, (_, count) in self._ranges.items() if material != "glass"))


class _Pictures:
    """Pictures on the graphics card, of which those last used stay there."""

    def __init__(self, srgb: bool = True) -> None:
        self._srgb = srgb
        # By identity, so that none has to be read through; held, so that its identity is not another's.
        self._loaded: OrderedDict[int, tuple[NDArray[np.uint8], int]] = OrderedDict()

    def bind(self, pixels: NDArray[np.uint8]) -> None:
        """Bind a picture (H, W, 3 or 4), in the order red, green, blue, alpha, to the active texture unit."""
        key = id(pixels)
        if key in self._loaded:
            self._loaded.move_to_end(key)
            GL.glBindTexture(GL.GL_TEXTURE_2D, self._loaded[key][1])
            return
        while len(self._loaded) >= _MOST_PICTURES:
            GL.glDeleteTextures([self._loaded.popitem(last=False)[1][1]])
        levels = [pixels]
        while min(levels[-1].shape[:2]) > 1:
            height, width = levels[-1].shape[:2]
            halved = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            levels.append(np.asarray(halved, np.uint8))
        name = texture(pixels, clamped=True, srgb=self._srgb, levels=levels[1:])
        self._loaded[key] = (pixels, name)


class SceneCanvas:
    """Draws a head of one topology and the things around it."""

    def __init__(
        self,
        head: VertexArrays,
        head_triangles: Mapping[str, NDArray[np.integer]],
        noise: Mapping[str, NDArray[np.uint8]],
        samples: int,
    ) -> None:
        """Compile the shaders and allocate buffers and textures.

        Args:
            head: of which place, traits and masks stay; position, normal and srgb are replaced with every scene.
            head_triangles: by material.
            noise: per sampler of noise an (H, W, C) image that repeats.
            samples: per pixel; 0 or 1 for no antialiasing.
        """
        self._programs = {material: ShaderProgram(*shaders) for material, shaders in MATERIALS.items()}
        for program in self._programs.values():
            program.use()
            program.set_samplers(SAMPLERS)
        self._shadow_program = ShaderProgram(*SHADOW)
        self._card_program, self._card_shadow_program = ShaderProgram(*CARD), ShaderProgram(*CARD_SHADOW)
        for program in (self._card_program, self._card_shadow_program):
            program.use()
            program.set_samplers(SAMPLERS)
        self._head, self._things, self._hung = _MaterialMesh(), _MaterialMesh(), _MaterialMesh()
        self._cards: list[Card] = []
        self._head.load_triangles(head_triangles)
        self._head.load(**head._asdict())
        self._make_shadow_map()
        for unit, name in enumerate(SAMPLERS):
            GL.glActiveTexture(GL.GL_TEXTURE0 + unit)
            if name in noise:
                texture(noise[name])
        self._pictures, self._places = _Pictures(), _Pictures(srgb=False)
        self._framebuffer = SampledFramebuffer(samples)
        prepare(GL.GL_CULL_FACE, GL.GL_DEPTH_TEST)

    def load_head(self, head: Head) -> None:
        """Replace the head's shape and colours."""
        self._head.load(position=head.vertices, normal=head.normals, srgb=head.rgb)

    def load_things(self, arrays: VertexArrays, triangles: Mapping[str, NDArray[np.integer]]) -> None:
        """Replace what stands around the head; glass must come last."""
        self._things.load_triangles(triangles)
        self._things.load(**arrays._asdict())

    def load_cards(self, cards: Sequence[Card]) -> None:
        """Replace what shows pictures with holes; what is fine is drawn first."""
        self._cards = sorted(cards, key=lambda card: not card.fine)
        if not cards:
            return
        starts = np.cumsum([0, *(len(card.arrays.position) for card in self._cards)])
        self._hung.load_triangles({str(k): card.triangles + starts[k] for k, card in enumerate(self._cards)})
        self._hung.load(**joined([card.arrays for card in self._cards])._asdict())

    def draw(
        self,
        size: tuple[int, int],
        model_to_clip: NDArray[np.float64],
        model_to_shadow: NDArray[np.float64],
        common: Uniforms,
        uniforms: Mapping[str, Uniforms],
        pictures: Mapping[str, NDArray[np.uint8] | None],
        mirrored: NDArray[np.uint8] | None,
        hidden: Collection[str] = (),
    ) -> None:
        """Draw the loaded scene with y downward in clip space.

        Args:
            size: (width, height) of the picture, px.
            model_to_clip: (4, 4).
            model_to_shadow: (4, 4) to the key light's clip space.
            common: uniforms of all materials.
            uniforms: those of each material.
            pictures: on what is of a material, as `SkinPicture.pixels` and `Eyes.picture`.
            mirrored: the place that eyes mirror, as `Panorama.mirrored`.
            hidden: materials of the head that are not drawn.
        """
        if mirrored is not None:
            GL.glActiveTexture(_PICTURE_UNIT + 1)
            self._places.bind(mirrored)
        GL.glActiveTexture(_PICTURE_UNIT)
        self._draw_shadow_map(model_to_shadow)
        self._framebuffer.begin(*size)
        common = {**common, "model_to_clip": model_to_clip, "model_to_shadow": model_to_shadow}
        for material, program in self._programs.items():
            if material == "glass":
                self._draw_cards(common)
                GL.glDepthMask(False)
            program.use(**{**common, **uniforms.get(material, {})})
            state = _STATES.get(material, ())
            for capability in state:
                GL.glEnable(capability)
            if material in _TWO_SIDED:
                GL.glDisable(GL.GL_CULL_FACE)
            picture = pictures.get(material)
            if picture is not None:
                self._pictures.bind(picture)
            if material not in hidden:
                self._head.draw(material)
            self._things.draw(material)
            for capability in state:
                GL.glDisable(capability)
            GL.glEnable(GL.GL_CULL_FACE)
        GL.glDepthMask(True)
        self._framebuffer.resolve()

    def read(self) -> NDArray[np.uint8]:
        """What was drawn, (height, width, 4) uint8 BGRA with premultiplied alpha."""
        return self._framebuffer.read()

    def read_depth(self) -> NDArray[np.float32]:
        """The depth of what was drawn, (height, width) float32 from 0 (near) to 1 (far, and where nothing is)."""
        return self._framebuffer.read_depth()

    def _draw_cards(self, uniforms: Uniforms) -> None:
        """Draw what shows pictures with holes."""
        if not self._cards:
            return
        self._card_program.use(**uniforms)
        GL.glDisable(GL.GL_CULL_FACE)
        for k, card in enumerate(self._cards):
            state = (GL.GL_BLEND,) if card.fine else _FADING
            for capability in state:
                GL.glEnable(capability)
            GL.glDepthMask(not card.fine)
            self._pictures.bind(card.picture)
            self._card_program.set("fine", float(card.fine))
            self._card_program.set("lift", card.lift)
            self._hung.draw(str(k))
            for capability in state:
                GL.glDisable(capability)
        GL.glDepthMask(True)
        GL.glEnable(GL.GL_CULL_FACE)

    def _draw_shadow_map(self, model_to_shadow: NDArray[np.float64]) -> None:
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._shadow_framebuffer)
        GL.glViewport(0, 0, _SHADOW_SIDE, _SHADOW_SIDE)
        GL.glClear(GL.GL_DEPTH_BUFFER_BIT)
        self._shadow_program.use()
        self._shadow_program.set("model_to_shadow", model_to_shadow)
        GL.glEnable(GL.GL_POLYGON_OFFSET_FILL)
        GL.glPolygonOffset(2.0, 2.0)  # chosen by hand: less lets surfaces shadow themselves, more detaches shadows
        self._head.draw_all()
        self._things.draw_all()
        self._card_shadow_program.use(model_to_shadow=model_to_shadow)
        GL.glDisable(GL.GL_CULL_FACE)
        for k, card in enumerate(self._cards):
            if card.shadow:
                self._pictures.bind(card.picture)
                self._hung.draw(str(k))
        GL.glEnable(GL.GL_CULL_FACE)
        GL.glDisable(GL.GL_POLYGON_OFFSET_FILL)

    def _make_shadow_map(self) -> None:
        GL.glActiveTexture(GL.GL_TEXTURE0)
        depth = GL.glGenTextures(1)
        GL.glBindTexture(GL.GL_TEXTURE_2D, depth)
        side = _SHADOW_SIDE
        GL.glTexImage2D(
            GL.GL_TEXTURE_2D, 0, GL.GL_DEPTH_COMPONENT24, side, side, 0, GL.GL_DEPTH_COMPONENT, GL.GL_FLOAT, None
        )
        for name, value in (
            (GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR),
            (GL.GL_TEXTURE_MAG_FILTER, GL.GL_LINEAR),
            (GL.GL_TEXTURE_WRAP_S, GL.GL_CLAMP_TO_EDGE),
            (GL.GL_TEXTURE_WRAP_T, GL.GL_CLAMP_TO_EDGE),
            (GL.GL_TEXTURE_COMPARE_MODE, GL.GL_COMPARE_REF_TO_TEXTURE),
        ):
            GL.glTexParameteri(GL.GL_TEXTURE_2D, name, value)
        self._shadow_framebuffer = GL.glGenFramebuffers(1)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._shadow_framebuffer)
        GL.glFramebufferTexture2D(GL.GL_FRAMEBUFFER, GL.GL_DEPTH_ATTACHMENT, GL.GL_TEXTURE_2D, depth, 0)
        GL.glDrawBuffer(GL.GL_NONE)
