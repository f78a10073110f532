"""The commands and their options."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from copy import copy
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netc import __version__, api, render
from netc.cli import debug, terminal
from netc.cli.check import check as run_check
from netc.cli.codes import UsageFault
from netc.cli.runtime import hand_over
from netc.cli.writable import writable
from netc.elaborate.budget import DEEPEST_LIMIT, Limits
from netc.graph import Graph
from netc.tensor import LARGEST

if TYPE_CHECKING:
    from netc.training.data import Data
    from netc.training.trainer import Epoch, Progress, Step
    from netc.weights import Weights


class Format(StrEnum):
    """How results are written."""

    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


class Result(StrEnum):
    """How a result that is no list of findings is written."""

    text = "text"
    json = "json"


class Bits(StrEnum):
    """What a model computes in."""

    f32 = "f32"
    f16 = "f16"
    bf16 = "bf16"
    int8 = "int8"


class Drawing(StrEnum):
    """How `graph` draws."""

    svg = "svg"
    html = "html"


class Table(StrEnum):
    """How a table is written."""

    text = "text"
    json = "json"
    csv = "csv"


class Sort(StrEnum):
    """What a table is sorted by."""

    params = "params"
    macs = "macs"
    memory = "memory"


class Emit(StrEnum):
    """What `build` writes."""

    onnx = "onnx"
    torch = "torch"


Spec = Annotated[str, typer.Argument(metavar="SPEC[:NET]", help="A .cnn file, and a net of it where it has several.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="How findings are written.", show_default="text")]
ResultOption = Annotated[
    Result | None, typer.Option("--format", help="How the result is written.", show_default="text")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
SearchOption = Annotated[
    list[Path] | None,
    typer.Option("--search", metavar="DIR", help="A further folder that `use` and file(...) may read; repeatable."),
]

StdinOption = Annotated[
    str | None,
    typer.Option("--stdin-name", metavar="NAME", help="The file that standard input stands for, where - is checked."),
]

WeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="Trained weights: safetensors, a torch checkpoint, .npz, ONNX, a folder, torchvision:NAME, timm:NAME.",
    ),
]
WeightsKeyOption = Annotated[
    str | None,
    typer.Option("--weights-key", metavar="KEY", help="Of several sets of weights this one: model_ema, say."),
]
MapOption = Annotated[
    str | None,
    typer.Option("--map", metavar="FILE", help="Which tensor is which: a file that `netc weights map` made."),
]
PartialOption = Annotated[
    list[str] | None,
    typer.Option(
        "--partial",
        metavar="PATTERN",
        help='Tensors that may be missing or of another shape, and start anew: "fc.*"; repeatable.',
    ),
]

LARGEST_SEED = 2**32 - 1
LARGEST_COUNT = 1_000_000  # of epochs, and of images in a step, as in a `train` section
LIMITS = Limits()

app = typer.Typer(
    help="A page of text becomes a network: checked, trained, exported, served.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


weights_app = typer.Typer(
    help="Look into weights, convert them, and map their names to a net's.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(weights_app, name="weights")
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="Weights, as for `netc build --weights`.")]


def _version(asked: bool) -> None:
    if asked:
        terminal.out(f"netc {__version__}")
        raise typer.Exit


def _finite(value: float | None) -> float | None:
    # `nan` is within any range that an option has.
    if value is not None and not isfinite(value):
        raise typer.BadParameter(f"{value} is no number.")
    return value


def with_one(name: str) -> typer.Typer:
    """The application with the command of this name alone; as it is where there is none.

    To make all of them ready takes a tenth of a small build.
    """
    named = [each for each in app.registered_commands if each.callback is not None and each.callback.__name__ == name]
    if not named:
        return app
    small = copy(app)
    small.registered_commands, small.registered_groups = named, []
    return small


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Options of no command."""


# --- commands


