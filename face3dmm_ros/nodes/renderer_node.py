"""Image and results in, overlay out."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face3dmm_ros.core import topics
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.message_fields import landmarks_from_message, parameters_from_message
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray
from face3dmm_ros.nodes.images import create_image_input, image_conversion, publish_image
from face3dmm_ros.nodes.lifecycle_node import FaceNode, run_node
from face3dmm_ros.nodes.parameters import IMAGE_TRANSPORT, MODEL, OVERLAY_PLATFORM, NodeParameter
from face3dmm_ros.nodes.qos import image_output_qos
from face3dmm_ros.nodes.synchronization import CAPACITY, StampMatcher, Waiting, stamp_of
from face3dmm_ros.rendering.face_extent import EXTENTS
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.landmark_view import LANDMARKS, OVERLAYS, draw_landmarks
from face3dmm_ros.rendering.lighting import LIGHTING_MODELS, Lighting
from face3dmm_ros.rendering.offscreen import SOFTWARE, NoOpenGLError, probe_ahead
from face3dmm_ros.smoothing import CoverSmoother

_WARM_UP_SCALES = (0.7, 1.0, 1.4, 2.0)
"""px/mm, of faces far and near; chosen by hand."""
_LIGHT = Lighting()
Picture = tuple[Header, NDArray[np.uint8], float]
"""An image with its header and its time, s."""
Results: TypeAlias = FaceLandmarksArray | Face3DMMParamsArray
Covers = dict[int, NDArray[np.uint8]]
"""`Landmarks.covered` of an image's faces, by face_id."""


def _rgb_parameter(name: str, default: tuple[float, ...], description: str) -> NodeParameter:
    return NodeParameter(name, list(default), f"{description}, three numbers.")


