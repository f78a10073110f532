"""What a server tells Prometheus: each model's counts from its tally, and how long requests took."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from netc_runtime.serving.registry import Registry
    from netc_runtime.serving.served import Served

LABELS = ("model", "version")
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one server; `watch` says whose."""

    media_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._times: dict[tuple[str, str], _Times] = {}

    def watch(self, registry: "Registry") -> None:
        """Tell of a registry's models."""
        self._registry.register(_Models(registry, self._times))

    def took(self, served: "Served", seconds: float) -> None:
        """Count a request to a model, answered or not, by the time that it took."""
        times = self._times.get(served.label)
        if times is None:
            times = self._times[served.label] = _Times()
        times.counts[bisect_left(SECONDS, seconds)] += 1
        times.seconds += seconds

    def exposition(self) -> bytes:
        """Give all of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _Times:
    """How many requests took how long; the library's own histogram takes ten times as long to count one."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Give the counts as Prometheus has them: of all that took at most so long."""
        bounds = [*(str(float(bound)) for bound in SECONDS), "+Inf"]
        return list(zip(bounds, accumulate(map(float, self.counts)), strict=True))


class _Models(Collector):
    def __init__(self, registry: "Registry", times: dict[tuple[str, str], _Times]) -> None:
        self._registry = registry
        self._times = times

    def collect(self) -> Iterable[Metric]:
        def counter(name: str, about: str, *labels: str) -> CounterMetricFamily:
            return CounterMetricFamily(name, about, labels=[*LABELS, *labels])

        def gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(name, about, labels=[*LABELS, *labels])

        answered = counter("netc_requests", "Requests that were answered, by how.", "outcome")
        refused = counter("netc_faults", "Requests that have a fault for an answer, by its code or its status.", "code")
        rows = counter("netc_rows", "Rows of the requests that have their tensors.")
        runs = counter("netc_runs", "Runs of the graph, by the rows of the batch.", "rows")
        spent = counter("netc_stage_seconds", "Seconds of requests, by where they were.", "stage")
        held = gauge("netc_queue_rows", "Rows that were accepted and are not yet answered.")
        waiting = gauge("netc_queue_requests", "Requests that wait for their batch.")
        took = HistogramMetricFamily(
            "netc_request_seconds", "From a request's head to its answer, whatever it was.", labels=LABELS
        )
        for (name, version), times in self._times.items():
            took.add_metric([name, version], buckets=times.buckets(), sum_value=times.seconds)
        runner = gauge("netc_engine", "1; what the model runs on.", "engine", "device", "arithmetic")
        for served in self._registry.served():
            own, tally = [served.name, str(served.version)], served.batcher.tally
            for outcome, count in (
                ("success", tally.success.count),
                ("fault", tally.fail.count),
                ("cancelled", tally.cancelled),
            ):
                answered.add_metric([*own, outcome], count)
            for code, count in tally.refused.items():
                refused.add_metric([*own, code], count)
            rows.add_metric(own, tally.inferences)
            for size, batch in tally.batches.items():
                runs.add_metric([*own, str(size)], batch.compute_infer.count)
            for stage in ("queue", "compute_input", "compute_infer", "compute_output"):
                spent.add_metric([*own, stage], getattr(tally, stage).ns / 1e9)
            held.add_metric(own, served.batcher.holdings.rows)
            waiting.add_metric(own, served.batcher.waiting)
            report = served.model.report()
            runner.add_metric([*own, report.engine, report.device, report.arithmetic], 1)
        return [took, answered, refused, rows, runs, spent, held, waiting, runner]