@app.command(short_help="Check specs before a tensor exists.")
def check(
    spec: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC[:NET]", help="Specs, or folders that hold some; or a built model (.onnx), by the runtime."
        ),
    ],
    form: FormatOption = None,
    json: JsonOption = False,
    search: SearchOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Check again whenever a file that was read changes.")] = False,
    stdin_name: StdinOption = None,
    max_bytes: Annotated[
        int, typer.Option("--max-bytes", metavar="N", min=1, help="The largest file that is read.")
    ] = LIMITS.bytes,
    max_nodes: Annotated[
        int, typer.Option("--max-nodes", metavar="N", min=1, help="The most layers and blocks of a text's nets.")
    ] = LIMITS.nodes,
    max_depth: Annotated[
        int,
        typer.Option(
            "--max-depth",
            metavar="N",
            min=1,
            max=DEEPEST_LIMIT,
            help="Blocks, brackets, expressions in one another.",
        ),
    ] = LIMITS.depth,
    max_imports: Annotated[
        int, typer.Option("--max-imports", metavar="N", min=0, max=DEEPEST_LIMIT, help="Files that use one another.")
    ] = LIMITS.imports,
    max_steps: Annotated[
        int, typer.Option("--max-steps", metavar="N", min=1, help="Expressions evaluated and stages applied.")
    ] = LIMITS.steps,
) -> None:
    """Check specs, or - for standard input: syntax, names, shapes, sections and figures, before a tensor exists."""
    limits = Limits(nodes=max_nodes, depth=max_depth, steps=max_steps, bytes=max_bytes, imports=max_imports)
    if not watch:
        run_check(spec, _form(form, json), search or (), limits, stdin_name)
        return
    from netc.cli.watch import watch as run_watch

    if stdin_name is not None:
        raise UsageFault("--stdin-name and --watch exclude each other")
    run_watch(spec, _form(form, json), search or (), limits)


@app.command(short_help="Put right what is wrong beyond doubt.")
def fix(
    spec: Annotated[list[str], typer.Argument(metavar="SPEC", help="Specs, or folders that hold some.")],
    diff: Annotated[bool, typer.Option("--diff", help="Show what would change, and write nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where something would change.")] = False,
    search: SearchOption = None,
    stdin_name: StdinOption = None,
    form: ResultOption = None,
    json: JsonOption = False,
) -> None:
    """Put right what is wrong beyond doubt, each edit checked before it is kept. - is standard input."""
    from netc.cli.fix import run

    run(spec, form=_form(form, json), search=search or (), diff=diff, check=check, stdin_name=stdin_name)


@app.command(short_help="Draw a net, as SVG or as an HTML page.")
def graph(
    spec: Spec,
    target: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="An .svg or an .html; - is standard output, as SVG.",
            show_default="NET.html",
        ),
    ] = None,
    depth: Annotated[
        str,
        typer.Option(metavar="N", help="Levels that are shown: 1 is the net's own, with closed blocks; or all."),
    ] = "1",
    form: Annotated[
        Drawing | None,
        typer.Option("--format", help="How it is written.", show_default="as the file's name ends"),
    ] = None,
    search: SearchOption = None,
) -> None:
    """Draw a net: a static SVG, or a page whose blocks open, beside the spec. The page needs no network."""
    from netc.cli.graph import form as form_of
    from netc.cli.graph import levels, run

    asked = form.value if form is not None else None
    written = form_of(target, asked) if target is not None else asked or "html"
    shown = levels(depth)
    net = _load(spec, search)
    target = target or f"{net.name}.{written}"
    if target != "-":
        writable(Path(target), spec)
    run(net, target, written, shown)


@app.command(short_help="Show a net as a table, with what it costs.")
def show(
    spec: Spec,
    depth: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Sum up what lies deeper than N labels.", show_default="as fits a page"),
    ] = None,
    sort: Annotated[Sort | None, typer.Option(help="The largest first.", show_default="in the net's order")] = None,
    batch: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=LARGEST, help="Examples at once.", show_default="1")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(metavar="SIZE=N", help="A number for a symbol, such as H=512; repeatable.")
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="With the heads that only training needs.")] = False,
    form: Annotated[
        Table | None, typer.Option("--format", help="How the table is written.", show_default="text")
    ] = None,
    json: JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Short for --format csv.")] = False,
    search: SearchOption = None,
) -> None:
    """Show a net as a table: shapes, parameters, MACs, receptive fields, memory; layer by layer or block by block."""
    from netc.cli.show import show as run

    forms = {*([form.value] if form else []), *(["json"] if json else []), *(["csv"] if csv else [])}
    if len(forms) > 1:
        raise UsageFault("--format, --json and --csv exclude each other")
    written = next(iter(forms), "text")
    by = sort.value if sort else None
    run(_load(spec, search), spec, form=written, depth=depth, sort=by, batch=batch, at=at or (), train=train)


