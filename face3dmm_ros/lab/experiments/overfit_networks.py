"""Every network learns 32 synthetic faces by heart: what does not, has a fault in its layers, labels or units.

Renders the faces, lets each network (with and without the landmark map where it takes one) see all of them at every
step, and prints how much of its first loss is left. Needs torch (`make torch`). The ResNets take a few seconds a step
on two cores.
"""

import argparse
import sys
import time

import numpy as np
import torch
from tqdm import tqdm

from face3dmm_ros.lab.training import losses
from face3dmm_ros.lab.training.cropped_faces import CroppedFaces
from face3dmm_ros.lab.training.samples import SampleBatch, collate
from face3dmm_ros.lab.training.synthetic_faces import RenderedFaces
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.regressor.face_regressor import FaceRegressor
from face3dmm_ros.regressor.landmark_map import landmark_maps
from face3dmm_ros.regressor.networks import NETWORKS, build_network
from face3dmm_ros.regressor.parameter_layout import ParameterLayout, Whitening

FACES = 32
LAYOUT = ParameterLayout("6d", shape_count=40, expression_count=10)
ENOUGH = 0.02
"""Share of the first loss that may be left."""


def main() -> int:
    """Train each; returns 1 where one did not learn the faces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help="by their names")
    parser.add_argument("--steps", type=int, default=150)
    arguments = parser.parse_args()
    batch = rendered_faces()
    raw = LAYOUT.encode(batch.parameters)
    whitening = Whitening.measured(LAYOUT, raw)
    learnt = True
    for name in arguments.networks:
        for with_map in (False, True):
            began = time.monotonic()
            first, last = overfit(name, batch, whitening, raw, arguments.steps, with_map)
            learnt &= last < ENOUGH * first
            what = f"{name}{', landmark map' if with_map else ''}"
            seconds = time.monotonic() - began
            print(
                f"{what:24} loss {first:7.2f} → {last:7.4f}  {100 * last / first:6.2f} %  {seconds:5.0f} s", flush=True
            )
    return 0 if learnt else 1


def rendered_faces() -> SampleBatch:
    """The faces, in exact crops."""
    model = load_model("default")
    source = RenderedFaces(model, 1, chunk_size=FACES)
    faces = CroppedFaces(source, model, LAYOUT.shape_count, LAYOUT.expression_count, LAYOUT.texture_count)
    batch = collate([faces.sample(index, np.random.default_rng(index), augment=False) for index in range(FACES)])
    source.close()
    return batch


def overfit(
    name: str, batch: SampleBatch, whitening: Whitening, raw: torch.Tensor, steps: int, with_map: bool
) -> tuple[float, float]:
    """The squared distance of whitened parameters before the first and after the last step."""
    torch.manual_seed(0)
    network = build_network(name, 4 if with_map else 3, LAYOUT.size).to(memory_format=torch.channels_last)
    landmarks = batch.parameters.landmarks
    maps = landmark_maps(landmarks) if with_map and landmarks is not None else None
    inputs = FaceRegressor(network, LAYOUT, whitening).normalise(batch.crops, maps)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    target = whitening.whiten(raw)
    learning = [value for value in network.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learning, 1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    values = []
    for _ in tqdm(range(steps), desc=name, leave=False, disable=None):
        loss = losses.asymmetric_euclidean(network(inputs), target, over=1.0, under=1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        values.append(float(loss.detach()))
    with torch.no_grad():
        values.append(float(losses.asymmetric_euclidean(network(inputs), target, over=1.0, under=1.0)))
    return values[0], values[-1]


if __name__ == "__main__":
    sys.exit(main())
