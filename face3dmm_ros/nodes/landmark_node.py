"""Images in, landmarks out."""

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from face3dmm_ros.core import topics
from face3dmm_ros.core.message_fields import MOST_FACES
from face3dmm_ros.core.values import TrackedLandmarks
from face3dmm_ros.landmarks import BACKENDS, create_backend
from face3dmm_ros.landmarks.backend import LandmarkBackend
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.tracker import LIVE_LOOKS, PREFERENCES, LandmarkTracker
from face3dmm_ros.msg import FaceLandmarksArray
from face3dmm_ros.nodes.conversions import landmarks_to_message
from face3dmm_ros.nodes.images import create_image_input
from face3dmm_ros.nodes.lifecycle_node import FaceNode, run_node
from face3dmm_ros.nodes.parameters import IMAGE_TRANSPORT, NodeParameter, fixed

_TRACKER_PARAMETERS = (
    NodeParameter("max_faces", 1, "Faces to track at most.", 1, MOST_FACES),
    NodeParameter("prefer", PREFERENCES[0], "Which faces, where there are more.", choices=PREFERENCES),
    NodeParameter("detection_interval", 30, "Images from one look for new faces to the next.", 1, 10_000),
    NodeParameter(
        "looks_per_image",
        LIVE_LOOKS,
        "Closer looks at parts of an image, for far faces and ones upside down, while a look for new faces is due.",
        low=0,
        high=1000,
    ),
    NodeParameter("patience", 30, "Images after which a lost face is forgotten.", 0, 10_000),
    NodeParameter("min_confidence", 0.5, "Confidence below which a face counts as lost.", 0.0, 1.0),
)
"""Named as the arguments of `LandmarkTracker`."""
_FIRST_FACE_IDS = 1 << 31
"""A run begins with one of so many ids, at random, so that no later run uses its ids again; as many are left."""


class LandmarkNode(FaceNode):
    """Finds and tracks the faces of every image."""

    NAME = "landmark_node"
    PARAMETERS = (
        IMAGE_TRANSPORT,
        fixed("backend", "dense", "The landmark detector.", choices=BACKENDS),
        *_TRACKER_PARAMETERS,
    )

    def __init__(self, create: Callable[[str], LandmarkBackend] = create_backend, **options: Any) -> None:
        """A node that gets its backend, given the parameter `backend`, from `create`."""
        self._create = create
        self._next_face_id = secrets.randbelow(_FIRST_FACE_IDS)
        super().__init__(**options)

    def configure(self) -> None:
        """Load the backend."""
        self._backend = self._create(self.value("backend"))
        self.apply_parameters(self.values())
        self._warm_up()
        self._landmarks_output = self.create_output(FaceLandmarksArray, topics.LANDMARKS, self.result_qos(), paced=True)
        create_image_input(self, self._on_image)

    def _warm_up(self) -> None:
        """Run the networks once on an empty image: the first time is the slowest, and no image should wait for it."""
        nothing = np.zeros((480, 640, 3), np.uint8)
        self._backend.detect(nothing)
        self._backend.locate(nothing, Region(320.0, 240.0, 200.0, 0.0))

    def apply_parameters(self, values: dict[str, Any]) -> None:
        """Start tracking anew with other settings; face ids go on where those of the last tracker ended."""
        self._tracker = LandmarkTracker(self._backend, **{p.name: values[p.name] for p in _TRACKER_PARAMETERS})
        self._first_face_id = self._next_face_id

    def _on_image(self, header: Header, image: NDArray[np.uint8]) -> None:
        self.time_of(header)  # only for its warning: tracking needs no time
        with self.activity.stage("landmarks"):
            tracked = self._tracker.track(image)
        faces = [TrackedLandmarks(self._first_face_id + face.face_id, face.landmarks) for face in tracked]
        self._next_face_id = max([self._next_face_id, *(face.face_id + 1 for face in faces)])
        height, width = image.shape[:2]
        self._landmarks_output.publish(landmarks_to_message(header, (width, height), faces))
        self.answered(header, len(faces))


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(LandmarkNode, args)