@app.command()
def build(
    spec: Spec,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="Where to write; - is standard output.",
            show_default="NET.onnx, or - with --emit torch",
        ),
    ] = None,
    weights: WeightsOption = None,
    init: Annotated[
        int | None,
        typer.Option(
            metavar="SEED", min=0, max=LARGEST_SEED, help="Initial weights from this seed, in place of trained ones."
        ),
    ] = None,
    weights_key: WeightsKeyOption = None,
    weights_map: MapOption = None,
    partial: PartialOption = None,
    allow_nonfinite: Annotated[
        bool, typer.Option("--allow-nonfinite", help="Take NaN and infinities as weights.")
    ] = False,
    emit: Annotated[Emit, typer.Option(help="An ONNX model, or readable torch source.")] = Emit.onnx,
    opset: Annotated[
        int | None,
        typer.Option(metavar="N", min=17, max=26, help="ONNX operator set.", show_default="the spec's, or 20"),
    ] = None,
    fold: Annotated[bool, typer.Option("--fold/--no-fold", help="Fold batch norm into the layer before it.")] = True,
    embed: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS",
            help="What the graph does itself: preprocess (raw pixels enter), decode (classes leave), or none.",
            show_default="the spec's",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say what each pass does to the graph.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare with float64 torch before the file is kept.")
    ] = True,
    verify_data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Compare on the test images of this data as well; named as in `netc train`."),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="SIZE=N", help="A number for a symbol, such as H=512, fixed in the file; repeatable."),
    ] = None,
    external_data: Annotated[
        bool, typer.Option("--external-data", help="Weights in a file of their own, as always beyond 2 GiB.")
    ] = False,
    precision: Annotated[
        Bits | None, typer.Option(help="What the model computes in.", show_default="the spec's, or f32")
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Real examples that int8 is fitted to and tested on; as in `netc train`."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="PP",
            min=0,
            max=100,
            callback=_finite,
            help="Percentage points of accuracy that int8 may lose.",
            show_default="0.5",
        ),
    ] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Layers that stay in float in an int8 model; repeatable."),
    ] = None,
    search: SearchOption = None,
    form: ResultOption = None,
    json: JsonOption = False,
) -> None:
    """Compile a net to a verified ONNX file, or to torch source."""
    from netc.cli.build import Options, emit_torch
    from netc.cli.build import build as run
    from netc.cli.precision import PrecisionOptions
    from netc.cli.weights import ReadingOptions

    low = PrecisionOptions(precision.value if precision is not None else None, calibrate, max_drop, keep_float or ())
    if emit is Emit.torch:
        given = {
            "--weights": weights is not None,
            "--init": init is not None,
            "--weights-key": weights_key is not None,
            "--map": weights_map is not None,
            "--partial": partial is not None,
            "--allow-nonfinite": allow_nonfinite,
            "--opset": opset is not None,
            "--no-fold": not fold,
            "--embed": embed is not None,
            "--verbose": verbose,
            "--no-verify": not verify,
            "--verify-data": verify_data is not None,
            "--at": at is not None,
            "--external-data": external_data,
            "--precision": precision is not None,
            **low.given(),
            "--format": form is not None,
            "--json": json,
        }
        refused = [name for name, is_given in given.items() if is_given]
        if refused:
            verb = "has" if len(refused) == 1 else "have"
            raise UsageFault(
                f"{', '.join(refused)} {verb} no meaning with --emit torch, which writes source without weights"
            )
        emit_torch(_load(spec, search), spec, out)
        return
    as_json = _form(form, json) == "json"
    reading = ReadingOptions(weights_key, weights_map, partial or (), allow_nonfinite)
    options = Options(
        out, weights, init, opset, fold, verify, verify_data, at or (), external_data, reading, low, embed, verbose
    )
    options.check(spec)
    run(_load(spec, search), spec, options, as_json=as_json)


@app.command(short_help="Compare two of specs with weights, models and checkpoints.")
def verify(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="SPEC[:NET]=WEIGHTS, a model (.onnx), or weights for the other side's net or --net's."
        ),
    ],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="The other side; without it a model repeats its own example.")
    ] = None,
    net: Annotated[
        str | None, typer.Option("--net", metavar="SPEC[:NET]", help="The net of weights that come without one.")
    ] = None,
    init: Annotated[
        int | None,
        typer.Option(metavar="SEED", min=0, max=LARGEST_SEED, help="Initial weights for a SPEC[:NET] without any."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--weights-key", metavar="KEY", help="Which of several sets in a checkpoint.")
    ] = None,
    map_file: Annotated[
        str | None,
        typer.Option("--map", metavar="FILE", help="Which of the weights' tensors is which: see `netc weights map`."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Compare on the test images of this data too; named as in `netc train`."),
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(metavar="SIZE=N", help="A number for a symbol, such as H=512; repeatable.")
    ] = None,
    bound: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0.0,
            callback=_finite,
            help="The figure allowed.",
            show_default="1e-4, or what a model states",
        ),
    ] = None,
    search: SearchOption = None,
    form: ResultOption = None,
    json: JsonOption = False,
) -> None:
    """Give two of specs with weights, ONNX models and checkpoints the same inputs, and compare what comes out.

    Exits with 0 where they agree within the bound and with 1 where they differ; says which layer is the first to.
    """
    from netc.cli.verify import Options
    from netc.cli.verify import verify as run

    options = Options(lambda spec: _load(spec, search), net, init, key, map_file, data, at or (), bound, search or ())
    run(a, b, options, _form(form, json))


