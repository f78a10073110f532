"""What a graph is turned into: readable torch source, an ONNX file with its manifest, and the proof that they agree."""
