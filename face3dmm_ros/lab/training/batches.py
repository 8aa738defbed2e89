"""Batches of faces for a training. Each depends on the seed and the number of its step alone.

So a training that was stopped goes on with the batches that it would have had, and as many processes as there may be
learn from the same samples.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.worker_process import begin_worker
from face3dmm_ros.lab.training.config import DatasetConfig, TrainingConfig
from face3dmm_ros.lab.training.datasets import open_dataset
from face3dmm_ros.lab.training.samples import FaceDataset, FaceSample, SampleBatch, SampleForm, collate

UNLABELLED = "unlabelled_folder"
_TRAINING, _VALIDATION = 0, 1


class SampleKey(NamedTuple):
    """A sample: index of its data set and of its face there, seed of its generator, and whether it is augmented."""

    dataset: int
    face: int
    seed: tuple[int, ...]
    augment: bool


@dataclass(frozen=True)
class Share:
    """The part of every batch that a process learns from: each `count`-th sample, from `first` on."""

    first: int = 0
    count: int = 1


class FaceStream(Dataset["FaceSample | Face3DMMError"]):
    """The data sets of a training, which each process opens for itself: renderers cannot be pickled."""

    def __init__(self, config: TrainingConfig) -> None:
        """Keep the configuration; nothing is opened yet."""
        self._config = config

    def __getstate__(self) -> dict[str, object]:
        """What is pickled for another process."""
        return {"_config": self._config}

    @cached_property
    def datasets(self) -> list[FaceDataset]:
        """The data sets, opened when first asked for.

        Raises:
            Face3DMMError: a data set cannot be opened.
        """
        return [_opened(dataset, self._config) for dataset in self._config.datasets]

    def __getitem__(self, key: SampleKey) -> FaceSample | Face3DMMError:
        """A sample, or its error: raised in a worker, an error would arrive wrapped in the worker's traceback."""
        try:
            return self.datasets[key.dataset].sample(key.face, np.random.default_rng(key.seed), key.augment)
        except Face3DMMError as error:
            return error


def training_counts(config: TrainingConfig, datasets: Sequence[FaceDataset]) -> list[int]:
    """Number of training samples of each data set; the ones after these are held back (none of unlabelled sets).

    Raises:
        Face3DMMError: a data set has no more faces than are held back for validation.
    """
    counts = []
    for described, dataset in zip(config.datasets, datasets, strict=True):
        held_back = 0 if described.kind == UNLABELLED else config.validation_count
        if len(dataset) <= held_back:
            name = described.path or described.kind
            raise Face3DMMError(
                f"{name} has {len(dataset)} faces, and {held_back} are held back for validation: give it more, or set "
                "a smaller validation_count"
            )
        counts.append(len(dataset) - held_back)
    return counts


def training_batches(
    config: TrainingConfig, stream: FaceStream, first_step: int, share: Share
) -> Iterator[SampleBatch]:
    """This process's part of each batch from `first_step` to the last.

    Every batch holds as many samples of each data set as its weight says.

    Raises:
        Face3DMMError: a data set cannot be opened, has too few faces, or a sample of it cannot be read; or a batch is
            too small for all data sets to be in it.
    """
    counts = training_counts(config, stream.datasets)
    places = dataset_of_place(config)
    mine = range(share.first, config.batch, share.count)
    missing = {d for d, dataset in enumerate(config.datasets) if dataset.weight} - {int(places[p]) for p in mine}
    if missing or len(mine) < 2:
        raise Face3DMMError(
            f"a batch of {config.batch} over {share.count} processes has no room for every data set by its weight, and "
            "two samples in each process: enlarge the batch, or the smaller weights"
        )

    def key(step: int, place: int) -> SampleKey:
        seed = (config.seed, _TRAINING, step, place)
        dataset = int(places[place])
        face = int(np.random.default_rng(seed).integers(counts[dataset]))
        return SampleKey(dataset, face, (*seed, 1), augment=True)

    keys = ([key(step, place) for place in mine] for step in range(first_step, config.steps))
    yield from _loaded(stream, keys, config.workers)


