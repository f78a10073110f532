"""Every pass alone, and the pipeline step by step, on random nets: float64 torch answers the same before and after."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from netc import passes
from netc.graph import Graph
from netc.passes.verify_graph import verify_graph
from netc.weights import Weights
from tests.drawn import PHASES
from tests.graphs import randomised
from tests.passes.random_nets import Array, Drawn, answers, nets, same

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def prove(drawn: Drawn) -> None:
    graph, weights = drawn.graph, randomised(drawn.graph)
    heads = {output.name for output in graph.outputs if output.train_only}
    expected = {name: values for name, values in answers(graph, weights).items() if name not in heads}

    def unchanged(after: Graph, changed: Weights) -> None:
        verify_graph(after)
        assert list(changed) == [name for name, _ in after.parameters()]
        found: dict[str, Array] = answers(after, changed)
        same(expected, {name: values for name, values in found.items() if name not in heads})

    now, held = graph, weights
    for each in passes.PIPELINE:
        alone, changed = each(graph, weights)
        if alone is not graph:
            unchanged(alone, changed)
        before = now
        now, held = each(now, held)
        if now is not before:
            unchanged(now, held)


@pytest.mark.slow
@settings(max_examples=60, phases=PHASES, suppress_health_check=SLOW)
@given(nets())
def test_no_pass_changes_an_answer(drawn: Drawn) -> None:
    prove(drawn)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=4000, phases=PHASES, suppress_health_check=SLOW)
@given(nets())
def test_no_pass_changes_an_answer_of_thousands_of_nets(drawn: Drawn) -> None:
    prove(drawn)
