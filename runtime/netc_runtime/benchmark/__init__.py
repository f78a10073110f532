"""Measuring a model under load: closed and open loops, and beside the bare loop around ONNX Runtime."""