class RendererNode(FaceNode):
    """Draws the faces over the image that they were found in, but for what the landmarks tell to lie over them.

    Where OpenGL was asked for and is not there, it reports that, in the log and on /diagnostics, and draws without it.
    """

    NAME = "renderer_node"
    PARAMETERS = (
        MODEL,
        IMAGE_TRANSPORT,
        NodeParameter("view", "shaded", "What is drawn over the image.", choices=OVERLAYS),
        NodeParameter("extent", EXTENTS[0], "How much of the head is drawn.", choices=EXTENTS),
        NodeParameter("opacity", 0.7, "Of the faces.", 0.0, 1.0),
        OVERLAY_PLATFORM,
        _rgb_parameter(
            "light_direction", _LIGHT.direction, "The way the light travels: x right, y up, z to the viewer"
        ),
        _rgb_parameter("light_color", _LIGHT.color, "The light's colour and intensity, linear RGB"),
        _rgb_parameter("ambient_color", _LIGHT.ambient, "The ambient light's colour and intensity, linear RGB"),
        NodeParameter("diffuse", _LIGHT.diffuse, "Share of the light that is scattered.", 0.0, 1.0),
        NodeParameter("specular", _LIGHT.specular, "Share of the light in the highlight.", 0.0, 1.0),
        NodeParameter("shininess", _LIGHT.shininess, "The highlight's exponent.", 0.0, 1000.0),
        NodeParameter("transmission", _LIGHT.transmission, "Share of the light that shines through.", 0.0, 1.0),
        NodeParameter("lighting_model", _LIGHT.model, "The highlight's formula.", choices=LIGHTING_MODELS),
    )

    def configure(self) -> None:
        """Load the model and open the renderer."""
        self._model = load_model(self.value("model"))
        self._shaper = FaceShaper(self._model)
        self._conversion = image_conversion()
        self._results_input: Any = None
        self._covers_input: Any = None
        self._cover = CoverSmoother()
        self._overlay_output = self.create_output(Image, topics.OVERLAY, image_output_qos())
        self._renderer = self._open_renderer()
        self.resources.callback(self._renderer.close)
        self._warm_up()
        # Before that of the results: they are taken in this order, and an image comes before its results.
        create_image_input(self, self._on_image, kept=CAPACITY)
        self.apply_parameters(self.values())

    def apply_parameters(self, values: dict[str, Any]) -> None:
        """Change light, opacity, extent and view for the images from now on."""
        lighting = Lighting(
            direction=tuple(values["light_direction"]),
            color=tuple(values["light_color"]),
            ambient=tuple(values["ambient_color"]),
            diffuse=values["diffuse"],
            specular=values["specular"],
            shininess=values["shininess"],
            transmission=values["transmission"],
            model=values["lighting_model"],
        )
        self._renderer.lighting = lighting
        self._opacity, self._extent = values["opacity"], values["extent"]
        self._show(values["view"])

    def _open_renderer(self) -> FaceRenderer:
        try:
            return FaceRenderer.of(self._model, platform=self.value("gl_platform"))
        except NoOpenGLError as error:
            self.report_problem(f"the overlay is drawn without OpenGL: {error}")
            return FaceRenderer.of(self._model, platform=SOFTWARE)

    def _warm_up(self) -> None:
        """Draw the mean face: the first times are the slowest, and no image should have to wait for them."""
        nothing = np.zeros((480, 640, 3), np.uint8)
        mean = self._model.mean
        normals, rgb = self._model.normals(mean), self._model.rgb()
        for scale in _WARM_UP_SCALES:
            camera = WeakPerspective(scale, FRONTAL, np.array([320.0, 240.0]))
            face = PosedFace(mean, normals, rgb, camera)
            self._renderer.overlay(nothing, [face])

    def _show(self, view: str) -> None:
        """Subscribe to the results that a view needs."""
        message_type, topic = (
            (FaceLandmarksArray, topics.LANDMARKS) if view == LANDMARKS else (Face3DMMParamsArray, topics.PARAMETERS)
        )
        self._view = view
        if self._results_input is not None:
            if self._results_input.msg_type is message_type:
                return
            self.remove_input(self._results_input)
        if self._covers_input is not None:
            self.remove_input(self._covers_input)
            self._covers_input = None
        self._matcher = StampMatcher[Picture, Results]()
        self._covers: Waiting[Covers] = Waiting()
        if view != LANDMARKS:
            # Before that of the parameters, which are made of the landmarks. Where these do not come, faces are drawn
            # whole.
            self._covers_input = self.create_input(
                FaceLandmarksArray, topics.LANDMARKS, self._on_landmarks, self.result_qos(), first=True
            )
        self._results_input = self.create_input(message_type, topic, self._on_results, self.result_qos(), stream=True)

    def _on_image(self, header: Header, image: NDArray[np.uint8]) -> None:
        # By their stamps, and not by their times, images are matched with faces.
        self._answer(self._matcher.add_image(stamp_of(header), (header, image, self.time_of(header))))

    def _on_landmarks(self, message: FaceLandmarksArray) -> None:
        """Keep what is told of covers until the faces are drawn."""
        told = {face.face_id: np.frombuffer(face.covered, np.uint8) for face in message.faces if len(face.covered)}
        self._covers.add(stamp_of(message.header), told)

    def _on_results(self, message: Results) -> None:
        self._answer(self._matcher.add_results(stamp_of(message.header), message))

    def _answer(self, match: tuple[Picture, Results] | None) -> None:
        """Draw and publish the overlay of an image whose results are there, if it has subscribers."""
        self.activity.dropped += self._matcher.images.dropped
        self._matcher.images.dropped = 0
        if match is None:
            return
        (header, image, time), results = match
        if not self._overlay_output.subscribers:
            self.answered(header, len(results.faces))
            return
        try:
            with self.activity.stage("rendering"):
                overlay = self._draw(image, time, results)
        except Face3DMMError as error:
            self.report_skipped(f"faces not drawn: {error}")
            overlay = image
        publish_image(self._overlay_output, self._conversion, header, overlay)
        self.answered(header, len(results.faces))

    def _draw(self, image: NDArray[np.uint8], time: float, results: Results) -> NDArray[np.uint8]:
        if self._view == LANDMARKS:
            return draw_landmarks(image, [landmarks_from_message(results, face).landmarks for face in results.faces])
        face_ids = {face.face_id for face in results.faces}
        self._shaper.retain(face_ids)
        self._cover.retain(face_ids)
        told = self._covers.pop(stamp_of(results.header), {})
        posed = []
        for face in results.faces:
            covered = self._cover.smooth(face.face_id, told.get(face.face_id), time)
            posed.append(self._posed(face.face_id, parameters_from_message(results, face), covered))
        return self._renderer.overlay(image, posed, opacity=self._opacity, view=self._view, extent=self._extent)

    def _posed(self, face_id: int, parameters: FaceParameters, covered: NDArray[np.uint8] | None) -> PosedFace:
        return PosedFace.of(self._model, parameters, self._shaper.vertices(face_id, parameters), covered)


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    probe_ahead(software=True)
    return run_node(RendererNode, args)
