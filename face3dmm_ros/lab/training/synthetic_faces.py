"""Rendered faces of random people, each with its exact truth: made as they are asked for, or once and kept on disk."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.worker_process import begin_worker
from face3dmm_ros.lab.synthesis.backgrounds import find_pictures
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_scene
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.lab.training.cropped_faces import CroppedFaces
from face3dmm_ros.lab.training.face_chunks import FaceChunks, FaceRecord, make_missing, write_chunk
from face3dmm_ros.lab.training.samples import SampleForm
from face3dmm_ros.morphable_model import MorphableModel, load_model

CHUNK = 250
"""Faces in a chunk, unless another number is asked for; chosen by hand: what a kill costs at most, and few files."""
DRAWN = "drawn"
"""In place of a folder of backgrounds: procedural textures only."""
SCENES = SceneOptions(
    image_size=(192, 192),
    max_yaw=100.0,
    max_pitch=40.0,
    max_roll=30.0,
    face_share=(0.46, 0.60),
    off_center=0.03,
    occluder=0.15,
)
"""Faces that a crop of 120 px needs no enlarging of, turned as far as one side of them is seen; chosen by hand."""


class RenderedFaces:
    """A `FaceSource` that renders each face when it is asked for. Not for use by several threads at once."""

    def __init__(
        self, model: MorphableModel, chunks: int, seed: int = 0, scenes: SceneOptions = SCENES, chunk_size: int = CHUNK
    ) -> None:
        """Describe `chunks` · `chunk_size` faces of a model; the OpenGL context is opened for the first of them."""
        self.model, self.chunks, self.seed, self.scenes, self.chunk_size = model, chunks, seed, scenes, chunk_size
        self._renderer: SceneRenderer | None = None

    def __len__(self) -> int:
        """How many faces there are."""
        return self.chunks * self.chunk_size

    def __getstate__(self) -> dict[str, object]:
        """What is pickled for another process, which renders with an OpenGL context of its own."""
        return {**vars(self), "_renderer": None}

    def record(self, index: int) -> FaceRecord:
        """A face: that of number k in chunk c, which depends on the seed, c and k alone.

        Raises:
            Face3DMMError: OpenGL 3.3 is not available.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"face {index} of {len(self)}")
        if self._renderer is None:
            self._renderer = SceneRenderer(self.model)
        rng = np.random.default_rng([self.seed, *divmod(index, self.chunk_size)])
        rendered = self._renderer.render(random_scene(rng, self.model, self.scenes))
        scene = rendered.scene
        coefficients = scene.alpha, scene.beta, scene.gamma
        return FaceRecord(rendered.image, scene.camera, *coefficients, rendered.landmarks()[:, :2])

    def write(self, path: Path, chunk: int) -> None:
        """Render one chunk into a file."""
        size = self.chunk_size
        write_chunk(path, map(self.record, range(chunk * size, (chunk + 1) * size)), self.model)

    def close(self) -> None:
        """Close the OpenGL context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def render_chunks(folder: Path, faces: RenderedFaces, processes: int = 1) -> list[Path]:
    """Render the chunks of faces that are not in a folder yet.

    Face k of chunk c depends on the seed, c, k, the model and the options alone, so that a run that was stopped goes on
    where it was, and more chunks can be added later.

    Args:
        folder: made if missing.
        faces: which ones.
        processes: that render, each a chunk at a time.

    Returns:
        The chunks' paths.

    Raises:
        Face3DMMError: OpenGL 3.3 is not available, the folder cannot be written to, or a rendering process was killed.
    """
    recipe = json.dumps([faces.chunk_size, faces.model.digest, faces.scenes.recipe()])
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    names = [f"synthetic_{digest}_{faces.seed}_{chunk:05d}" for chunk in range(faces.chunks)]

    def make(missing: Sequence[Path]) -> None:
        from tqdm import tqdm

        jobs = [(path, int(path.stem.rpartition("_")[2])) for path in missing]
        with tqdm(total=faces.chunk_size * len(jobs), unit="faces", desc="rendering") as progress:
            for _ in _rendered(faces, jobs, processes):
                progress.update(faces.chunk_size)

    return make_missing(folder, names, make)


def open_synthetic_faces(
    path: str | Path | None = None,
    model: str = "default",
    form: SampleForm | None = None,
    chunks: int = 40,
    seed: int = 0,
    scenes: Mapping[str, object] | None = None,
    backgrounds: str | Path | None = None,
    processes: int = 1,
    chunk_size: int = CHUNK,
    undisturbed: float = 0.0,
    assets: str | Path | None = None,
    people: Sequence[str] = (),
) -> CroppedFaces:
    """A data set of rendered faces.

    Args:
        path: folder in which they are kept, rendered first where they are not there yet; None renders each face
            whenever it is asked for.
        model: whose faces; as `load_model` takes it.
        form: of the samples; γ is of the skin alone, without what a scene has over it.
        chunks: how many times `chunk_size` faces there are.
        seed: of all that is random.
        scenes: what to draw from, fields of `SceneOptions` by their names, in place of those of `SCENES`. With a
            ``field_of_view`` the pictures and their landmarks are in perspective; s, R, t are the weak perspective
            nearest to it at the model's origin.
        backgrounds: folder of pictures to stand behind the faces; ``drawn`` for none but drawn ones, the same on
            every machine; None for photographs that are installed, see `backgrounds.find_pictures`.
        processes: that render into the folder.
        chunk_size: faces in a file.
        undisturbed: share of the samples to learn from that are spared blur, noise, occluders and a crop far off.
        assets: folder of MakeHuman's assets and panoramas that people wear and stand in; None for none.
        people: folders of portraits with points set by hand, whose skins are mixed, such as ``london:odd``.

    Raises:
        Face3DMMError: an option is out of its range, the model cannot be read, or as `render_chunks`.
    """
    numbers = (("chunks", chunks, 1), ("seed", seed, 0), ("processes", processes, 1), ("chunk_size", chunk_size, 1))
    for name, value, low in numbers:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise Face3DMMError(f"{name} of rendered faces must be a whole number from {low} up, found {value!r}")
    pictures = () if backgrounds == DRAWN else find_pictures(Path(backgrounds) if backgrounds else None)
    if isinstance(people, str) or not all(isinstance(folder, str) for folder in people):
        raise Face3DMMError(f"people must be a list of folders, found {people!r}")
    options = replace(
        _scene_options(scenes or {}),
        pictures=pictures,
        assets=Path(assets) if assets else None,
        people=tuple(people),
    )
    loaded = load_model(model)
    options.open(loaded)
    faces = RenderedFaces(loaded, chunks, seed, options, chunk_size)
    source = faces if path is None else FaceChunks(render_chunks(Path(path), faces, processes), loaded)
    return CroppedFaces(source, loaded, form, undisturbed)


def _scene_options(changes: Mapping[str, object]) -> SceneOptions:
    """`SCENES` with changes.

    Raises:
        Face3DMMError: unknown names, or values that cannot be.
    """
    if not isinstance(changes, Mapping):
        raise Face3DMMError(f"scenes must be options by their names, found {changes!r}")
    known = [field.name for field in fields(SceneOptions) if field.name not in ("pictures", "assets", "people")]
    for name in changes:
        if name not in known:
            raise Face3DMMError(f"scenes have no option {name!r}; they have {', '.join(known)}")
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    try:
        return replace(SCENES, **plain)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise Face3DMMError(f"scenes cannot be drawn from {dict(changes)}: {error}") from error


def _rendered(faces: RenderedFaces, jobs: Sequence[tuple[Path, int]], processes: int) -> Iterator[None]:
    """Render chunks; yields after each."""
    if processes == 1:
        for job in jobs:
            faces.write(*job)
            yield
        faces.close()
        return
    # A forked process would inherit the locks of this one's threads.
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (faces,)) as pool:
        try:
            for done in as_completed([pool.submit(_write, *job) for job in jobs]):
                yield done.result()
        except BrokenProcessPool as error:
            raise Face3DMMError(
                "a rendering process was killed: give it more memory, or use fewer processes"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_kept: list[RenderedFaces] = []
"""What a rendering process renders from."""


def _begin(faces: RenderedFaces) -> None:
    begin_worker()
    _kept.append(faces)


def _write(path: Path, chunk: int) -> None:
    _kept[0].write(path, chunk)