@app.command()
def train(
    spec: Spec,
    data: Annotated[
        str, typer.Option(metavar="DATA", help="sample, idx:DIR (MNIST's files) or folder:DIR (a folder per class).")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Where the weights go.", show_default="NET.safetensors"),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=LARGEST_SEED, help="Draws the weights and the order of the images.")
    ] = 0,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=LARGEST_COUNT, help="Rounds over the images.", show_default="the spec's"),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=LARGEST_COUNT, help="Images in a step.", show_default="the spec's"),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")] = "auto",
    max_bad: Annotated[
        str, typer.Option(metavar="SHARE", help="How many of the images may be broken, such as 1% or 0.01.")
    ] = "1%",
    weights: WeightsOption = None,
    weights_key: WeightsKeyOption = None,
    weights_map: MapOption = None,
    partial: PartialOption = None,
    search: SearchOption = None,
    form: ResultOption = None,
    json: JsonOption = False,
) -> None:
    """Train a net as its `train` section says, and save the weights."""
    from netc.cli.weights import ReadingOptions
    from netc.cli.weights import load as read

    share, as_json = _share(max_bad), _form(form, json) == "json"
    reading = ReadingOptions(weights_key, weights_map, partial or ())
    reading.check(weights)
    graph = _load(spec, search)
    target = out or Path(f"{graph.name}.safetensors")
    writable(target, spec, weights)
    from netc.training import data as source
    from netc.training.trainer import refuse_untrainable
    from netc.training.trainer import train as fit
    from netc.weights import save

    refuse_untrainable(graph, device)  # before a minute is spent on reading pictures
    start: Weights = {} if weights is None else read(weights, graph, reading, finite=True, deployed=False)
    # Pictures held out are the same for every seed, so that seeds can be compared.
    with debug.timing("data"):
        loaded = source.load(data, graph, max_bad=share)
    _about(loaded)
    debug.torch_text(graph)
    with debug.timing("train"), _progress() as progress:
        result = fit(
            graph, loaded, seed=seed, epochs=epochs, batch=batch, device=device, progress=progress, weights=start
        )
    save(result.weights, target, {"netc": __version__, "net": graph.name, "seed": str(seed)})
    if as_json:
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
            f"{name}: {100 * accuracy:.2f} % of {len(loaded.test):,} test images ({wrong:,} wrong), "
            f"seed {seed}, {result.seconds:.1f} s"
        )
    terminal.out(f"weights: {target}")


# Their options are the runtime's own, which reads them itself.
_RUNTIMES: Any = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    "add_help_option": False,
}


@app.command(short_help="Classify pictures with a built model.", **_RUNTIMES)
def predict(context: typer.Context) -> None:
    """Classify pictures with a built model: the runtime's own command (predict --help)."""
    hand_over("predict", context.args)


@app.command(short_help="Measure a built model under load.", **_RUNTIMES)
def bench(context: typer.Context) -> None:
    """Measure a built model's latencies and throughput: the runtime's own command (bench --help)."""
    hand_over("bench", context.args)


@app.command(short_help="Say what this machine lacks to run models.", **_RUNTIMES)
def doctor(context: typer.Context) -> None:
    """Say what this machine or installation lacks: the runtime's own command (doctor --help)."""
    hand_over("doctor", context.args)


@app.command(short_help="Serve built models over HTTP.", **_RUNTIMES)
def serve(context: typer.Context) -> None:
    """Serve built models by the Open Inference Protocol: the runtime's own command (serve --help)."""
    hand_over("serve", context.args)


@app.command(short_help="Explain an error code, or a layer of a net.")
def explain(
    what: Annotated[
        str | None,
        typer.Argument(metavar="CODE | SPEC[:NET]", help="Such as N203, or a spec; without one, all codes are listed."),
    ] = None,
    label: Annotated[str | None, typer.Argument(metavar="LABEL", help="A layer of the spec's net.")] = None,
    search: SearchOption = None,
    form: ResultOption = None,
    json: JsonOption = False,
) -> None:
    """Explain an error code, with an example and its fix; or a layer: its shape and its counts, worked out."""
    written = _form(form, json)
    if what is not None and label is not None:
        from netc.cli.explain import explain as layer

        layer(_load(what, search), what, label, form=written)
        return
    if what is not None and api.split(what)[0].endswith(".cnn"):
        raise UsageFault(f"a layer of {what} is explained by its label, which `netc show {what}` lists")
    if search:
        raise UsageFault("--search is for a spec, and a code has none")
    from netc.cli.codes_page import show as page

    page(what, written)


