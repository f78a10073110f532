"""The commands and their options."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netc import __version__, api, render
from netc.cli import terminal
from netc.cli.check import check as run_check
from netc.cli.codes import CodeError, UsageFault
from netc.diagnostic import Fault
from netc.graph import Graph

if TYPE_CHECKING:
    import numpy as np

    from netc.training.data import Data
    from netc.training.trainer import Epoch, Progress, Step


class Format(StrEnum):
    """How results are written."""

    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


class Emit(StrEnum):
    """What `build` writes."""

    onnx = "onnx"
    torch = "torch"


Spec = Annotated[str, typer.Argument(metavar="SPEC[:NET]", help="A .cnn file, and a net of it where it has several.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How the result is written.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
SearchOption = Annotated[
    list[Path] | None,
    typer.Option("--search", metavar="DIR", help="A further folder that `use` and file(...) may read."),
]

app = typer.Typer(
    help="A page of text becomes a network: checked, trained, exported, served.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# --- commands


@app.command()
def check(
    spec: Annotated[list[str], typer.Argument(metavar="SPEC[:NET]...", help="Specs, or folders that hold some.")],
    form: FormatOption = Format.text,
    json: JsonOption = False,
    search: SearchOption = None,
    max_nodes: Annotated[
        int, typer.Option("--max-nodes", min=1, help="The largest net that is elaborated.")
    ] = 1_000_000,
) -> None:
    """Check specs: syntax, names, shapes, sections and expected figures, before a tensor exists."""
    run_check(spec, (Format.json if json else form).value, search or (), max_nodes)


@app.command()
def build(
    spec: Spec,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Where to write; - for standard output with --emit torch."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Trained weights, safetensors.")] = None,
    init: Annotated[
        int | None, typer.Option(metavar="SEED", help="Initial weights from this seed, in place of trained ones.")
    ] = None,
    emit: Annotated[Emit, typer.Option(help="An ONNX model, or readable torch source.")] = Emit.onnx,
    opset: Annotated[int | None, typer.Option(min=17, max=26, help="ONNX operator set; the spec's, or 20.")] = None,
    fold: Annotated[bool, typer.Option("--fold/--no-fold", help="Fold batch norm into the layer before it.")] = True,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare with float64 torch before the file is kept.")
    ] = True,
    verify_data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Compare on these real inputs as well.")
    ] = None,
    search: SearchOption = None,
    json: JsonOption = False,
) -> None:
    """Compile a net to a verified ONNX file, or to torch source."""
    graph = _load(spec, search)
    if emit is Emit.torch:
        _emit_torch(
            graph, spec, out, {"--weights": weights, "--init": init, "--opset": opset, "--verify-data": verify_data}
        )
        return
    if out is not None and str(out) == "-":
        raise UsageFault("an ONNX file is not written to standard output: name one with -o")
    if weights is not None and init is not None:
        raise UsageFault("--weights and --init exclude each other")
    if verify_data is not None and not verify:
        raise UsageFault("--verify-data and --no-verify exclude each other")
    if weights is None and init is None:
        raise UsageFault(
            f"the weights are missing: pass --weights FILE (`netc train {spec} --data ...` makes one), or --init SEED for untrained ones"
        )
    target = out or Path(f"{graph.name}.onnx")
    from netc.backends import weights as stored
    from netc.backends.build import build as write

    tensors = stored.load(weights, graph) if weights is not None else stored.initial(graph, init or 0)
    samples = _samples(graph, verify_data) if verify_data is not None else None
    built = write(graph, tensors, target, verify=verify, opset=opset, fold=fold, verify_data=samples)
    if json:
        terminal.out(render.as_json(built.record()))
        return
    for line in built.lines():
        terminal.out(line)


@app.command()
def train(
    spec: Spec,
    data: Annotated[
        str, typer.Option(metavar="DATA", help="sample, idx:DIR (MNIST's files) or folder:DIR (a folder per class).")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Where the weights go; NET.safetensors.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the weights and of the order of the images.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of the spec's.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="In place of the spec's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    max_bad: Annotated[str, typer.Option(metavar="SHARE", help="Broken images that are borne: 1%, 0.01.")] = "1%",
    search: SearchOption = None,
    json: JsonOption = False,
) -> None:
    """Train a net as its `train` section says, and save the weights."""
    share = _share(max_bad)
    graph = _load(spec, search)
    target = out or Path(f"{graph.name}.safetensors")
    _writable(target)
    from netc.backends.weights import save
    from netc.training import data as source
    from netc.training.task import task
    from netc.training.trainer import train as fit

    task(graph)  # what cannot be trained is refused before a minute is spent on reading pictures
    # Pictures held out are the same for every seed, so that seeds can be compared.
    loaded = source.load(data, graph, max_bad=share)
    _about(loaded)
    with _progress() as progress:
        result = fit(graph, loaded, seed=seed, epochs=epochs, batch=batch, device=device, progress=progress)
    save(result.weights, target, {"netc": __version__, "net": graph.name, "seed": str(seed)})
    if json:
        terminal.out(
            render.as_json(
                {
                    "net": graph.name,
                    "weights": target.as_posix(),
                    "seed": seed,
                    "epochs": len(result.history),
                    "accuracy": result.accuracy,
                    "test_images": len(loaded.test),
                    "seconds": round(result.seconds, 3),
                }
            )
        )
        return
    for name, accuracy in result.accuracy.items():
        wrong = round((1 - accuracy) * len(loaded.test))
        terminal.out(
            f"{name}: {100 * accuracy:.2f} % of {len(loaded.test):,} test images ({wrong:,} wrong), seed {seed}, {result.seconds:.1f} s"
        )
    terminal.out(f"weights: {target}")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def predict(context: typer.Context) -> None:
    """Classify pictures with a built model: the runtime's own command (predict --help)."""
    from netc_runtime.cli import main as runtime

    code = runtime(["predict", *context.args])
    if code:
        raise CodeError(code)


