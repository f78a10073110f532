"""Precisions other than float32: half precision written straight from the graph, int8 by ONNX Runtime's quantiser."""
