"""What came of a campaign's cases: kept line by line, so that a campaign goes on where it was stopped."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One trial.

    Attributes:
        kind: of what was tried.
        seed: that makes it again.
        outcome: in a word or two.
        words: the error, or what else there is to say.
        good: whether it was refused or survived as it should be.
    """

    kind: str
    seed: str
    outcome: str
    words: str
    good: bool


def read(path: Path) -> list[Case]:
    """The cases of a file that `append` wrote; none if there is no file."""
    return [Case(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, case: Case) -> None:
    """Add a case to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(case)) + "\n")


def table(cases: Iterable[Case]) -> str:
    """How often each outcome came, by kind, and in all."""
    counts = Counter((case.kind, case.outcome) for case in cases)
    outcomes = sorted({outcome for _, outcome in counts})
    totals: Counter[str] = Counter()
    for (_, outcome), count in counts.items():
        totals[outcome] += count
    rows = {kind: [counts[kind, outcome] for outcome in outcomes] for kind in sorted({kind for kind, _ in counts})}
    rows["in all"] = [totals[outcome] for outcome in outcomes]
    head = f"{'':<24}" + "".join(f"{outcome:>13}" for outcome in outcomes)
    return "\n".join([head, *(f"{kind:<24}" + "".join(f"{n:>13}" for n in row) for kind, row in rows.items())])