@app.command()
def explain(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="Such as N203; without one, all of them.")] = None,
) -> None:
    """Explain an error code, with an example and its fix."""
    from netc import errors

    if code is None:
        for each in errors.codes():
            terminal.out((errors.page(each) or "").splitlines()[0].removeprefix("# "))
        return
    page = errors.page(code.upper())
    if page is None:
        raise UsageFault(f"no code is called {code}; `netc explain` lists them")
    terminal.out(page.rstrip())


# --- what the commands share


def _load(spec: str, search: list[Path] | None) -> Graph:
    name, net = api.split(spec)
    if net is None and Path(name).is_dir():
        files = api.specs(Path(name))
        if len(files) != 1:
            raise UsageFault(f"{name} holds {len(files)} specs; name one: {', '.join(str(f) for f in files[:8])}")
        spec = str(files[0])
    return api.load(spec, search=search or ())


def _emit_torch(graph: Graph, spec: str, out: Path | None, refused: dict[str, object]) -> None:
    given = [name for name, value in refused.items() if value is not None]
    if given:
        raise UsageFault(f"{', '.join(given)} has no meaning with --emit torch: the source holds no weights")
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


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageFault(f"--max-bad is a share such as 1% or 0.01, not {text}")
    return share


def _writable(target: Path) -> None:
    # Hours of training should not end at a folder that is not there.
    folder = target.parent
    if target.is_dir():
        raise Fault("N406", f"{target} is a folder", help="name a file with -o")
    if not folder.is_dir():
        raise Fault("N406", f"{folder} is not there", help=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK):
        raise Fault("N407", f"{folder} cannot be written", help="name another place with -o", exit_code=3)


def _about(data: Data) -> None:
    terminal.err(f"data: {len(data.train):,} images to train, {len(data.test):,} to test, {len(data.classes)} classes")
    for note in data.notes:
        terminal.err(f"note: {note}")
    for broken in data.bad[:10]:
        terminal.err(f"warning: {broken.path} is left out: {broken.why}")
    if len(data.bad) > 10:
        terminal.err(f"warning: and {len(data.bad) - 10} more are left out")


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on a terminal, a line an epoch elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(
            "loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.2%}  {task.fields[rate]:,.0f} images/s"
        ),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        yield _Bar(bar)


class _Lines:
    def step(self, at: Step, /) -> None:
        pass

    def epoch(self, done: Epoch, /) -> None:
        terminal.err(_epoch_line(done))


class _Bar:
    def __init__(self, bar: Any) -> None:
        self.bar = bar  # rich.progress.Progress; imported only where there is a terminal
        self.task: Any = None

    def step(self, at: Step, /) -> None:
        fields = {"epoch": f"{at.epoch}/{at.epochs}", "loss": at.loss, "accuracy": at.accuracy, "rate": at.images_per_s}
        if self.task is None:
            self.task = self.bar.add_task("", total=at.steps * at.epochs, **fields)
        self.bar.update(self.task, completed=(at.epoch - 1) * at.steps + at.step, **fields)

    def epoch(self, done: Epoch, /) -> None:
        self.bar.console.print(_epoch_line(done), highlight=False)


def _epoch_line(done: Epoch) -> str:
    accuracies = ", ".join(f"{100 * a:.2f} %" for a in done.accuracy.values())
    return f"epoch {done.epoch}: loss {done.loss:.4f}, test accuracy {accuracies}, {done.seconds:.1f} s"
