"""Blocks whose classes are easily written wrong: torch runs them as ONNX Runtime runs the graph."""

from __future__ import annotations

import ast
import subprocess
import sys

import numpy as np
import pytest

from netc.backends.torch import source
from tests.language.spec import admitted
from tests.one_layer import close, in_onnxruntime, in_torch, randomised, to_onnx

SPECS = {
    "a block applied again that is wired in another way for other sizes": """
block t() {
  conv(4, k=1) -> a: relu -> b: sigmoid
  from b -> if in.h > 8 { from a -> c: tanh } else { c: tanh }
  from a, b, c -> concat
}
net A {
  input image: f32[N, 4, 16, 16]
  output y: f32[N, 24]
  from image -> maxpool(k=2) -> t1: t -> one: gap
  from image -> t2: @t1 -> two: gap
  from one, two -> concat -> flatten => y
}
""",
    "a step that is a sum of parameters": """
block unit(g, h) { concat { | id | w: conv(g + h, k=1) } }
block stage(g, h, n) { u: unit(g, h) * n }
net A {
  input image: f32[N, 8, 8, 8]
  output y: f32[N, 4]
  from image -> s0: stage(2, 3, 3) -> s1: stage(3, 5, 4) -> s2: stage(1, 6, 3) -> gap -> flatten -> fc(4) => y
}
""",
    "parameters that would be keywords without their numbers": """
block b(class_1) { w: conv(class_1, k=1) -> relu }
block c(super_1) { w: conv(super_1, k=1) -> relu }
net A {
  input image: f32[N, 8, 8, 8]
  output y: f32[N, 4]
  from image -> s0: b(4) -> s1: b(6) -> t0: c(5) -> t1: c(4) -> gap -> flatten => y
}
""",
    "a tensor that is filled at one place in one application and at another in the next": """
block mlp(drop) {
  0: conv(8, k=1) -> if drop { dropout(0.5) } -> "{2 if drop else 1}": conv(8, k=1, init=kaiming)
}
net A {
  input image: f32[N, 8, 8, 8]
  output y: f32[N, 4]
  from image -> s0: mlp(true) -> s1: mlp(false) -> gap -> flatten -> fc(4) => y
}
""",
    "a tensor that is filled behind a run of another length": """
block u() { skip { w: conv(8, k=1) } }
block stage(n) { _: { "{i}": u for i in n } -> "{n}": conv(8, k=1, init=zeros) }
net A {
  input image: f32[N, 8, 8, 8]
  output y: f32[N, 8]
  from image -> s0: stage(2) -> s1: stage(3) -> gap -> flatten => y
}
""",
    "labels that a sequence has for itself": """
net A {
  input image: f32[N, 8, 8, 8]
  output y: f32[N, 4]
  from image -> head: { half: conv(8, k=1) -> double: conv(6, k=1) }
    -> tail: { insert: conv(8, k=1) -> append: conv(4, k=1) } -> gap -> flatten => y
}
""",
    "a block that is read for its size alone": """
block b(c) { conv(c, k=1) -> relu }
net A {
  input image: f32[N, 8, 8, 8]
  output y: f32[N, 4]
  from image -> ref: b(4)
  from image -> conv(4, k=2, stride=2) -> upsample(like = ref) -> gap -> flatten => y
}
""",
    "numbers in other digits than ours": """
block u() { skip { w: conv(8, k=1) } }
block s() { a٠: u -> a١: u -> a٢: u }
net A {
  input image: f32[N, 8, 8, 8]
  output y: f32[N, 4]
  from image -> s: s -> gap -> flatten -> fc(4) => y
}
""",
    "a block inside another that is read from further out in one application": """
block inner(c) { a: conv(c, k=1) -> b: relu }
block outer(c) { x: inner(c) -> y: conv(c, k=1) -> relu }
net A {
  input image: f32[N, 8, 8, 8]
  output y: f32[N, 10]
  from image -> s0: outer(4) -> s1: outer(6) -> one: gap
  from s0.x.a -> two: gap
  from one, two -> concat -> flatten => y
}
""",
    "an argument that is a word": """
block mlp(c) { 0: conv(c, k=1) -> gelu(approximate=tanh) -> 2: conv(8, k=1) }
net A {
  input image: f32[N, 8, 8, 8]
  output y: f32[N, 8]
  from image -> s0: mlp(4) -> s1: mlp(6) -> gap -> flatten => y
}
""",
    "a step that is a parameter": """
block b(c, s) { conv(c, k=1) -> subsample(s) -> relu }
net A {
  input image: f32[N, 8, 24, 24]
  output y: f32[N, 4]
  from image -> s0: b(4, 2) -> s1: b(6, 1) -> s2: b(4, 3) -> gap -> flatten => y
}
""",
}


@pytest.mark.parametrize("text", SPECS.values(), ids=SPECS.keys())
def test_torch_computes_what_the_graph_says(text: str) -> None:
    graph = admitted(text)
    net = randomised(graph)
    assert {name: tuple(t.shape) for name, t in net.state_dict().items()} == {
        name: param.shape for name, param in graph.parameters()
    }
    shape = [side for side in graph.inputs[0].type.dims if isinstance(side, int)]
    x = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
    close(in_torch(net, [x]), in_onnxruntime(to_onnx(graph, net, 20), [x]))


@pytest.mark.parametrize("text", SPECS.values(), ids=SPECS.keys())
def test_the_source_is_python_and_formatted(text: str) -> None:
    made = source(admitted(text))
    ast.parse(made)
    words = ["-m", "ruff", "format", "--diff", "--quiet", "--isolated", "--line-length", "120", "-"]
    done = subprocess.run([sys.executable, *words], input=made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
