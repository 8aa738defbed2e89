"""A recorded bag as frames to be shown."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from face3dmm_ros.bags.messages import COMPRESSED_TYPE, IMAGE_TYPE, LANDMARKS_TYPE, PARAMETERS_TYPE
from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.core import topics
from face3dmm_ros.core.camera import Intrinsics, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import PACKAGE
from face3dmm_ros.core.values import FaceParameters, Mesh
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.viewer.frame_messages import FrameMessages
from face3dmm_ros.viewer.viewed_frame import IMAGE, LANDMARKS, MESH, OVERLAY, PARAMETERS, ViewedFrame

_TOPICS = {LANDMARKS: "/" + topics.LANDMARKS, PARAMETERS: "/" + topics.PARAMETERS, MESH: "/" + topics.MESH}
_TYPES = {LANDMARKS: LANDMARKS_TYPE, PARAMETERS: PARAMETERS_TYPE, MESH: f"{PACKAGE}/msg/FaceMeshArray"}
# Horizontal, of the camera before which meshes are made: `face3dmm fit --fov` and the nodes assume the same.
_FIELD_OF_VIEW_DEG = 60.0
_TOPOLOGY, _OVERLAY = "/" + topics.TOPOLOGY, "/" + topics.OVERLAY


class BagView:
    """Reads frames from a bag with the tracker's results; meshes that it lacks are made from the parameters.

    Attributes:
        skipped: why messages were not shown, and how often.
        stamp_problem: why the images' stamps are unusable as times, as far as has been read; empty if they are not.
    """

    def __init__(self, reader: BagReader, model: MorphableModel, *, quality: int) -> None:
        """Find the topics to show.

        Args:
            reader: the open bag.
            model: of the parameters in it.
            quality: 1 to 100, of the JPEGs that are made of raw images; compressed ones stay as they are.

        Raises:
            Face3DMMError: the bag has neither landmarks nor parameters, or a topic has another type than expected.
        """
        self.skipped: Counter[str] = Counter()
        self.stamp_problem = ""
        self._reader = reader
        self._quality = quality
        self._model = model
        self._shaper = FaceShaper(model)
        self._parts = {**_pictures(reader), **_results(reader)}

    @property
    def message_count(self) -> int:
        """How many messages there are to read."""
        return sum(self._reader.count(topic) for topic in self._parts)

    def frames(self, due: Callable[[int], bool], progress: Callable[[], object]) -> Iterator[ViewedFrame]:
        """The frames in the order of their times.

        Args:
            due: whether pictures and meshes of a time, ns, are wanted.
            progress: called after each message.

        Raises:
            Face3DMMError: the bag is damaged.
        """
        messages = FrameMessages(due, self._quality)
        messages.assembler.expected = frozenset(self._parts.values())
        if self._reader.topics.get(_TOPOLOGY) == f"{PACKAGE}/msg/FaceTopology":
            for _, _, topology in self._reader.read([_TOPOLOGY]):
                messages.take_topology(topology)
        for topic, time_ns, message in self._reader.read(self._parts):
            try:
                finished = messages.take(self._parts[topic], message, time_ns)
            except Face3DMMError as error:
                self.skipped[f"{topic}: {error}"] += 1
            else:
                yield from self._with_meshes(finished, due)
            self.stamp_problem = messages.times.clock.problem
            progress()
        yield from self._with_meshes(messages.assembler.finish(), due)

    def _with_meshes(self, frames: Iterable[ViewedFrame], due: Callable[[int], bool]) -> Iterator[ViewedFrame]:
        for frame in frames:
            if MESH in self._parts.values() or frame.parameters is None or not due(frame.stamp_ns):
                yield frame
            else:
                digest = self._model.digest
                faces = {key: face for key, face in frame.parameters.items() if face.model_digest == digest}
                meshes = {face_id: self._mesh(face_id, parameters) for face_id, parameters in faces.items()}
                yield replace(frame, meshes=meshes)

    def _mesh(self, face_id: int, parameters: FaceParameters) -> Mesh:
        intrinsics = Intrinsics.from_field_of_view(parameters.image_size, _FIELD_OF_VIEW_DEG)
        vertices = self._shaper.vertices(face_id, parameters)
        pose = metric_pose(parameters.camera, intrinsics)
        return self._model.mesh(vertices, pose, self._model.rgb(parameters.gamma))


def _pictures(reader: BagReader) -> dict[str, str]:
    """The topics of image and overlay and which of the two each is; a bag need not have them."""
    found = {}
    for topic in (_OVERLAY, f"{_OVERLAY}{topics.COMPRESSED}"):
        if reader.topics.get(topic) in (IMAGE_TYPE, COMPRESSED_TYPE) and reader.count(topic):
            found = {topic: OVERLAY}
    # Without an image topic, or with several of which none is the tracker's, the rest is still worth showing.
    with contextlib.suppress(Face3DMMError):
        found[reader.image_topic()] = IMAGE
    return found


def _results(reader: BagReader) -> dict[str, str]:
    """The topics of the tracker's results and which part of a frame each is.

    Raises:
        Face3DMMError: there are none, or one has another type than expected.
    """
    found = {}
    for part, topic in _TOPICS.items():
        kind = reader.topics.get(topic)
        if kind is None or not reader.count(topic):
            continue
        if kind != _TYPES[part]:
            raise Face3DMMError(f"{topic} of {reader.path} is a {kind}, expected {_TYPES[part]}")
        found[topic] = part
    if not {LANDMARKS, PARAMETERS} & set(found.values()):
        topics = ", ".join(sorted(reader.topics)) or "nothing at all"
        raise Face3DMMError(
            f"{reader.path} has no results of the tracker (/face/landmarks or /face/params); it has {topics}. "
            "`face3dmm evaluate bag` makes such a bag of one with images"
        )
    return found
