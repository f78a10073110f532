"""From a graph and its weights to one verified ONNX file that carries its own contract."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import MappingProxyType

from netc import passes
from netc import weights as stored
from netc.atomic import refuse_unwritable, replacing, working
from netc.backends import manifest as contract
from netc.backends import onnx
from netc.backends.built import Built, record_path
from netc.backends.fixed_sizes import fixed
from netc.backends.precision.road import Held, Job
from netc.backends.precision.wanted import Wanted
from netc.backends.verify import BOUND, MEASURE, SEED, Case, Parity, reference
from netc.backends.verify import verify as measure
from netc.backends.verify.batches import prescribed
from netc.backends.verify.probes import probes
from netc.backends.watching import NOBODY, Watch
from netc.diagnostic import Fault
from netc.graph import Graph
from netc.ops.bn import Bn
from netc.passes.deploy import deploy
from netc.passes.embed import decoded, embedding
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.passes.fold_forward import fold_forward
from netc.weights import Array, Weights
from netc.weights.examine import Examining, refuse_unsound
from netc.weights.tensors import chosen
from netc_runtime.manifest import Golden, Precision

WRITTEN = Wanted()  # as the spec says


def build(
    graph: Graph,
    weights: Weights,
    out: str | os.PathLike[str],
    *,
    verify: bool = True,
    opset: int | None = None,
    fold: bool = True,
    verify_data: Array | Mapping[str, Array] | None = None,
    sizes: Mapping[str, int] = MappingProxyType({}),
    external_data: bool = False,
    nonfinite: bool = False,
    precision: Wanted = WRITTEN,
    embed: Sequence[str] | None = None,
    source: str = "",
    watch: Watch = NOBODY,
) -> Built:
    """Write the deployed net to `out`, verified before it takes that name, and the figures to `OUT.onnx.verify.json`.

    Equal arguments give an equal ONNX file. Weights of training heads may be missing. `verify_data` are real inputs to
    verify on too: an array after the recipe, or one for each input. Without `verify` nothing is run: the manifest has
    no golden example, and torch is not imported. `sizes` make numbers of symbols. With `external_data`, and beyond
    2 GiB, weights go to a file beside `out`. With `nonfinite`, NaN and infinities are taken. `precision` is
    the spec's, or another, and what that needs. `embed` names the steps that the graph does itself, where given in the
    spec's place. `source` is where the weights come from, for what is said of them. `watch` is told what takes how
    long.

    Raises: Fault N424 for an export option that is not built, N467 for what int8 alone takes, N430 where the file is
    not what float64 torch computes;
    as `embed.embedding`, `fixed_sizes.fixed`, weights' `check`, the passes, onnx's `lower` and `emitting`, the roads to
    other precisions, verify's functions and `netc.atomic.replacing` do. Then nothing is left behind, and an older `out`
    is as it was.
    """
    precision.refuse_strange(graph.export)
    figures = record_path(Path(out))
    for path in (out, figures):
        refuse_unwritable(path)
    opset = precision.opset(graph.export, opset)
    start = perf_counter()
    net, _ = deploy(embedding(graph, embed), {})
    watch.step(passes.Step(deploy.__name__, graph, net, perf_counter() - start))
    _refuse_unbuilt(net, precision.of(net.export))
    net = fixed(net, sizes)
    judged = decoded(net)
    wanted = {name for name, _ in net.parameters()}
    if not wanted.issuperset(weights):
        weights = chosen(weights, [name for name in weights if name in wanted])
    weights = stored.fitted(weights, net, finite=False)
    left_out = (deploy, *(() if fold else (fold_batch_norm, fold_forward)))
    pipeline = [each for each in passes.PIPELINE if each not in left_out]

    def hold(path: Path) -> Held:
        with watch.timing("reference"):
            cases = reference(judged, weights, data=verify_data)
        with watch.timing("verify"):
            parity = measure(path, judged, weights, cases)
            if not parity.telling and parity.worst.excess <= 1:
                parity = replace(parity, probe=_probe(net, judged, opset, pipeline, path))
        _refuse_unlike(net, parity)
        return Held(parity, cases)

    with ExitStack() as stack:
        examining = stack.enter_context(Examining(weights))
        small, small_weights = passes.run(net, weights, pipeline, seen=watch.step, careful=watch.careful)
        with watch.timing("lower"):
            lowered = onnx.lower(small, opset, whole=verify)
        road = None
        if precision.of(net.export) != "f32":
            if not nonfinite or precision.of(net.export) == "int8":  # which has no NaN
                refuse_unsound(examining.result().unsound, source and f"{source}: ")
            job = Job(judged, weights, lowered, small_weights, hold if verify else None)
            road = precision.road(precision.of(net.export), job, stack.enter_context(working(out)))
        emittable, tensors = (lowered, small_weights) if road is None else road.emittable()
        start = perf_counter()
        with (
            replacing(figures) as record,  # first, so that it takes its name when the model has its own
            onnx.emitting(emittable, tensors, out, external_data=external_data) as emitted,
        ):
            watch.stage("write", perf_counter() - start)
            examined = examining.result()
            if not nonfinite:
                refuse_unsound(examined.unsound, source and f"{source}: ")
            parity, golden = None, None
            if road is not None:
                parity, golden = road.parity, road.check(emitted.path)
            elif verify:
                parity, cases = hold(emitted.path)
                golden = _golden(judged, cases[0], parity)
            made = contract.manifest(
                small,
                weights_blake3=examined.digest,
                golden=golden,
                measure=MEASURE if road is None else road.measure,
                bound=BOUND if road is None else road.bound,
                verified=verify,
                precision=precision.of(net.export),
            )
            emitted.add(contract.metadata(made))
            data = emitted.data.record() if emitted.data is not None else None
            size, sha256 = emitted.size_bytes, emitted.sha256()
            folded = sum(isinstance(n.op, Bn) for n in net.nodes) - sum(isinstance(n.op, Bn) for n in small.nodes)
            steps = tuple(word for word in net.export.embed if word != "labels")
            nodes = len(small.nodes)
            built = Built(Path(out), net.name, size, sha256, opset, nodes, folded, parity, sizes, data, road, steps)
            record.write(json.dumps(built.record(), indent=2, ensure_ascii=False).encode() + b"\n")
    return built


def _golden(net: Graph, case: Case, parity: Parity) -> Golden:
    spreads = {each.output: each.spread for each in parity.agreements}
    classes = [o.name for o in net.outputs if o.decode == "argmax" and "decode" in net.export.embed]
    count = prescribed(net, case.sizes) or 1
    return contract.golden(SEED, case.feed, case.answers, spreads, count, classes=classes)


def _probe(net: Graph, judged: Graph, opset: int, pipeline: Sequence[passes.Pass], beside: Path) -> Parity:
    # The same road with weights that show what the given ones hide; its file lies beside the target and goes at once.
    found = None
    for weights in probes(net):
        with working(beside) as folder:
            path = folder / "probe.onnx"
            onnx.write(*passes.run(net, weights, pipeline), path, opset=opset)
            found = measure(path, judged, weights, reference(judged, weights))
        if found.telling:
            break
    assert found is not None
    return found


def _refuse_unbuilt(net: Graph, precision: Precision) -> None:
    if precision == "int8" and "preprocess" in net.export.embed:
        raise Fault(
            "N424",
            f"{net.name}: embed = [preprocess] with int8 is not built yet: its ranges are taken from normalised images",
            help="leave `preprocess` out of `embed`: the runtime does it, as the manifest says",
        )
    classes = [o.name for o in net.outputs if o.decode == "argmax"]
    if precision != "f32" and "decode" in net.export.embed and classes:
        raise Fault(
            "N424",
            f"{net.name}: embed = [decode] with {precision} is not built yet where an output is decoded by argmax: "
            f"{', '.join(classes)}",
            help="leave `decode` out of `embed`: the runtime decodes, as the manifest says",
        )


def _refuse_unlike(net: Graph, parity: Parity) -> None:
    if parity.passed:
        return
    if parity.worst.excess <= 1:
        assert parity.probe is not None
        _refuse_unlike(net, replace(parity.probe, probe=None))
        raise Fault("N430", f"{net.name}: the outputs hardly depend on the input, with Kaiming weights neither")
    worst = parity.worst
    at = "".join(f", {name} = {size}" for name, size in worst.sizes.items())
    found = worst.reason or f"parity is {worst.figure:.2e}, and {worst.allowed:.0e} is allowed"
    raise Fault(
        "N430",
        f"{net.name}: output {worst.output} ({worst.origin} inputs{at}): {found}; the file was not kept",
        help="look at the weights first; --no-verify writes the file unverified",
    )
