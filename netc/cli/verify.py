"""`netc verify`: two of spec with weights, model file and checkpoint on the same inputs; or a model by its own example.

`SPEC[:NET]=WEIGHTS` is a net with weights, `FILE.onnx` a model; anything else names weights, for the net of the other
side, of the spec in the other side's manifest, or of `--net`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from netc import api
from netc.cli.codes import INPUT, CodeError, UsageFault
from netc.cli.compared import SCHEMA, record, show
from netc.cli.terminal import err, out
from netc.diagnostic import Fault, Source
from netc.graph import Graph
from netc.render import as_json

if TYPE_CHECKING:
    import numpy as np

    from netc.backends.compare import FileSide, Side
    from netc.weights import Weights

MOST_EXAMPLES = 256  # of the data
_SPEC = re.compile(r"(?P<spec>.*\.cnn(?::\w+)?)(?:=(?P<weights>.+))?", re.DOTALL)
_PART = re.compile(r"\n# --- (.+)(?=\n)")


@dataclass(frozen=True)
class Options:
    """The options of a comparison. `load` reads a spec's net."""

    load: Callable[[str], Graph]
    net: str | None = None
    init: int | None = None
    key: str | None = None
    map: str | None = None
    data: str | None = None
    sizes: Sequence[str] = ()
    bound: float | None = None
    search: Sequence[Path] = ()


class _Operand:
    """A side as the command line names it."""

    def __init__(self, text: str) -> None:
        self.text = text
        found = _SPEC.fullmatch(text)
        self.spec = found["spec"] if found else None
        self.weights = found["weights"] if found else text
        self.model = found is None and _is_model(text)


def verify(a: str, b: str | None, options: Options, form: str) -> None:
    """Print how far the two lie from each other. Raises CodeError where that is more than is allowed."""
    if b is None:
        _alone(a, options, form)
        return
    first, second = _sides(_Operand(a), _Operand(b), options)
    from netc.backends.compare import compare
    from netc.cli.show import sizes

    data = _data((first, second), options.data) if options.data is not None else None
    bound = options.bound if options.bound is not None else _bound(first, second)
    strict = options.bound is not None
    found = compare(first, second, bound=bound, strict=strict, sizes=sizes(options.sizes), data=data)
    if any(_precision(each) == "int8" for each in (first, second)) and not strict:
        found = replace(found, notes=(*found.notes, "int8 is held to accuracy, and has no figure to keep: see --bound"))
    if form == "json":
        out(as_json(record(found)))
    else:
        show(found)
    if not found.equal:
        raise CodeError(INPUT)


# --- sides


def _is_model(text: str) -> bool:
    if text.endswith(".onnx"):
        return True
    from netc.weights.source import begins_as_onnx

    try:
        with Path(text).open("rb") as file:
            return begins_as_onnx(file.read(9))
    except (OSError, ValueError):
        return False


def _sides(a: _Operand, b: _Operand, options: Options) -> tuple[Side, Side]:
    from netc.backends.compare import FileSide, NetSide

    files = {id(each): FileSide(each.text) for each in (a, b) if each.model}
    nets: dict[str, Graph] = {}

    def load(spec: str) -> Graph:
        if spec not in nets:
            nets[spec] = options.load(spec)
        return nets[spec]

    def graph(own: _Operand, other: _Operand) -> Graph:
        spec = own.spec or options.net or other.spec
        if spec is not None:
            return load(spec)
        if other.model:
            return _described(files[id(other)])
        raise UsageFault(f"{own.text} are weights, and no net is named: add --net SPEC, or write SPEC={own.text}")

    def side(own: _Operand, other: _Operand) -> Side:
        if own.model:
            return files[id(own)]
        net = graph(own, other)
        return NetSide(own.text, net, _weights(own, net, options))

    if options.net is not None and all(each.model or each.spec is not None for each in (a, b)):
        raise UsageFault("--net names the net of weights, and neither side is weights alone")
    if options.map is not None and [each.weights is not None and not each.model for each in (a, b)].count(True) != 1:
        raise UsageFault(
            "--map is for the weights of one side, and here both sides have some, or neither: build one of them first, "
            "netc build SPEC --weights FILE --map MAP"
        )
    if options.init is not None and not any(each.spec is not None and each.weights is None for each in (a, b)):
        raise UsageFault("--init is for a net without weights, and neither side is one")
    if options.key is not None and not any(each.weights is not None and not each.model for each in (a, b)):
        raise UsageFault("--weights-key is for weights, and neither side has some")
    if options.search and options.net is None and a.spec is None and b.spec is None:
        raise UsageFault("--search is for what a spec uses, and none is named")
    made = side(a, b), side(b, a)
    for file in files.values():
        if file.graph is None and file.manifest is not None:
            file.graph = _described_or_none(file)
    return made


def _weights(operand: _Operand, graph: Graph, options: Options) -> Weights:
    from netc import weights as stored

    if operand.weights is not None:
        return stored.load(
            operand.weights, graph, stored.Reading(key=options.key, map=options.map), deployed=True, say=err
        )
    if options.init is None:
        raise UsageFault(f"{operand.text} has no weights: write {operand.text}=WEIGHTS, or add --init SEED")
    from netc.backends.torch import initial

    return initial(graph, options.init)


