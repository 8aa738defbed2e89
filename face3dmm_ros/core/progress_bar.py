"""How far a long work is, on stderr."""

import sys
from collections.abc import Iterable
from typing import Any


def progress_bar(work: Iterable[Any] | None = None, **options: Any) -> Any:
    """tqdm's bar, with tqdm's options; where stderr is no terminal, it is drawn every ten seconds only."""
    from tqdm import tqdm

    return tqdm(work, mininterval=0.2 if sys.stderr.isatty() else 10.0, **options)
