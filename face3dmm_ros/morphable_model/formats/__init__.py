"""Layouts of face models that people have, brought to one convention: one module each, found by content."""

from face3dmm_ros.morphable_model.formats.registry import FORMATS, ModelFormat, format_at, licence_at, read_model

__all__ = ["FORMATS", "ModelFormat", "format_at", "licence_at", "read_model"]
