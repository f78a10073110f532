"""What `netc build` does once its options are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc import render
from netc.cli import debug, terminal
from netc.cli.codes import UsageFault
from netc.cli.precision import PrecisionOptions
from netc.cli.weights import ReadingOptions, load
from netc.cli.writable import writable
from netc.graph import Graph

if TYPE_CHECKING:
    import numpy as np

    from netc.weights import Weights


@dataclass(frozen=True)
class Options:
    """The options of a build to ONNX."""

    out: Path | None = None
    weights: str | None = None
    init: int | None = None
    opset: int | None = None
    fold: bool = True
    verify: bool = True
    verify_data: str | None = None
    at: Sequence[str] = ()
    external_data: bool = False
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    precision: PrecisionOptions = field(default_factory=PrecisionOptions)
    embed: str | None = None
    verbose: bool = False

    def check(self, spec: str) -> None:
        """Raises: UsageFault where options exclude each other, or weights are missing."""
        if self.out is not None and str(self.out) == "-":
            raise UsageFault("an ONNX file is not written to standard output: name one with -o")
        if self.out is not None and self.out.suffix in (".py", ".pt", ".pth", ".safetensors"):
            better = (
                "--emit torch writes Python source" if self.out.suffix == ".py" else "name a file that ends in .onnx"
            )
            raise UsageFault(f"{self.out} would be an ONNX file: {better}")
        self.reading.check(self.weights)
        if self.weights is not None and self.init is not None and not self.reading.partial:
            raise UsageFault("--weights and --init exclude each other, but for --partial")
        if self.reading.partial and self.init is None:
            raise UsageFault("--partial leaves tensors out of --weights: say with --init SEED what they start from")
        if self.verify_data is not None and not self.verify:
            raise UsageFault("--verify-data and --no-verify exclude each other")
        if self.weights is None and self.init is None:
            raise UsageFault(
                f"the weights are missing: pass --weights FILE (`netc train {spec} --data ...` makes one), "
                "or --init SEED for untrained ones"
            )
        self.sizes()
        self.steps()

    def steps(self) -> list[str] | None:
        """What the graph is to do itself; None where the spec says. Raises: UsageFault."""
        if self.embed is None or self.embed == "none":
            return None if self.embed is None else []
        words = [word.strip() for word in self.embed.split(",")]
        if not set(words) <= {"preprocess", "decode", "labels"}:
            raise UsageFault(f"--embed takes preprocess, decode and labels, with commas, or none; not {self.embed!r}")
        return words

    def sizes(self) -> dict[str, int]:
        """The numbers for symbols. Raises: UsageFault."""
        if not self.at:
            return {}
        from netc.cli.show import sizes

        return sizes(self.at)


def build(graph: Graph, spec: str, options: Options, *, as_json: bool) -> None:
    """Build the net and say what came of it."""
    target = options.out or Path(f"{graph.name}.onnx")
    writable(target, spec, options.weights)
    wanted = options.precision.wanted(graph)
    from netc.backends.build import build as write
    from netc.cli.told import Told

    def initial() -> Weights:
        from netc.backends import torch

        return torch.initial(graph, options.init or 0)

    with debug.timing("weights"):
        if options.weights is not None:
            # Whether each number is one is seen while they are written.
            tensors = load(options.weights, graph, options.reading, finite=False, deployed=True)
            if options.reading.partial:
                from netc.weights import completed

                tensors = completed(tensors, graph, initial)
        else:
            tensors = initial()
    samples = _samples(graph, options.verify_data) if options.verify_data is not None else None
    built = write(
        graph,
        tensors,
        target,
        verify=options.verify,
        opset=options.opset,
        fold=options.fold,
        verify_data=samples,
        sizes=options.sizes(),
        external_data=options.external_data,
        nonfinite=options.reading.nonfinite,
        precision=wanted,
        embed=options.steps(),
        source=options.weights or "",
        watch=Told(verbose=options.verbose),
    )
    debug.torch_text(graph)
    debug.onnx_text(target)
    if as_json:
        terminal.out(render.as_json(built.record()))
        return
    for line in built.lines():
        terminal.out(line)


def emit_torch(graph: Graph, spec: str, out: Path | None) -> None:
    """Write the net as torch source, to standard output where no file is named."""
    if out is not None and str(out) != "-":
        writable(out, spec)
    from netc.atomic import replacing
    from netc.backends.torch import source

    text = source(graph)
    if out is None or str(out) == "-":
        terminal.out(text.rstrip("\n"))
        return
    with replacing(out) as file:
        file.write(text.encode())
    terminal.out(f"{out}: torch source of {graph.name} from {spec}")


def _samples(graph: Graph, spec: str) -> np.ndarray[Any, Any]:
    from netc.training import data

    split = data.load(spec, graph).test
    return split.tensor(range(min(len(split), 256)))