def dataset_of_place(config: TrainingConfig) -> NDArray[np.intp]:
    """(batch,) which data set each place in a batch is for: as many places as the weights say, rounded."""
    weights = np.array([dataset.weight for dataset in config.datasets])
    ends = np.cumsum(weights) / weights.sum()
    return np.searchsorted(ends, (np.arange(config.batch) + 0.5) / config.batch, side="right")


def sample_batches(
    config: TrainingConfig, stream: FaceStream, count: int, share: Share, *, held_back: bool
) -> Iterator[SampleBatch]:
    """This process's part of some labelled faces: to validate on those held back, or to measure those learnt from.

    Args:
        config: the training.
        stream: its data sets.
        count: how many faces of each labelled data set; no more than are held back, where these are wanted.
        share: this process's.
        held_back: faces held back, as they are; else those learnt from, spread over the set and augmented.

    Raises:
        Face3DMMError: a data set cannot be opened, has too few faces, or a sample of it cannot be read.
    """
    keys = []
    for d, learnt in enumerate(training_counts(config, stream.datasets)):
        if config.datasets[d].kind == UNLABELLED or not config.datasets[d].weight:
            continue
        for k in range(count):
            index = learnt + k if held_back else (k * learnt) // count
            seed = (config.seed, _VALIDATION, int(held_back), d, k)
            keys.append(SampleKey(d, index, seed, augment=not held_back))
    mine = keys[share.first :: share.count]
    parts = (mine[k : k + config.batch] for k in range(0, len(mine), config.batch))
    yield from _loaded(stream, parts, config.workers)


def _loaded(stream: FaceStream, keys: Iterable[Sequence[SampleKey]], workers: int) -> Iterator[SampleBatch]:
    """Batches of the samples of each list of keys."""
    loader: DataLoader[FaceSample | Face3DMMError] = DataLoader(
        stream,
        batch_sampler=keys,
        collate_fn=_collated,
        num_workers=workers,
        # A forked process would inherit the locks of OpenGL's and torch's threads, and wait for them for ever.
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=begin_worker,
        prefetch_factor=3 if workers else None,  # batches a worker has ready; chosen by hand, against memory
    )
    for batch in loader:
        if isinstance(batch, Face3DMMError):
            raise batch
        yield batch


def _collated(samples: list[FaceSample | Face3DMMError]) -> SampleBatch | Face3DMMError:
    """A batch, or the error of one of its samples."""
    errors = [sample for sample in samples if isinstance(sample, Face3DMMError)]
    return errors[0] if errors else collate([sample for sample in samples if isinstance(sample, FaceSample)])


@contextmanager
def worker_deaths_explained() -> Iterator[None]:
    """Turn torch's errors about a worker process that died, raised anywhere in the block, into a clear one.

    Raises:
        Face3DMMError: a worker died.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise Face3DMMError(
            "a process that makes samples was killed: it may have run out of memory, or of shared memory (see "
            "/dev/shm); set fewer workers, or a smaller batch"
        ) from error


def check(config: TrainingConfig, stream: FaceStream) -> list[str]:
    """Open each data set and read a face of it; returns a line about each.

    Raises:
        Face3DMMError: a data set cannot be opened, has too few faces, or its first face cannot be read.
    """
    lines = []
    for d, count in enumerate(training_counts(config, stream.datasets)):
        described, dataset = config.datasets[d], stream.datasets[d]
        sample = stream[SampleKey(d, 0, (config.seed,), augment=True)]
        if isinstance(sample, Face3DMMError):
            raise sample
        name = described.kind if described.path is None else f"{described.kind} {described.path}"
        lines.append(f"{name}: {count} faces to learn from, {len(dataset) - count} held back")
    return lines


def _opened(dataset: DatasetConfig, config: TrainingConfig) -> FaceDataset:
    layout = config.layout
    form = SampleForm(layout.shape_count, layout.expression_count, layout.texture_count)
    if config.learns_points:
        # Where a face's points lie depends on all of its coefficients.
        form = SampleForm(texture_count=0, dense=True)
    options = {"kind": dataset.kind, "model": config.model, "form": form, **dataset.options}
    if dataset.path is not None:
        options["path"] = dataset.path
    return open_dataset(options)
