"""A face's track as an animation of somebody else's head: a GLB or VRM avatar, otherwise as it was."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.gltf.morphs import match_morphs
from face3dmm_ros.avatar.gltf.skeleton import eyes_that_turn, facing, find_bones, gaze_limits, rest_pose
from face3dmm_ros.avatar.weights.gaze import FULL_GAZE, eye_angles
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.avatar.weights.tuning import Tuning, WeightTuner
from face3dmm_ros.core.rotations import FRONTAL, nearest_rotation, quaternion, rotation_from_vector
from face3dmm_ros.files.gltf import glb_parts, load_gltf
from face3dmm_ros.files.whole_file import write_whole
from face3dmm_ros.films.glb import GlbArrays, one_sided
from face3dmm_ros.films.tracks import FaceTrack, TrackedFilm

_GAIN = 1.5
"""Of all weights, as the avatar node has it: detectors report a part of a movement."""


class AnimatedAvatar:
    """An avatar's file, to be animated by tracks."""

    def __init__(self, path: Path) -> None:
        """Read a .glb or .vrm file.

        Raises:
            Face3DMMError: it cannot be read, nothing in it can be driven, or it is in several files (.gltf).
        """
        self._file = load_gltf(path)
        self._matching = match_morphs(self._file)
        self._document, self._binary = glb_parts(path)
        bones = find_bones(self._file)
        self._world = rest_pose(self._file, bones)
        self._head = bones.get("head", -1)
        self._limits = gaze_limits(self._file)
        turning = eyes_that_turn(self._file, self._matching.missing, bones)
        self._eyes = [(side, bones[f"{side.lower()}Eye"]) for side, turns in turning.items() if turns]

    @property
    def notice(self) -> str:
        """What a user should know of it: that its head does not turn; mostly empty."""
        return "" if self._head >= 0 else f"{self._file.path} has no head bone: its head does not turn"

    def write(self, path: Path, film: TrackedFilm, track: FaceTrack, retargeting: BlendshapeWeights) -> None:
        """Write the avatar as binary glTF, with an animation more: morph targets, head bone and eye bones.

        Weights are above the person's rest, and stretched, as the avatar node has them; the rest is known from all of
        the track.

        Raises:
            Face3DMMError: the file cannot be written, or the face is of another model.
        """
        times = film.times[track.frames]
        weights = shown_weights(track, times, retargeting)
        arrays = GlbArrays(self._document, self._binary)
        keys = arrays.add(times.reshape(-1, 1), "SCALAR", limits=True)
        samplers: list[dict[str, Any]] = []
        channels: list[dict[str, Any]] = []

        def animate(node: int, what: str, output: int) -> None:
            channels.append({"sampler": len(samplers), "target": {"node": node, "path": what}})
            samplers.append({"input": keys, "output": output, "interpolation": "LINEAR"})

        nodes = arrays.document["nodes"]
        for mesh, values in self._targets(weights).items():
            output = arrays.add(values.reshape(-1, 1), "SCALAR")
            for node in (index for index, each in enumerate(self._file.nodes) if each.mesh == mesh):
                animate(node, "weights", output)
        turns = np.array([FRONTAL @ face.camera.rotation for face in track.parameters])
        if self._head >= 0:
            animate(self._head, "rotation", arrays.add(self._local(nodes, self._head, turns), "VEC4"))
        reach = np.minimum(FULL_GAZE, self._limits)
        for side, node in self._eyes:
            angles = [eye_angles(each, side, reach) for each in weights]
            gazes = np.array([rotation_from_vector([-pitch, yaw, 0.0]) for yaw, pitch in angles])
            animate(node, "rotation", arrays.add(self._local(nodes, node, gazes), "VEC4"))
        animation = {"name": film.name, "samplers": samplers, "channels": channels}
        arrays.document["animations"] = [*arrays.document.get("animations", []), animation]
        write_whole(path, arrays.packed())

    def _targets(self, weights: NDArray[np.float32]) -> dict[int, NDArray[np.float32]]:
        """By mesh, (n, targets) weights of its morph targets; those that nothing drives rest at 0."""
        values = np.array([self._matching.values(each) for each in weights])
        targets: dict[int, NDArray[np.float32]] = {}
        for place, channel in enumerate(self._matching.channels):
            for (mesh, target), share in channel.targets.items():
                count = len(self._file.meshes[mesh].target_names)
                moved = targets.setdefault(mesh, np.zeros((len(weights), count), np.float32))
                moved[:, target] += share * values[:, place]
        return {mesh: np.clip(moved, 0.0, 1.0) for mesh, moved in targets.items()}

    def _local(self, nodes: list[dict[str, Any]], node: int, turns: NDArray[np.float64]) -> NDArray[np.float64]:
        """A bone's rotations, (n, 4), that turn it in the world, where the figure looks along +z, (n, 3, 3).

        A bone that the file places by a matrix gets its parts in place of that, as glTF wants it of what is animated.
        """
        above = self._file.nodes[node].parent
        parent = nearest_rotation((self._world[above] if above >= 0 else facing(self._file))[:3, :3])
        own = self._file.nodes[node].matrix
        rest = nearest_rotation(own[:3, :3])
        if nodes[node].pop("matrix", None) is not None:
            scale = np.linalg.norm(own[:3, :3], axis=0)
            nodes[node] |= {
                "translation": own[:3, 3].tolist(),
                "rotation": list(quaternion(rest)),
                "scale": scale.tolist(),
            }
        return one_sided(np.array([quaternion(parent.T @ turn @ parent @ rest) for turn in turns]))


def shown_weights(track: FaceTrack, times: NDArray[np.float64], retargeting: BlendshapeWeights) -> NDArray[np.float32]:
    """(n, 52) weights for an avatar: above the person's rest and stretched, both learnt from all of the track."""
    tuner = WeightTuner(Tuning(gain=_GAIN))
    measured = [retargeting.of(face) for face in track.parameters]
    for weights, time in zip(measured, times.tolist(), strict=True):
        tuner.tune(track.face_id, weights, time)
    again = times - times[0] + times[-1] + 1e-3
    shown = [tuner.tune(track.face_id, weights, time) for weights, time in zip(measured, again.tolist(), strict=True)]
    return np.array(shown)