@app.command(short_help="The layers of the language: what they take and do.")
def ops(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="A layer, such as conv; without one, all.")] = None,
    form: ResultOption = None,
    json: JsonOption = False,
) -> None:
    """Show the language's layers, or what one takes and does, as the layers themselves say it."""
    from netc.cli.ops import ops as run

    run(kind, _form(form, json))


@app.command(short_help="Compare two nets, label by label.")
def diff(
    a: Annotated[str, typer.Argument(metavar="A[:NET]", help="A spec, and a net of it where it has several.")],
    b: Annotated[str, typer.Argument(metavar="B[:NET]", help="Another, or another net of the same.")],
    search: SearchOption = None,
    form: ResultOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two nets: layers, arguments and shapes by label, the weights that carry over, the change in cost.

    Exits with 0 where the nets are equal and with 1 where they differ, as diff does.
    """
    from netc.cli.diff import diff as run

    run(_load(a, search), _load(b, search), a, b, _form(form, json))


@app.command(short_help="Write specs in the canonical form.")
def fmt(
    spec: Annotated[list[str], typer.Argument(metavar="SPEC", help="Specs, folders that hold some, or - alone.")],
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where something would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what would change, and write nothing.")] = False,
    stdin_name: StdinOption = None,
) -> None:
    """Write specs in the canonical form: spaces, breaks and columns; no word changes. - is standard input."""
    from netc.cli.fmt import fmt as run

    run(spec, check=check, diff=diff, stdin_name=stdin_name)


@weights_app.command("show", short_help="List the tensors of a file of weights.")
def weights_show(
    source: Source, weights_key: WeightsKeyOption = None, form: ResultOption = None, json: JsonOption = False
) -> None:
    """List the tensors of a source: names, shapes, types and sizes."""
    from netc.cli.weights import show as run

    run(source, weights_key, _form(form, json))


@weights_app.command("convert", short_help="Write weights as safetensors.")
def weights_convert(
    source: Source,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The safetensors file to write.")],
    weights_key: WeightsKeyOption = None,
) -> None:
    """Write the tensors of a source as safetensors, under their names there; bf16 becomes f32."""
    from netc.cli.weights import convert as run

    run(source, weights_key, out)


@weights_app.command("map", short_help="Propose which tensor of a file is which of a net's.")
def weights_map(
    spec: Spec,
    source: Source,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Save the map: TOML, or JSON by its ending.")
    ] = None,
    weights_key: WeightsKeyOption = None,
    search: SearchOption = None,
    form: ResultOption = None,
    json: JsonOption = False,
) -> None:
    """Propose which tensor of a source is which of a net's, layer by layer, with what says so.

    Exits with 1 where a tensor stays open: nothing is guessed.
    """
    from netc.cli.weights import propose as run

    run(_load(spec, search), source, weights_key, out, _form(form, json))


# --- what the commands share


def _form(form: Format | Result | None, json: bool) -> str:
    if json and form is not None and form.value != "json":
        raise UsageFault(f"--json and --format {form.value} exclude each other")
    return "json" if json else form.value if form is not None else "text"


def _load(spec: str, search: list[Path] | None) -> Graph:
    name, net = api.split(spec)
    if net is None and api.is_folder(name):
        files = api.specs(Path(name))
        if len(files) != 1:
            more = ", ..." if len(files) > 8 else ""
            listed = f"; name one: {', '.join(str(f) for f in files[:8])}{more}" if files else ""
            raise UsageFault(f"{name} holds {len(files) or 'no'} specs{listed}")
        spec = str(files[0])
    with debug.timing("check"):
        graph = api.load(spec, search=search or ())
    debug.table(graph)
    return graph


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageFault(f"--max-bad is a share such as 1% or 0.01, not {text}")
    return share


def _about(data: Data) -> None:
    terminal.err(f"data: {len(data.train):,} images to train, {len(data.test):,} to test, {len(data.classes)} classes")
    for note in data.notes:
        terminal.err(f"note: {note}")
    for broken in data.bad[:10]:
        terminal.err(f"warning: {broken.path} is left out: {broken.why}")
    if len(data.bad) > 10:
        terminal.err(f"warning: and {len(data.bad) - 10} more are left out")


@contextlib.contextmanager
def _progress() -> Generator[Progress]:
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
