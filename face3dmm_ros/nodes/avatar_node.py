"""Parameters in, and images where they are drawn on; another face out, as a picture and as blendshape weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from face3dmm_ros.avatar.avatar import Avatar, AvatarFace
from face3dmm_ros.avatar.backdrop import backdrop
from face3dmm_ros.avatar.network.sender import DEFAULT_PORTS, DESTINATION, WeightSender
from face3dmm_ros.avatar.network.vmc import BLEND_NAMES
from face3dmm_ros.avatar.styles import IN_IMAGE, PLACEMENTS, STYLES, WATERMELON, check_style, create_avatar
from face3dmm_ros.avatar.weights.profile import Profile, profile_path, read_profile, write_profile
from face3dmm_ros.avatar.weights.rest import rest_in_words
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.avatar.weights.tuning import Tuning, WeightTuner
from face3dmm_ros.core import topics
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.message_fields import image_size_from_message, parameters_from_message
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.msg import BlendshapesArray, Face3DMMParams, Face3DMMParamsArray
from face3dmm_ros.nodes.conversions import blendshapes_to_message
from face3dmm_ros.nodes.diagnostics import CALIBRATION
from face3dmm_ros.nodes.images import create_image_input, image_conversion, publish_image
from face3dmm_ros.nodes.lifecycle_node import FaceNode, run_node
from face3dmm_ros.nodes.parameters import GL_PLATFORM, IMAGE_TRANSPORT, MODEL, NodeParameter, fixed
from face3dmm_ros.nodes.qos import image_output_qos
from face3dmm_ros.nodes.synchronization import StampMatcher, stamp_of
from face3dmm_ros.rendering.offscreen import NoOpenGLError

_WARM_UP_SCALES = (0.7, 1.4, 2.0)
"""px/mm, of faces far and near; chosen by hand."""
_SHOWN = 100
"""Characters of a text that is refused which the reason shows; chosen by hand: a line of a terminal."""
Picture = tuple[Header, NDArray[np.uint8]]


class AvatarNode(FaceNode):
    """Draws an avatar that moves with each tracked face, and publishes and sends its blendshape weights.

    Without OpenGL it reports that, in the log and on /diagnostics, and gives weights only.
    """

    NAME = "avatar_node"
    PARAMETERS = (
        MODEL,
        IMAGE_TRANSPORT,
        fixed("style", WATERMELON, f"The avatar: {STYLES}."),
        fixed(
            "placement",
            IN_IMAGE,
            "Where it is shown: in the person's place in the camera's image, or alone before a backdrop.",
            choices=PLACEMENTS,
        ),
        fixed("height", 0, "Of the picture of an avatar alone, px; 0: the camera image's.", low=0, high=2160),
        GL_PLATFORM,
        NodeParameter(
            "calibration_seconds",
            1.0,
            "How long ~/calibrate takes what is shown for the neutral face; with 0 that is the model's, for all faces.",
            low=0.0,
            high=60.0,
        ),
        NodeParameter("learn_rest", True, "Whether neutral faces are also learnt, slowly, from what is usual."),
        NodeParameter("learn_range", True, "Whether gains follow, slowly, how far each person's expressions go."),
        fixed("profile", "", "Name under which the nearest face's rest and range are kept between runs; empty: none."),
        NodeParameter("gain", 1.5, "All weights times this; detectors report a part of a movement.", 0.0, 10.0),
        NodeParameter("gains", "", "Gains of single blendshapes instead: `name: value, …`."),
        NodeParameter("dead_zone", 0.05, "Weights up to this are shown as 0.", 0.0, 0.9),
        NodeParameter("dead_zones", "", "Dead zones of single blendshapes instead: `name: value, …`."),
        fixed(
            "send",
            [""],
            f"Avatar programs to send to, each {DESTINATION}; KIND: {', '.join(DEFAULT_PORTS)}. Empty: none.",
        ),
        fixed(
            "vmc_names",
            "pascal",
            "Names of the blendshapes with vmc: JawOpen, jawOpen, or VRM's presets (A, Blink, Joy).",
            choices=tuple(BLEND_NAMES),
        ),
        fixed(
            "allow_network",
            False,
            "Whether those of `send` may lie outside this machine; what is sent is not encrypted.",
        ),
    )

    def __init__(self, **options: Any) -> None:
        """A node that has yet to load its avatar."""
        super().__init__(**options)
        self.create_service(Trigger, "~/calibrate", self._on_calibrate)

    def configure(self) -> None:
        """Load the model and the avatar."""
        check_style(self.value("style"))
        self._model = load_model(self.value("model"))
        self._weights = BlendshapeWeights(self._model)
        self._profile_path = profile_path(self.value("profile")) if self.value("profile") else None
        self._tuner = WeightTuner(Tuning(), self._read_profile())
        self._calibrations = 0
        self.apply_parameters(self.values())
        self.resources.callback(self._write_profile)
        self._conversion = image_conversion()
        self._matcher = StampMatcher[Picture, list[AvatarFace]]()
        self._open_avatar()
        self._senders: list[WeightSender] = []
        network, names = self.value("allow_network"), self.value("vmc_names")
        for destination in self.value("send"):
            self._senders.append(WeightSender(destination, allow_network=network, names=names))
            self.resources.callback(self._senders[-1].close)
        self._image_output = self.create_output(Image, topics.AVATAR_IMAGE, image_output_qos())
        self._weights_output = self.create_output(BlendshapesArray, topics.BLENDSHAPES, self.result_qos())
        self._in_image = self._avatar is not None and self.value("placement") == IN_IMAGE
        self._height = 0 if self._in_image else self.value("height")
        self._looks_at_images = self._in_image or (self._avatar is not None and self._avatar.needs_image)
        # Images first: they are taken in this order, and an image comes before its results.
        if self._looks_at_images:
            create_image_input(self, self._on_image)
        self.create_input(Face3DMMParamsArray, topics.PARAMETERS, self._on_parameters, self.result_qos(), stream=True)

    def apply_parameters(self, values: dict[str, Any]) -> None:
        """Change how weights are tuned from now on; the neutral faces that were measured are kept."""
        tuning = Tuning(
            calibration_s=values["calibration_seconds"],
            learn_rest=values["learn_rest"],
            learn_range=values["learn_range"],
            gain=values["gain"],
            gains=_by_name(values["gains"], "gains"),
            dead_zone=values["dead_zone"],
            dead_zones=_by_name(values["dead_zones"], "dead_zones"),
        )
        self._tuner.change(tuning)

    def _open_avatar(self) -> None:
        self._avatar: Avatar | None = None
        try:
            avatar = create_avatar(self.value("style"), self._model, self.value("gl_platform"))
            self.resources.callback(avatar.close)
            self._warm_up(avatar)
            self._avatar = avatar
            if avatar.mapping:
                self.get_logger().info(f"{self.value('style')}: {avatar.mapping}")
            if avatar.report:
                self.get_logger().warning(f"{self.value('style')}: {avatar.report}")
        except NoOpenGLError as error:
            self.report_problem(f"no OpenGL, the avatar has weights but no picture: {error}")

    def _warm_up(self, avatar: Avatar) -> None:
        """Draw the mean face: the first times are the slowest, and no image should have to wait for them."""
        nothing, size = np.zeros((480, 640, 3), np.uint8), (640, 480)
        for scale in _WARM_UP_SCALES:
            camera = WeakPerspective(scale, FRONTAL, np.array([320.0, 240.0]))
            none = np.zeros(0)
            face = FaceParameters(camera, none, none, self._model.name, self._model.digest, "", 0.0, 1.0, size)
            avatar.draw([AvatarFace(0, face, self._weights.of(face))], size, nothing)

    def _on_calibrate(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Measure the neutral faces anew, in the coming seconds."""
        response.success = self._configured
        response.message = "the node is not configured"
        if self._configured:
            seconds = self.value("calibration_seconds")
            response.success = seconds > 0.0
            response.message = f"keep a neutral face for {seconds:g} s" if seconds else "calibration_seconds is 0"
            if seconds:
                self._tuner.recalibrate()
        return response

    def _read_profile(self) -> Profile | None:
        """The profile that was asked for, if it was written before."""
        path = self._profile_path
        return read_profile(path) if path is not None and path.exists() else None

    def _write_profile(self) -> None:
        """Keep what is known of the profile's person; reported where that fails."""
        profile = self._tuner.profile
        if self._profile_path is None or profile is None:
            return
        try:
            write_profile(self._profile_path, profile)
        except Face3DMMError as error:
            self.report_problem(f"the profile is not kept: {error}")

    def _tell_of_calibrations(self) -> None:
        """Log and report what came of the calibrations that have ended."""
        while self._tuner.calibrated:
            face_id, rest = self._tuner.calibrated.popitem()
            self._calibrations += 1
            said = f"calibration {self._calibrations}, face {face_id}: {rest_in_words(rest)}"
            self.activity.details[CALIBRATION] = said
            self.get_logger().info(said)
            self._write_profile()

    def _on_image(self, header: Header, image: NDArray[np.uint8]) -> None:
        self._show_match(self._matcher.add_image(stamp_of(header), (header, image)))

    def _on_parameters(self, message: Face3DMMParamsArray) -> None:
        time = self.time_of(message.header)
        self._tuner.retain({face.face_id for face in message.faces})
        if self._profile_path is not None and message.faces:
            self._tuner.own(max(message.faces, key=lambda face: face.scale).face_id)
        driven = [self._driven(message, face, time) for face in message.faces]
        self._tell_of_calibrations()
        faces = [face for face in driven if face is not None]
        weights = {face.face_id: face.weights for face in faces}
        self._weights_output.publish(blendshapes_to_message(message.header, weights))
        for sender in self._senders:
            sender.send(faces, time)
            self.activity.published[str(sender.destination)] = sender.sent
            self.activity.lost[str(sender.destination)] = sender.failed
        if self._looks_at_images:
            self._show_match(self._matcher.add_results(stamp_of(message.header), faces))
        elif self._avatar is not None:
            self._show(message.header, faces, image_size_from_message(message), None)
        else:
            self.answered(message.header, len(faces))

    def _driven(self, message: Face3DMMParamsArray, face: Face3DMMParams, time: float) -> AvatarFace | None:
        """A face with its tuned weights at a time, s; None, and reported, if its parameters cannot be used."""
        try:
            parameters = parameters_from_message(message, face)
            with self.activity.stage("weights"):
                weights = self._tuner.tune(face.face_id, self._weights.of(parameters), time)
        except Face3DMMError as error:
            self.report_skipped(f"face {face.face_id} of face/params: {error}")
            return None
        return AvatarFace(face.face_id, parameters, weights)

    def _show_match(self, match: tuple[Picture, list[AvatarFace]] | None) -> None:
        """Show an image's faces once both are there."""
        self.activity.dropped += self._matcher.images.dropped
        self._matcher.images.dropped = 0
        if match is not None:
            (header, image), faces = match
            self._show(header, faces, (image.shape[1], image.shape[0]), image)

    def _show(
        self, header: Header, faces: Sequence[AvatarFace], image_size: tuple[int, int], image: NDArray[np.uint8] | None
    ) -> None:
        """Publish the avatars of an image's faces, if the picture has subscribers."""
        assert self._avatar is not None
        if not self._image_output.subscribers:
            self.answered(header, len(faces))
            return
        if self._height and image is None:
            factor = self._height / image_size[1]
            image_size = max(1, round(factor * image_size[0])), self._height
            faces = [face.enlarged(factor) for face in faces]
        with self.activity.stage("avatar"):
            picture = np.array(image if image is not None and self._in_image else backdrop(image_size))
            try:
                for layer in self._avatar.draw(faces, image_size, image):
                    layer.over(picture)
            except Face3DMMError as error:
                self.report_skipped(f"avatar not drawn: {error}")
        publish_image(self._image_output, self._conversion, header, picture)
        self.answered(header, len(faces))


def _by_name(text: str, what: str) -> dict[str, float]:
    """Numbers by the names of blendshapes.

    Raises:
        Face3DMMError: the text is not of the form `name: value, …`.
    """
    pairs = (entry.partition(":")[::2] for entry in text.split(",") if entry.strip())
    try:
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError as error:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise Face3DMMError(f"{what} is written `jawOpen: 1.2, eyeBlinkLeft: 1.5`, found {shown!r}") from error


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(AvatarNode, args)