def _described(file: FileSide) -> Graph:
    """The net of the spec that a model carries. Raises: Fault N436."""
    manifest = file.manifest
    if manifest is None or not manifest.spec_text:
        raise Fault("N436", f"{file.name} carries no spec", help="name the net with --net SPEC")
    if hashlib.sha256(manifest.spec_text.encode()).hexdigest() != manifest.spec_sha256:
        raise Fault("N436", f"{file.name}: the spec in its manifest was changed: its hash is another")
    first, others = _files(manifest.spec_text)
    with TemporaryDirectory() as folder:
        for name, text in others.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        source = Source(f"{file.name}'s spec", first)
        checked = api.check_text(source, Path(folder) / "spec.cnn", net=manifest.net)
    if not checked.ok:
        wrong = next(each for each in checked.diagnostics if each.severity == "error")
        raise Fault(
            "N436",
            f"{file.name}: the spec in its manifest does not compile here: {wrong.code}: {wrong.message}",
            help="name the net with --net SPEC",
        )
    return checked.graphs[manifest.net]


def _files(text: str) -> tuple[str, dict[str, str]]:
    """The spec in a manifest, and the files it uses: these are looked for beside it, by their names alone.

    Each stands once under a line with its name, which the text before has in quotes: other such lines are comments.
    """
    found = [("", 0, 0)]
    for line in _PART.finditer(text):
        name = PurePosixPath(line[1].replace("\\", "/")).name
        if f'{name}"' in text[: line.start()] and name not in ("", ".", "..", *(each for each, _, _ in found)):
            found.append((name, line.start(), line.end() + 1))
    ends = [start for _, start, _ in found[1:]] + [len(text)]
    first, *others = [(name, text[begin:end]) for (name, _, begin), end in zip(found, ends, strict=True)]
    return first[1], dict(others)


def _described_or_none(file: FileSide) -> Graph | None:
    # The sizes that a net admits are worth having, and no reason to refuse a model.
    try:
        return _described(file)
    except (Fault, api.Several):
        return None


def _bound(*sides: Side) -> float:
    """What is allowed: the widest bound that one of the models states, and 1e-4 at least; int8's is of accuracy."""
    from netc.backends.compare import FileSide
    from netc.backends.verify import BOUND

    made = [each.manifest for each in sides if isinstance(each, FileSide) and each.manifest is not None]
    return max([BOUND, *(each.parity.bound for each in made if each.precision != "int8")])


def _precision(side: Side) -> str:
    from netc.backends.compare import FileSide

    return side.manifest.precision if isinstance(side, FileSide) and side.manifest is not None else "f32"


def _data(sides: tuple[Side, Side], spec: str) -> dict[str, np.ndarray[Any, Any]]:
    from netc.backends.compare import NetSide
    from netc.training import data

    first = next((each for each in sides if isinstance(each, NetSide)), sides[0])
    graph = first.graph or sides[1].graph
    if graph is None:
        raise UsageFault("--data is prepared as a spec says, and neither side has one")
    split = data.load(spec, graph).test
    return {first.inputs[0].name: split.tensor(range(min(len(split), MOST_EXAMPLES)))}


# --- one model


def _alone(name: str, options: Options, form: str) -> None:
    operand = _Operand(name)
    if not operand.model:
        raise UsageFault(f"{name} is compared with something: name a second side, such as a model built of it")
    given = {"--net": options.net, "--init": options.init, "--data": options.data, "--weights-key": options.key}
    given |= {"--map": options.map, "--search": options.search or None}
    unused = [option for option, value in {**given, "--bound": options.bound}.items() if value is not None]
    if unused or options.sizes:
        raise UsageFault(f"{', '.join(unused or ['--at'])} is for two sides, and {name} alone repeats its own example")
    from netc.backends.compare import FileSide

    file = FileSide(name)
    manifest = file.manifest
    if manifest is None or manifest.golden is None:
        what = "netc's manifest" if manifest is None else "no golden example: it was built with --no-verify"
        said = f"it carries no {what}" if manifest is None else f"it has {what}"
        raise Fault(
            "N437", f"{name} cannot be verified alone: {said}", help="compare it: netc verify SPEC=WEIGHTS MODEL"
        )
    net = _described(file) if manifest.spec_text else None
    found = file.model.check()
    if form == "json":
        made = {"schema": SCHEMA, "a": name, "net": manifest.net, "equal": True, "spec": net is not None}
        made |= {"samples": found.samples, "difference": found.difference, "tolerance": found.tolerance}
        out(as_json(made))
        return
    out(f"{name}: {manifest.net}")
    within = f"{found.samples} numbers within {found.difference:.1e}, and {found.tolerance:.1e} is allowed"
    out(f"the golden example reproduces: {within}")
    if net is not None:
        out("the spec in its manifest is whole and compiles")
