"""`face3dmm model info MODEL`: what is in a face model."""

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.cli.options import add_json_option
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.landmark_schemes import IBUG68
from face3dmm_ros.morphable_model import MorphableModel, load_model, model_path
from face3dmm_ros.morphable_model.formats import format_at, licence_at

PURPOSE = "what is in a model: format, licence, sizes, names"
DESCRIPTION = (
    "Say what is in a face model: its format and licence as far as known, how many vertices and components it has, "
    "how far these reach, the names of its expressions, and which landmarks it knows."
)
EPILOG = """
examples:
  face3dmm model info default
  face3dmm model info FLAME2020/generic_model.pkl
  face3dmm model info default --json | jq .expressions.names
"""
_OUTER_EYE_CORNERS = [36, 45]


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the kind."""
    verb.add_argument("model", metavar="MODEL", help="'default', or a model's file or folder")
    add_json_option(verb, "what is in the model")


def run(arguments: argparse.Namespace) -> int:
    """Tell; returns 0.

    Raises:
        Face3DMMError: no such model, or it cannot be read.
    """
    path = model_path(arguments.model)
    known = format_at(path)
    about = {"file": str(path), "format": known.title, "licence": licence_at(path, known)}
    told = about | summary(load_model(arguments.model))
    if arguments.json:
        print(json.dumps(told))
    else:
        for name, value in _lines(told):
            print(f"{name:20s} {value}")
    return 0


def summary(model: MorphableModel) -> dict[str, Any]:
    """What is in a model, as JSON has it."""
    width, height, depth = np.ptp(model.mean, axis=0).tolist()
    names = [name for name in model.expression_names if name in ARKIT_NAMES]
    eyes = model.landmarks[IBUG68].interpolate(model.mean)[_OUTER_EYE_CORNERS] if IBUG68 in model.landmarks else None
    return {
        "name": model.name,
        "digest": model.digest,
        "vertices": model.vertex_count,
        "triangles": len(model.triangles),
        "size_mm": {"width": round(width, 1), "height": round(height, 1), "depth": round(depth, 1)},
        "outer_eye_corners_mm": None if eyes is None else round(float(np.linalg.norm(eyes[0] - eyes[1])), 1),
        "identity": _reach(model.shape_basis, model.shape_sigma),
        "expressions": _reach(model.expression_basis, model.expression_sigma)
        | {"bounded": bool(np.isfinite(model.expression_bounds).any()), "arkit": len(names)}
        | {"names": list(model.expression_names)},
        "albedo": {"components": len(model.albedo_sigma), "coloured": bool(np.ptp(model.albedo_mean, axis=0).any())},
        "landmarks": {scheme: len(points.vertices) for scheme, points in model.landmarks.items()},
        "outlines": {scheme: len(contour.landmarks) for scheme, contour in model.contours.items()},
        "regions": sorted(model.regions),
        "turning_eyes": bool(len(model.gaze(np.eye(3), np.zeros(model.expression_count)))),
    }


def _reach(basis: NDArray[np.float32], sigma: NDArray[np.float32]) -> dict[str, Any]:
    """How many components there are, and how far the vertices move by one σ of each, mm: mean over the head."""
    moved = np.linalg.norm((basis * sigma).reshape(len(basis) // 3, 3, -1), axis=1).mean(axis=0)
    return {"components": len(sigma), "mean_mm_by_sigma": [round(float(value), 3) for value in moved]}


def _lines(told: dict[str, Any]) -> list[tuple[str, str]]:
    """What is told to people, name and value."""
    size, expressions = told["size_mm"], told["expressions"]
    return [
        ("file", told["file"]),
        ("format", told["format"]),
        ("licence", told["licence"]),
        ("name", told["name"]),
        ("digest", told["digest"]),
        ("mesh", f"{told['vertices']} vertices, {told['triangles']} triangles"),
        ("mean", f"{size['width']} × {size['height']} × {size['depth']} mm (width, height, depth)"),
        ("outer eye corners", _or_unknown(told["outer_eye_corners_mm"], " mm apart")),
        ("identity", _components(told["identity"])),
        (
            "expressions",
            f"{_components(expressions)}; {'bounded' if expressions['bounded'] else 'of any size'}; "
            f"{expressions['arkit']} have ARKit's names",
        ),
        ("  names", _listed(expressions["names"])),
        ("albedo", f"{told['albedo']['components']} components" if told["albedo"]["coloured"] else "none: drawn grey"),
        ("landmarks", _listed(told["landmarks"] or ["none: `face3dmm model correspond FILE` finds them"])),
        ("outlines", _listed(told["outlines"])),
        ("regions", _listed(told["regions"])),
        ("eyes that turn", "yes" if told["turning_eyes"] else "no"),
    ]


def _components(reach: dict[str, Any]) -> str:
    moved = reach["mean_mm_by_sigma"]
    return f"{len(moved)} components" + (f", of {max(moved):.2f} to {min(moved):.2f} mm by one σ" if moved else "")


def _listed(names: Any) -> str:
    shown = list(names)
    more = f", … ({len(shown)})" if len(shown) > 8 else ""
    return ", ".join(shown[:8]) + more if shown else "none"


def _or_unknown(value: float | None, unit: str) -> str:
    return "not known" if value is None else f"{value}{unit}"
