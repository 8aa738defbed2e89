"""The OpenGL objects that draw a relief: textured triangles, as they are in the photograph's own light.

As `gl_objects`, it may be imported only once a context is open.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from OpenGL import GL

from face3dmm_ros.lab.synthesis.noise import scene_noise
from face3dmm_ros.lab.synthesis.textured_mesh import TexturedMesh
from face3dmm_ros.rendering.framebuffer import SampledFramebuffer
from face3dmm_ros.rendering.gl_objects import ShaderProgram, VertexArray, prepare, texture

_SAMPLES = 4  # per pixel, chosen by hand

_VERTEX = """
layout(location = 0) in vec3 position;
layout(location = 1) in vec2 uv;
layout(location = 2) in float cover;
layout(location = 3) in vec3 grain;

uniform mat4 to_clip;
uniform float farther;

out vec2 place;
out float alpha;
out vec3 strand;

void main() {
    gl_Position = to_clip * vec4(position, 1.0);
    gl_Position.z += farther;
    place = uv;
    alpha = cover;
    strand = grain;
}
"""

_FRAGMENT = """
in vec2 place;
in float alpha;
in vec3 strand;

uniform sampler2D picture;
uniform sampler2D strands;

out vec4 color;

void main() {
    float light = 1.0 + strand.z * (texture(strands, strand.xy).r - 0.5);
    color = vec4(min(texture(picture, place).rgb * light, 1.0) * alpha, alpha);
}
"""


class ReliefCanvas:
    """Draws textured meshes, one texture each."""

    def __init__(self) -> None:
        """Compile the shaders and make the framebuffers."""
        self._program = ShaderProgram(_VERTEX, _FRAGMENT)
        self._program.use()
        self._program.set_samplers(["picture", "strands"])
        GL.glActiveTexture(GL.GL_TEXTURE1)
        texture(scene_noise()["strand_noise"])
        GL.glActiveTexture(GL.GL_TEXTURE0)
        self._framebuffer = SampledFramebuffer(_SAMPLES)
        self._meshes: list[tuple[VertexArray, int, int]] = []
        prepare(GL.GL_DEPTH_TEST, GL.GL_BLEND)

    def load(self, meshes: Sequence[TexturedMesh]) -> None:
        """Replace the meshes."""
        if self._meshes:
            GL.glDeleteTextures([name for *_, name in self._meshes])
        self._meshes = []
        for mesh in meshes:
            vertices = VertexArray([(3, np.float32), (2, np.float32), (1, np.float32), (3, np.float32)])
            ((_, count),) = vertices.load_indices(mesh.triangles)
            vertices.load(0, mesh.points, mesh.uv, mesh.cover[:, None], mesh.grain)
            self._meshes.append((vertices, count, texture(mesh.texture[..., ::-1])))

    def draw(
        self,
        size: tuple[int, int],
        to_clip: NDArray[np.float64],
        points: Sequence[NDArray[np.float32]],
        behind: Sequence[float],
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The meshes with their vertices moved: (h, w, 4) uint8 premultiplied BGRA and (h, w) float32 depth in [0, 1].

        Args:
            size: (width, height), px.
            to_clip: (4, 4), y downward.
            points: (n, 3) of each mesh.
            behind: by how much of the clip space's depth each mesh counts as farther than it is.
        """
        self._framebuffer.begin(*size)
        self._program.use(to_clip=to_clip)
        for (vertices, count, name), moved, farther in zip(self._meshes, points, behind, strict=True):
            self._program.set("farther", farther)
            GL.glBindTexture(GL.GL_TEXTURE_2D, name)
            vertices.load(0, moved)
            vertices.draw(0, count)
        self._framebuffer.resolve()
        return self._framebuffer.read(), self._framebuffer.read_depth()
