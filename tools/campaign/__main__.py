"""`python -m tools.campaign`: tries to break the package, and tells what came of it."""

import argparse
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from face3dmm_ros.core.progress_bar import progress_bar
from tools.campaign import report
from tools.campaign.report import Case


def main() -> int:
    """Run a campaign, or what is left of it; returns 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.campaign", description=__doc__)
    parser.add_argument("what", choices=tuple(_CAMPAIGNS), help="what to try")
    parser.add_argument("--count", type=int, default=1000, help="of trials, with those of earlier runs into the folder")
    parser.add_argument("--seed", type=int, default=0, help="the same trials have the same seed")
    parser.add_argument("--only", default="", help="a part of the names of the kinds to try")
    parser.add_argument("--minutes", type=float, default=60.0, help="that each trial of soak goes on (default: 60)")
    parser.add_argument("--out", type=Path, default=Path("build/campaign"), help="folder to keep what came of them in")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    # Topics have slashes in their names.
    only = options.only and "-" + options.only.strip(". ").replace("/", "_")
    path = options.out / f"{options.what}{options.seed}{only}.jsonl"
    cases = report.read(path)
    left = progress_bar(range(len(cases), options.count), initial=len(cases), total=options.count, unit="trial")
    for case in _CAMPAIGNS[options.what](left, options):
        report.append(path, case)
        cases.append(case)
    print(report.table(cases))
    bad = [case for case in cases if not case.good]
    for case in bad[:20]:
        print(f"{case.kind} {case.seed}: {case.outcome}: {case.words}", file=sys.stderr)
    print(f"{len(cases)} trials, {len(bad)} went wrong: {path}")
    return 1 if bad else 0


def _files(numbers: Iterable[int], options: Namespace) -> Iterator[Case]:
    from tools.campaign import files

    return files.run(numbers, options.seed, options.only)


def _messages(numbers: Iterable[int], options: Namespace) -> Iterator[Case]:
    from face3dmm_ros.live.middleware import apply_settings, free_stale_segments

    free_stale_segments()
    apply_settings(loopback=True)  # Before rclpy is imported, which looks at the environment once.
    from tools.campaign import messages

    return messages.run(numbers, options.seed, options.only)


def _runs(numbers: Iterable[int], options: Namespace) -> Iterator[Case]:
    from face3dmm_ros.live.middleware import apply_settings

    apply_settings(loopback=True)  # As above; what runs are started with is the same.
    from tools.campaign import runs

    return runs.run(numbers, options.seed, options.only)


def _soak(numbers: Iterable[int], options: Namespace) -> Iterator[Case]:
    from tools.campaign import soak

    return soak.run(numbers, options.minutes, options.only, options.out)


_CAMPAIGNS: dict[str, Callable[[Iterable[int], Namespace], Iterator[Case]]] = {
    "files": _files,
    "messages": _messages,
    "runs": _runs,
    "soak": _soak,
}


if __name__ == "__main__":
    sys.exit(main())
