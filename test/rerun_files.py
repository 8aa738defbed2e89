"""What was logged into a Rerun file, read back."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from rerun.recording import load_recording


def logged(path: Path) -> dict[str, list[tuple[int, int, Any]]]:
    """By entity and component, the stamp, ns, the frame and the value of each row, in the order of the stamps."""
    rows = defaultdict(list)
    for chunk in load_recording(path).chunks():
        batch = chunk.to_record_batch()
        if "stamp" not in batch.schema.names:
            continue
        for name in batch.schema.names:
            if ":" in name:
                columns = (batch.column(column) for column in ("stamp", "frame", name))
                for stamp, frame, value in zip(*columns, strict=True):
                    if value.is_valid:
                        rows[f"{chunk.entity_path} {name}"].append((stamp.value, frame.as_py(), value.as_py()))
    return {key: sorted(values, key=lambda row: row[0]) for key, values in rows.items()}
