"""`python -m tools.campaign soak`: long live runs with a recording; no process may grow, nor keep files open."""

import json
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import theilslopes

from benchmarks.clip import clip_frames
from face3dmm_ros.core.progress_bar import progress_bar
from tools.campaign.live_run import LiveRun, started
from tools.campaign.memory import resident_bytes
from tools.campaign.report import Case

_SETTLING_S, _PERIOD_S = 300.0, 5.0
"""s before growth is judged, and from one look at the processes to the next."""
_MOST_GROWTH = 0.01
"""Of its memory that a process may grow by in an hour."""
_MOST_MORE_FILES = 2
"""Files that a process may have open more at the end than when it was settled: some are open for a moment."""
_SIZE, _FPS = (640, 480), 30.0
_KINDS = {
    "one face, composed": (1, "--composed"),
    "four faces, composed": (4, "--composed"),
    "one face, apart": (1, "--no-composed"),
    "four faces, apart": (4, "--no-composed"),
}


@dataclass(frozen=True)
class _Sample:
    """A process at a moment: s since the first look, resident bytes, open files."""

    time: float
    memory: int
    files: int


def run(numbers: Iterable[int], minutes: float, only: str, out: Path) -> Iterator[Case]:
    """Let live runs go on, the kinds in turn, and yield what became of their processes.

    Args:
        numbers: of the trials.
        minutes: that each goes on.
        only: a part of the names of the kinds to take; all of them if empty.
        out: folder for what was seen of the processes, as CSV.
    """
    names = [name for name in _KINDS if only in name]
    for k in numbers:
        name = names[k % len(names)]
        faces, placement = _KINDS[name]
        with tempfile.TemporaryDirectory(prefix="campaign_") as folder:
            clip = _clip(Path(folder) / "clip.mp4", faces)
            source = ("--source", str(clip), "--fps", str(_FPS), "--max-faces", str(faces), placement)
            live = started(Path(folder), *source)
            stopped, samples = _watch(live, 60.0 * minutes)
            ended = live.end(signal.SIGINT, (0, 3))
            summary = json.loads(path.read_text()) if (path := live.out / "summary.json").exists() else {}
        _keep(out / f"soak_{name.replace(', ', '_').replace(' ', '_')}.csv", samples)
        grown, words = _judged(samples)
        wrong = stopped or grown or ended
        yield Case(name, str(k), "failed" if wrong else "survived", f"{wrong} {words}; {_told(summary)}", not wrong)


def growth_an_hour(times: list[float], amounts: list[int]) -> float:
    """By how much of it something grows in an hour: the median of its slopes (Theil and Sen) over its median.

    Args:
        times: s.
        amounts: at these times.
    """
    return float(3600.0 * theilslopes(amounts, times)[0] / np.median(amounts)) if len(times) > 1 else 0.0


def _clip(path: Path, faces: int) -> Path:
    """The sample clip as a video of one face, or of four in a square."""
    width, height = _SIZE
    small = clip_frames(_SIZE if faces == 1 else (width // 2, height // 2))
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _FPS, _SIZE)
    for k, frame in enumerate(small):
        # The four are apart in time, so that they are not one face four times.
        others = [small[(k + shift * len(small) // 5) % len(small)] for shift in range(1, 4)]
        video.write(frame if faces == 1 else np.vstack([np.hstack([frame, others[0]]), np.hstack(others[1:])]))
    video.release()
    return path


def _watch(live: LiveRun, seconds: float) -> tuple[str, dict[str, list[_Sample]]]:
    """Look at a run's processes for so long; why that ended early, if it did, and what was seen of each process."""
    samples: defaultdict[str, list[_Sample]] = defaultdict(list)
    if wrong := live.wait_for_overlays():
        return wrong, samples
    begun = time.monotonic()
    for _ in progress_bar(range(int(seconds / _PERIOD_S)), total=int(seconds / _PERIOD_S), unit="look"):
        time.sleep(_PERIOD_S)
        if live.process.poll() is not None:
            return f"ended with {live.process.returncode}: {live.said()}", samples
        for pid, command in live.processes().items():
            with suppress(OSError):  # it has just ended
                sample = _Sample(time.monotonic() - begun, resident_bytes(pid), _open_files(pid))
                samples[f"{_name(command)} {pid}"].append(sample)
    return "", samples


def _judged(samples: dict[str, list[_Sample]]) -> tuple[str, str]:
    """Which processes grow, in words, and how each of them does."""
    growing, words = [], []
    for name, seen in samples.items():
        settled = [sample for sample in seen if sample.time >= _SETTLING_S] or seen
        growth = growth_an_hour([sample.time for sample in settled], [sample.memory for sample in settled])
        megabytes = 1e-6 * float(np.median([sample.memory for sample in settled]))
        more = settled[-1].files - settled[0].files
        words.append(f"{name}: {megabytes:.0f} MB, {100.0 * growth:+.2f} % an hour, {more:+d} files")
        if growth > _MOST_GROWTH or more > _MOST_MORE_FILES:
            growing.append(name)
    return f"{', '.join(growing)} grew:" if growing else "", "; ".join(words)


def _keep(path: Path, samples: dict[str, list[_Sample]]) -> None:
    rows = [f"{name},{s.time:.1f},{s.memory},{s.files}" for name, seen in samples.items() for s in seen]
    path.write_text("\n".join(["process,seconds,resident_bytes,open_files", *rows]) + "\n")


def _name(command: str) -> str:
    """A process's program in a word: the node or module that its command line names."""
    words = [word for word in command.split("\0") if word]
    return next((word for word in words if word.endswith(("_node", "composition", "live"))), words[0] if words else "?")


def _open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _told(summary: dict) -> str:
    """What a run's summary says of what it did and did not do."""
    names = ("frames_in", "frames_overlay", "fps", "messages_not_recorded")
    return ", ".join(f"{name} {summary[name]}" for name in names if name in summary)
