"""Training of the dense network, for a given time rather than a number of steps; it goes on after a kill."""

import math
import multiprocessing as mp
import time
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from face3dmm_ros.core.worker_process import begin_worker
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.lab.landmark_networks.dense_network import DenseNet
from face3dmm_ros.lab.landmark_networks.dense_pictures import Chunk
from face3dmm_ros.lab.training.augmentation import Eyes, augmented
from face3dmm_ros.landmarks.dense_network import SIDE, upright_region
from face3dmm_ros.regressor.crops import CropView

_BATCH = 64
_PEAK_RATE = 1e-3
_TUNED_RATE = 0.3
"""Of that, for what Face Mesh brought: it shall not forget photographs."""
_WARM_UP = 200  # steps
_DECAY = 0.01
_AVERAGE = 0.998
"""Of the weights, from step to step: the average generalises better than the last."""
_EVERY = 60.0  # seconds between checkpoints
_EVALUATE = 500  # steps between looks at the validation faces
_EYES: Eyes = ((33, 133), (362, 263))
_RELOAD = 300.0  # seconds between looks for more pictures

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]


def train(folder: Path, mirror: NDArray[np.int32], checkpoint: Path, minutes: float, threads: int) -> DenseNet:
    """Train on all chunks but the first, which validates; returns the averaged network.

    Args:
        folder: of `render_chunks`; chunks that are added later are used, too.
        mirror: (468,) each point's counterpart on the other side of the face.
        checkpoint: written every minute, and continued from where it exists.
        minutes: to train for, those before a kill included; the rate falls to nothing over them.
        threads: of torch; augmentation takes a process besides.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = DenseNet().to(memory_format=torch.channels_last)
    averaged = DenseNet().eval()
    first = min(folder.glob("*.npz"))
    validation = _validation(first)
    with torch.no_grad():
        bias = network.head.bias.view(-1, 4)
        bias[:, :3], bias[:, 3] = _targets(validation[1]).mean(dim=0), -2.5
        network.head.weight *= 0.2
    tuned = list(network.tuned.parameters())
    fresh = [*network.added.parameters(), *network.squeeze.parameters(), *network.embed.parameters()]
    groups = [{"params": tuned, "share": _TUNED_RATE}, {"params": [*fresh, *network.head.parameters()], "share": 1.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=_DECAY)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    used, step = 0.0, 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        average, used, step = state["average"], state["used"], state["step"]
    # A forked process would inherit the locks of torch's and OpenGL's threads, and wait for them for ever.
    spawn = mp.get_context("spawn")
    queue: Queue[Batch] = spawn.Queue(24)
    feeder = spawn.Process(target=_feed, args=(queue, folder, first, mirror, step), daemon=True)
    feeder.start()
    started, saved = time.monotonic() - used, time.monotonic()
    with tqdm(total=round(60 * minutes), initial=round(used), unit="s", desc="training") as progress:
        while used < 60 * minutes:
            share = used / (60 * minutes)
            rate = _PEAK_RATE * min(1.0, (step + 1) / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = rate * group["share"]
            pictures, points = queue.get()
            network.train()
            loss = _loss(network(_inputs(pictures)), _targets(points))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimizer.step()
            step += 1
            _follow(average, network, min(_AVERAGE, 1 - 1 / (step + 1)))
            used = time.monotonic() - started
            progress.update(round(used) - progress.n)
            if step % _EVALUATE == 0:
                averaged.load_state_dict(average)
                progress.set_postfix_str(f"step {step}, validation {_error(averaged, validation):.2f} %")
            if time.monotonic() - saved > _EVERY or used >= 60 * minutes:
                state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
                with whole_file(checkpoint) as unfinished:
                    torch.save(state | {"used": used, "step": step}, unfinished)
                saved = time.monotonic()
    feeder.terminate()
    averaged.load_state_dict(average)
    print(f"{step} steps, validation error {_error(averaged, validation):.2f} % of √(w·h)")
    return averaged


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Distance, error of depth, and the Gaussian negative log-likelihood that teaches σ (Wood et al., eq. 1)."""
    squared = ((outputs[..., :2] - targets[..., :2]) ** 2).sum(dim=2)
    log_sigma = outputs[..., 3].clamp(-6, 1)
    likelihood = (squared * torch.exp(-2 * log_sigma) / 2 + 2 * log_sigma).mean()
    depth = (outputs[..., 2] - targets[..., 2]).abs().mean()
    return 10 * torch.sqrt(squared + 1e-6).mean() + 3 * depth + 0.02 * likelihood


def _follow(average: dict[str, Tensor], network: DenseNet, keep: float) -> None:
    with torch.no_grad():
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - keep)


def _feed(queue: "Queue[Batch]", folder: Path, left_out: Path, mirror: NDArray[np.int32], seed: int) -> None:
    """Fill a queue with augmented batches until the training ends."""
    begin_worker()
    rng = np.random.default_rng(seed)
    known: set[Path] = {left_out}
    loaded: list[Chunk] = []
    looked = -math.inf
    while True:
        if time.monotonic() - looked > _RELOAD:
            new = sorted(set(folder.glob("*.npz")) - known)
            loaded += [Chunk.load(path) for path in new]
            known |= set(new)
            looked = time.monotonic()
        pictures, points = [], []
        for _ in range(_BATCH):
            chunk = loaded[rng.integers(len(loaded))]
            index = int(rng.integers(len(chunk.jpegs)))
            truth = chunk.points[index]
            region = upright_region(truth[:, :2])
            seen, truth = augmented(rng, chunk.picture(index), truth, region, side=SIDE, mirror=mirror, eyes=_EYES)
            pictures.append(seen)
            points.append(truth)
        queue.put((np.stack(pictures), np.stack(points)))


def _validation(path: Path) -> Batch:
    """A chunk's faces, each in its exact crop."""
    chunk = Chunk.load(path)
    views = [CropView(upright_region(points[:, :2]), SIDE) for points in chunk.points]
    pictures = [view.pixels(chunk.picture(k)) for k, view in enumerate(views)]
    unmirrored = np.arange(chunk.points.shape[1])
    points = [view.points(points, unmirrored) for view, points in zip(views, chunk.points, strict=True)]
    return np.stack(pictures), np.stack(points)


def _error(network: DenseNet, validation: Batch) -> float:
    """Mean distance over the points and faces, % of √(w·h) of the points' box."""
    pictures, points = validation
    with torch.no_grad():
        parts = [network(_inputs(pictures[k : k + 100])) for k in range(0, len(pictures), 100)]
    found = torch.cat(parts).numpy()[..., :2] * SIDE + (SIDE - 1) / 2
    size = np.sqrt(np.ptp(points[..., :2], axis=1).prod(axis=1))
    return float(100 * (np.linalg.norm(found - points[..., :2], axis=2).mean(axis=1) / size).mean())


def _inputs(pictures: NDArray[np.uint8]) -> Tensor:
    rgb = torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1]))
    return (rgb.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


def _targets(points: NDArray[np.float32]) -> Tensor:
    """Points in sides of the crop, x and y from its middle."""
    targets = torch.from_numpy(points / np.float32(SIDE))
    targets[..., :2] -= (SIDE - 1) / 2 / SIDE
    return targets
