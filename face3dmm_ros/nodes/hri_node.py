"""Landmarks and parameters in, and images where pictures are wanted; ROS4HRI's topics of faces (REP-155) out."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, Header

from face3dmm_ros.avatar.weights.facs import action_units, confidences
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core import topics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_ids import face_name
from face3dmm_ros.core.message_fields import MOST_FACES, landmarks_from_message, parameters_from_message
from face3dmm_ros.core.mutual_gaze import MutualGaze
from face3dmm_ros.core.values import FaceParameters, Landmarks, TrackedLandmarks
from face3dmm_ros.landmarks.ros4hri import aligned_face, cropped_face, face_region, facial_landmarks
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray
from face3dmm_ros.nodes.endpoints import Input, Output
from face3dmm_ros.nodes.images import create_image_input, image_conversion
from face3dmm_ros.nodes.lifecycle_node import FaceNode, run_node
from face3dmm_ros.nodes.parameters import IMAGE_TRANSPORT, MODEL, NodeParameter, fixed
from face3dmm_ros.nodes.qos import image_output_qos
from face3dmm_ros.nodes.synchronization import StampMatcher, stamp_of

try:
    import hri_msgs.msg as hri
except ImportError:
    hri = None

_CROPPED, _ALIGNED = "cropped", "aligned"
_ROI, _LANDMARKS, _FACS, _MUTUAL_GAZE = "roi", "landmarks", "facs", "mutual_gaze"


class _HumanFace:
    """The topics of one face, and the time at which it was last seen, s."""

    def __init__(self, node: "HriNode", face_id: int) -> None:
        self.name = face_name(face_id)
        self.seen = 0.0
        images = image_output_qos()
        kinds = {
            _ROI: hri.NormalizedRegionOfInterest2D,
            _LANDMARKS: hri.FacialLandmarks,
            _FACS: hri.FacialActionUnits,
            _MUTUAL_GAZE: Bool,
        }
        self.outputs: dict[str, Output] = {
            what: node.create_output(kind, f"{topics.HUMAN_FACES}/{self.name}/{what}", node.result_qos())
            for what, kind in kinds.items()
        } | {
            what: node.create_output(Image, f"{topics.HUMAN_FACES}/{self.name}/{what}", images)
            for what in (_CROPPED, _ALIGNED)
        }

    def wanted(self, what: str) -> bool:
        """Whether a topic has subscribers."""
        return self.outputs[what].subscribers > 0

    def publish(self, what: str, message: object) -> None:
        """Publish on one of the topics."""
        self.outputs[what].publish(message)


class HriNode(FaceNode):
    """Tells ROS4HRI's tools of faces.

    Each face has its topics from its first landmarks until some time after its last. Of these only what has subscribers
    is computed, and images are taken only while a picture of a face has one.
    """

    NAME = "hri_node"
    PARAMETERS = (
        MODEL,
        IMAGE_TRANSPORT,
        fixed("face_width", 128, "Width of the pictures of faces, px.", 16, 1024),
        fixed("face_height", 128, "Their height, px.", 16, 1024),
        NodeParameter(
            "mutual_gaze_angle",
            10.0,
            "Degrees from the camera up to which a face begins to look at it; it goes on up to half as much more.",
            low=0.0,
            high=90.0,
        ),
        NodeParameter("lost_seconds", 2.0, "Seconds after which the topics of a lost face go.", low=0.0, high=3600.0),
    )

    def configure(self) -> None:
        """Load the model.

        Raises:
            Face3DMMError: hri_msgs is not installed.
        """
        if hri is None:
            raise Face3DMMError(
                "ROS4HRI's messages were not found: apt-get install ros-$ROS_DISTRO-hri-msgs, or build "
                "https://github.com/ros4hri/hri_msgs (branch humble-devel) in this workspace"
            )
        self._weights = BlendshapeWeights(load_model(self.value("model")))
        self._mutual_gaze = MutualGaze(self.value("mutual_gaze_angle"))
        self._conversion = image_conversion()
        self._faces: dict[int, _HumanFace] = {}
        self._image_input: Input | None = None
        qos = self.result_qos()
        self._tracked_output = self.create_output(hri.IdsList, f"{topics.HUMAN_FACES}/tracked", qos)
        self._gazing_output = self.create_output(hri.Gaze, topics.GAZING, qos)
        self.create_input(FaceLandmarksArray, topics.LANDMARKS, self._on_landmarks, qos, stream=True)
        self.create_input(Face3DMMParamsArray, topics.PARAMETERS, self._on_parameters, qos, stream=True)

    def apply_parameters(self, values: dict[str, Any]) -> None:
        """Change from which angle on faces look at the camera."""
        self._mutual_gaze.angle = values["mutual_gaze_angle"]

    def _on_landmarks(self, message: FaceLandmarksArray) -> None:
        header, time = message.header, self.time_of(message.header)
        faces = []
        for face in message.faces:
            try:
                faces.append(landmarks_from_message(message, face))
            except Face3DMMError as error:
                self.report_skipped(f"face {face.face_id} of face/landmarks: {error}")
        self._make_room({face.face_id for face in faces})
        # Whoever learns of a face finds its topics there already.
        for tracked in faces:
            if tracked.face_id not in self._faces:
                self._faces[tracked.face_id] = _HumanFace(self, tracked.face_id)
            self._faces[tracked.face_id].seen = time
        self._forget_lost(time)
        self._tracked_output.publish(hri.IdsList(header=header, ids=[face_name(face.face_id) for face in faces]))
        for tracked in faces:
            self._publish_landmarks(header, self._faces[tracked.face_id], tracked.landmarks)
        self._take_images([face.wanted(what) for face in self._faces.values() for what in (_CROPPED, _ALIGNED)])
        if self._image_input is not None:
            self._publish_pictures(self._matcher.add_results(stamp_of(header), faces))
        self.answered(header, len(faces))

    def _make_room(self, face_ids: Set[int]) -> None:
        """Withdraw the topics of lost faces, the longest lost first, where those of an image make too many."""
        seen = {face_id: face.seen for face_id, face in self._faces.items()}
        for face_id in longest_lost(seen, face_ids, MOST_FACES):
            self._withdraw(face_id)

    def _forget_lost(self, time: float) -> None:
        """Withdraw the topics of the faces that were last seen long before (or, in time that went back, after) now."""
        for face_id, face in list(self._faces.items()):
            if abs(time - face.seen) > self.value("lost_seconds"):
                self._withdraw(face_id)

    def _withdraw(self, face_id: int) -> None:
        for output in self._faces.pop(face_id).outputs.values():
            self.remove_output(output)

    def _publish_landmarks(self, header: Header, face: _HumanFace, landmarks: Landmarks) -> None:
        if face.wanted(_ROI):
            sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), face_region(landmarks).tolist(), strict=True))
            face.publish(_ROI, hri.NormalizedRegionOfInterest2D(header=header, c=landmarks.confidence, **sides))
        if face.wanted(_LANDMARKS):
            places, confidence = facial_landmarks(landmarks)
            points = [
                hri.NormalizedPointOfInterest2D(x=x, y=y, c=c)
                for (x, y), c in zip(places.tolist(), confidence.tolist(), strict=True)
            ]
            width, height = landmarks.image_size
            face.publish(_LANDMARKS, hri.FacialLandmarks(header=header, landmarks=points, width=width, height=height))

    def _take_images(self, wanted: Sequence[bool]) -> None:
        """Subscribe to images while a picture of a face is wanted."""
        if any(wanted) and self._image_input is None:
            self._matcher = StampMatcher[tuple[Header, NDArray[np.uint8]], list[TrackedLandmarks]]()
            self._image_input = create_image_input(self, self._on_image)
        elif not any(wanted) and self._image_input is not None:
            self.remove_input(self._image_input)
            self._image_input = None

    def _on_image(self, header: Header, image: NDArray[np.uint8]) -> None:
        self._publish_pictures(self._matcher.add_image(stamp_of(header), (header, image)))

    def _publish_pictures(self, match: tuple[tuple[Header, NDArray[np.uint8]], list[TrackedLandmarks]] | None) -> None:
        """Publish what is wanted of the pictures of an image's faces, once both are there."""
        if match is None:
            return
        (header, image), faces = match
        size = self.value("face_width"), self.value("face_height")
        for face_id, landmarks in ((face.face_id, face.landmarks) for face in faces):
            face = self._faces.get(face_id)
            if face is not None and face.wanted(_CROPPED):
                picture = cropped_face(image, face_region(landmarks), size)
                face.publish(_CROPPED, self._conversion.cv2_to_imgmsg(picture, header))
            if face is not None and face.wanted(_ALIGNED):
                picture = aligned_face(image, landmarks, size)
                face.publish(_ALIGNED, self._conversion.cv2_to_imgmsg(picture, header))

    def _on_parameters(self, message: Face3DMMParamsArray) -> None:
        self._mutual_gaze.retain({face.face_id for face in message.faces})
        for found in message.faces:
            face = self._faces.get(found.face_id)
            if face is None:
                continue
            try:
                self._publish_expression(message.header, found.face_id, face, parameters_from_message(message, found))
            except Face3DMMError as error:
                self.report_skipped(f"face {found.face_id} of face/params: {error}")

    def _publish_expression(self, header: Header, face_id: int, face: _HumanFace, parameters: FaceParameters) -> None:
        looks_here = self._mutual_gaze.update(face_id, parameters)
        face.publish(_MUTUAL_GAZE, Bool(data=looks_here))
        if looks_here:
            self._gazing_output.publish(hri.Gaze(header=header, sender=face.name, receiver=""))
        if face.wanted(_FACS):
            intensity = action_units(self._weights.of(parameters))
            confidence = confidences(parameters.confidence, self._weights.deviations(parameters))
            face.publish(_FACS, hri.FacialActionUnits(header=header, intensity=intensity, confidence=confidence))


def longest_lost(seen: Mapping[int, float], face_ids: Set[int], most: int) -> list[int]:
    """Which faces to forget, so that with those of an image there are no more than `most`, or none but these.

    Args:
        seen: when each known face was last seen, s.
        face_ids: the faces of the image.
        most: how many may be known.
    """
    lost = sorted(seen.keys() - face_ids, key=seen.__getitem__)
    return lost[: max(0, len(seen.keys() | face_ids) - most)]


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(HriNode, args)
