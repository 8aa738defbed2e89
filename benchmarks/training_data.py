"""How fast faces to learn from are rendered, read, cropped and disturbed: what feeds a training of regressors."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from face3dmm_ros.lab.synthesis.backgrounds import find_pictures
from face3dmm_ros.lab.training.augmentation import disturbed
from face3dmm_ros.lab.training.cropped_faces import CroppedFaces
from face3dmm_ros.lab.training.face_chunks import FaceChunks
from face3dmm_ros.lab.training.samples import SampleForm, collate
from face3dmm_ros.lab.training.synthetic_faces import SCENES, RenderedFaces, render_chunks
from face3dmm_ros.morphable_model import load_model

FACES = 48
"""Kept faces that are read by turns; chosen by hand."""


@contextmanager
def training_data() -> Iterator[dict[str, Callable[[], object]]]:
    """Each step from a random scene to a sample, by the names of the table's rows."""
    model = load_model("default")
    scenes = replace(SCENES, pictures=find_pictures(None))
    fresh = RenderedFaces(model, FACES, scenes=scenes, chunk_size=1)
    with tempfile.TemporaryDirectory() as folder:
        kept = FaceChunks(render_chunks(Path(folder), RenderedFaces(model, 1, scenes=scenes, chunk_size=FACES)), model)
        faces = CroppedFaces(kept, model, SampleForm(40, 10, 0))
        sample = faces.sample(0, np.random.default_rng(0), augment=False)
        turn = count()

        def drawn(augment: bool) -> object:
            number = next(turn)
            return faces.sample(number % FACES, np.random.default_rng(number), augment)

        yield {
            "render a face, 192 px": lambda: fresh.record(next(turn) % FACES),
            "read a kept face": lambda: kept.record(next(turn) % FACES),
            "sample, as it is": lambda: drawn(False),
            "sample, augmented": lambda: drawn(True),
            "its disturbances alone": lambda: disturbed(
                np.random.default_rng(next(turn)), sample.crop, sample.landmarks
            ),
            "collate 144 samples": lambda: collate([sample] * 144),
        }
        fresh.close()
