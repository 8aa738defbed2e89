"""Synthetic faces with the true places of Face Mesh's points, in chunks on disk that a stopped run takes up again."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.files.picture_decoding import decode_picture
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.lab.synthesis.backgrounds import find_pictures
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_scene
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel

CHUNK = 500
_SIDE = 256
_JPEG_QUALITY = 93


@dataclass(frozen=True, eq=False)
class Chunk:
    """n pictures.

    Attributes:
        jpegs: the encoded pictures.
        points: (n, 468, 3) float32: x and y, px, and depth toward the viewer, px.
        rotations: (n, 3, 3) float32, model → camera.
        scales: (n,) float32, px/mm.
    """

    jpegs: list[bytes]
    points: NDArray[np.float32]
    rotations: NDArray[np.float32]
    scales: NDArray[np.float32]

    def picture(self, index: int) -> NDArray[np.uint8]:
        """One picture, BGR."""
        return decode_picture(self.jpegs[index], f"picture {index} of a chunk")

    @staticmethod
    def load(path: Path) -> "Chunk":
        """Read what `render_chunks` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            ends = np.cumsum(arrays["lengths"])
            data = arrays["jpegs"].tobytes()
            jpegs = [data[end - length : end] for end, length in zip(ends, arrays["lengths"], strict=True)]
            return Chunk(jpegs, arrays["points"], arrays["rotations"], arrays["scales"])


def render_chunks(folder: Path, model: MorphableModel, count: int, seed: int) -> None:
    """Render `count` chunks, those already in the folder apart; picture k of chunk c depends on (seed, c, k) alone."""
    folder.mkdir(parents=True, exist_ok=True)
    surface = model.scheme("mediapipe478").at(slice(SKIN_COUNT))
    options = SceneOptions(
        image_size=(_SIDE, _SIDE),
        max_yaw=100.0,
        max_pitch=40.0,
        max_roll=30.0,
        face_share=(0.46, 0.60),
        off_center=0.03,
        pictures=find_pictures(None),
    )
    missing = [c for c in range(count) if not (folder / f"{seed:03d}_{c:04d}.npz").is_file()]
    if not missing:
        return
    with SceneRenderer(model) as renderer, tqdm(total=CHUNK * len(missing), unit="faces", desc="rendering") as progress:
        for c in missing:
            jpegs: list[bytes] = []
            points, rotations, scales = [], [], []
            for k in range(CHUNK):
                scene = random_scene(np.random.default_rng([seed, c, k]), model, options)
                rendered = renderer.render(scene)
                encoded = cv2.imencode(".jpg", rendered.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
                jpegs.append(encoded.tobytes())
                points.append(rendered.points(surface))
                rotations.append(scene.camera.rotation)
                scales.append(scene.camera.scale)
                progress.update()
            path = folder / f"{seed:03d}_{c:04d}.npz"
            with whole_file(path) as unfinished, unfinished.open("wb") as file:
                np.savez(
                    file,
                    jpegs=np.frombuffer(b"".join(jpegs), np.uint8),
                    lengths=np.array([len(jpeg) for jpeg in jpegs]),
                    points=np.array(points, np.float32),
                    rotations=np.array(rotations, np.float32),
                    scales=np.array(scales, np.float32),
                )
