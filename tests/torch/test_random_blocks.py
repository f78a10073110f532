"""Random blocks as classes: torch runs them as ONNX Runtime runs the graph, which knows of no class."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import HealthCheck, assume, event, given, settings

from netc.backends.torch import source
from netc.graph import Graph
from tests.drawn import PHASES
from tests.language.spec import check
from tests.one_layer import close, in_onnxruntime, in_torch, randomised, to_onnx
from tests.torch.random_blocks import specs

LARGEST = 10**6
"""Numbers in a net: channels that are doubled again and again are soon too many."""
EXAMPLES = settings(
    max_examples=60,
    phases=PHASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def drawn(text: str) -> Graph:
    graphs, found = check(text)
    errors = [d for d in found if d.severity == "error"]
    assume(not errors)
    graph = graphs["Random"]
    assume(graph.params() < LARGEST and max(node.type.c for node in graph.nodes) < LARGEST // 64)
    return graph


@EXAMPLES
@given(specs())
def test_classes_compute_what_the_graph_says(text: str) -> None:
    graph = drawn(text)
    net = randomised(graph)
    assert [(name, tuple(t.shape)) for name, t in net.state_dict().items()] == [
        (name, param.shape) for name, param in graph.parameters()
    ]
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.mul_(0.5)  # where twenty layers are applied, numbers stay small
    x = np.random.default_rng(0).standard_normal((2, 4, 8, 8), np.float32)
    expected = in_onnxruntime(to_onnx(graph, net, 20), [x])
    assume(bool(np.isfinite(expected).all()) and float(np.abs(expected).max()) < 1e6)
    event(f"{source(graph).count('class ') - 1} classes of {len(graph.regions) - 1} applications")
    close(in_torch(net, [x]), expected)


@settings(EXAMPLES, max_examples=25)
@given(specs())
def test_their_source_is_formatted_and_without_a_finding(text: str) -> None:
    made = source(drawn(text))
    alone = ["--isolated", "--line-length", "120", "--stdin-filename", "net.py"]
    for words in (["check", "--select", "E4,E7,E9,F,I,UP,B", "--quiet"], ["format", "--diff", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, *alone, "-"], input=made, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{made}\n{text}"
