"""Plans as ONNX models: encoder, projector and compression of a modality in one graph, equal to the live model."""

from __future__ import annotations

from .onnx_export import Exported, export_onnx

__all__ = ["Exported", "export_onnx"]
