"""A loaded model: arrays to logits, pictures to labels, and what it runs on."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy.typing as npt
from PIL import Image

from netc_runtime import contract, engine, golden, image, model_io, providers
from netc_runtime.decode import Decoded, check_threshold, check_top, decode_output
from netc_runtime.dry_load import dry_load
from netc_runtime.engines import openvino
from netc_runtime.errors import EnvironmentFault, ModelFault, RequestFault
from netc_runtime.manifest import ImageRecipe, Input, Manifest, Output
from netc_runtime.opening import Opened, open_model
from netc_runtime.pictures import ImageResult, answer
from netc_runtime.report import Check, Report
from netc_runtime.rows import row_symbol, run_rows
from netc_runtime.settings import Settings, check_counts, settings
from netc_runtime.tune import quickest, trials, words
from netc_runtime.warmup import Warmed, known_sizes, warm, zeros

Array: TypeAlias = npt.NDArray[Any]
Outputs: TypeAlias = dict[str, Array]


def load(
    path: str | os.PathLike[str],
    device: str = "auto",
    *,
    strict: bool = True,
    max_batch: int = 64,
    threads: int | None = None,
    cache: bool = True,
    dry: bool = False,
    warm: bool = False,
    sizes: Mapping[str, int] | None = None,
    arithmetic: str = "f32",
    cuda_graph: bool | None = None,
    spin: bool = True,
    tune: bool = False,
) -> "Model":
    """Load an ONNX model, with netc's manifest or without.

    `device` is auto, cpu, cuda, cuda:N, tensorrt or openvino; `auto` is CUDA where it works, else the CPU. A device
    that is named and not obtained is an error, also where a GPU would leave nodes to the CPU; with `strict=False` it is
    the CPU and a note in the report. `threads` defaults to the processors that this process may use.

    On the CPU a session comes from the session cache where it is there, and is kept there where not, but for
    `cache=False`; see `netc_runtime.cache`. With `dry` the model is first loaded and run in a process of its own, under
    limits, as `netc_runtime.dry_load` says: for files of strangers. With `warm` the batches that a first run is slow
    for have run before this returns; `sizes` are those of symbols other than the rows', where neither golden example
    nor recipe tells them.

    `arithmetic` is f32, or with device=openvino bf16 or f16, which are quicker and less exact. On CUDA each size
    of batch is captured as a CUDA graph and replayed, where only the rows' number is open and the session can;
    `cuda_graph` says that it must be, or must not. On the CPU threads wait for work by spinning, which is quick and
    keeps processors from whatever else runs; with `spin=False` they sleep. With `tune`, device=auto runs one row on
    every engine that works here, for a second each, and takes the quickest; the report says what it was chosen from.

    Raises: ModelFault R101 to R110, R112 and R114 to R118, EnvironmentFault R401 to R404; with `tune` and `warm`, as
    `predict` does.
    """
    wanted = settings(
        device,
        strict=strict,
        max_batch=max_batch,
        threads=threads,
        arithmetic=arithmetic,
        cuda_graph=cuda_graph,
        cache=cache,
        spin=spin,
    )
    sizes = dict(sizes or {})
    check_counts(sizes)
    file = Path(path)
    files = model_io.check_file(file)
    if dry:
        dry_load(file)
    model = _tuned(files, wanted, sizes) if tune else Model(files, open_model(files, wanted, sizes), wanted, sizes)
    if warm:
        model.warm_up()
    return model


def _tuned(files: model_io.ModelFiles, wanted: Settings, sizes: Mapping[str, int]) -> "Model":
    if wanted.device.kind != "auto":
        raise EnvironmentFault(
            "R404", f"tune chooses the device, and it is {wanted.device}", "write device=auto, or leave tune out"
        )
    opened: dict[str, Model] = {}

    def open_on(device: str) -> Callable[[Outputs], object]:
        on = replace(wanted, device=providers.parse_device(device))
        model = opened[device] = Model(files, open_model(files, on, sizes), on, sizes)
        model.check()  # what answers otherwise than it should is not chosen for its speed
        return model.predict

    devices = ["cpu"]
    if openvino.problem() is None:
        devices.append("openvino")
    if providers.gpu_problem(0, engine.available()) is None:
        devices += ["cuda", "tensorrt"] if providers.TENSORRT in engine.available() else ["cuda"]
    first = Model(files, open_model(files, replace(wanted, device=providers.Device("cpu")), sizes), wanted, sizes)
    found = trials([(device, partial(open_on, device)) for device in devices], first.feed(1))
    chosen = opened.get(quickest(found) or "", first)
    chosen.add_notes([words(found, 1)])
    return chosen


class Model:
    """A loaded model; `load` makes it. Its methods may be called from several threads at once."""

    def __init__(
        self, files: model_io.ModelFiles, opened: Opened, settings: Settings, sizes: Mapping[str, int]
    ) -> None:
        self.path = files.paths[0]
        self.name = self.path.name
        self.max_batch = settings.max_batch
        self.manifest: Manifest | None = opened.contract.manifest
        self.inputs: tuple[Input, ...] = opened.contract.inputs
        self.outputs: tuple[Output, ...] = opened.contract.outputs
        self._runner = opened.runner
        self._run = opened.runner.run
        self._settings = settings
        self._size_bytes = files.model_bytes
        self._notes = opened.notes
        self._warmed: tuple[Warmed, ...] = ()
        self._sizes = known_sizes(self.inputs, self.manifest, sizes)
        self._rows = row_symbol(self.inputs, self.outputs)

    def predict(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Outputs:
        """Run the graph on one array, or on a mapping from input names to arrays; give its outputs by name.

        Any number of rows goes: beyond `max_batch` they run in several batches, and no rows give empty outputs. The
        outputs are the graph's own: logits, or what the graph made of them; `decode` makes labels of either. A model
        that normalises pictures itself takes their pixels: u8 of (N, H, W, C). See `contract.conform` for the
        conversions made.

        Raises: RequestFault R201 to R209.
        """
        feed, sizes = contract.conform(self.name, self.inputs, self._by_name(x))
        if self.manifest is not None:
            contract.require(self.name, self.manifest.require, sizes)
        if self._rows is None:
            self.check_whole(feed)
        return self.run(feed)

    def run(self, feed: Outputs) -> Outputs:
        """As `predict`, on arrays that were checked: every input's, of its type and contiguous; nothing is looked at.

        Raises: RequestFault R208.
        """
        if self._rows is None:
            return self._run(feed)
        return run_rows(self.name, self._run, feed, len(feed[self.inputs[0].name]), self.max_batch)

    def check_whole(self, feed: Mapping[str, Array]) -> None:
        """Check the rows of a model that cannot be split: all of a request's go at once, at most `max_batch`.

        Raises: RequestFault R209.
        """
        for tensor in self.inputs:
            free = bool(tensor.shape) and isinstance(tensor.shape[0], str)
            if free and (rows := len(feed[tensor.name])) > self.max_batch:
                raise RequestFault(
                    "R209",
                    f'{self.name}: input "{tensor.name}" has {rows} rows, at most {self.max_batch} go at once, '
                    "and the outputs do not follow the rows",
                    f"load it with max_batch={rows} or more, or give fewer rows",
                )

    def decode(
        self, outputs: Mapping[str, Array], top: int = 5, threshold: float | None = None
    ) -> dict[str, tuple[Decoded, ...]]:
        """Decode what `predict` returned as the manifest says, one result an example; `top` bounds softmax's labels.

        `threshold` is the least probability of a label, in place of the one that the manifest records for sigmoid.
        Where the graph holds the softmax, sigmoid or argmax itself, it is not done a second time.

        Raises: RequestFault R210 when these are not the model's outputs.
        """
        decoded = self._embeds("decode")
        unknown = set(outputs) - {output.name for output in self.outputs}
        if unknown:
            names = ", ".join(output.name for output in self.outputs)
            raise RequestFault(
                "R210",
                f'{self.name}: there is no output "{min(unknown)}", expected {names}',
                "decode what predict returned",
            )
        return {
            output.name: decode_output(
                self.name, output, outputs[output.name], top, threshold=threshold, decoded=decoded
            )
            for output in self.outputs
            if output.name in outputs
        }

    def predict_images(
        self, sources: image.Source | Iterable[image.Source], top: int = 5, threshold: float | None = None
    ) -> list[ImageResult]:
        """Read pictures from paths, bytes or Pillow images by the recorded recipe, and decode what the model says.

        Raises: the fault of the first picture that cannot be answered, and what `stream_images` raises.
        """
        results: list[ImageResult] = []
        for result in self.stream_images(sources, top, threshold):
            if result.fault is not None:
                raise result.fault
            results.append(result)
        return results

    def picture(self, source: image.Source) -> tuple[str, Array]:
        """Read one picture by the recorded recipe; give the input's name and its array, without the batch.

        Shape: (C, H, W), or of pixels (H, W, C)
        Raises: ImageFault, RequestFault R203 to R206, ModelFault R112 when the model takes no picture.
        """
        tensor, recipe = self._picture_input()
        return tensor.name, self._prepare(source, tensor, recipe)

    def stream_images(
        self, sources: image.Source | Iterable[image.Source], top: int = 5, threshold: float | None = None
    ) -> Iterator[ImageResult]:
        """Answer pictures in order, as `predict_images` does; a picture at fault is a result that says so.

        Neighbours of one final size share a batch; while it runs, as many threads as the model has decode the next, and
        with one thread nothing is done at once.

        Raises: ModelFault R112 when the model takes no picture; EnvironmentFault R404 on a `top` below 1 or a
        `threshold` beyond 0 to 1.
        """
        tensor, recipe = self._picture_input()
        check_top(top)
        check_threshold(threshold)
        one = isinstance(sources, str | bytes | os.PathLike | Image.Image)
        return answer(
            cast("Iterable[image.Source]", [sources] if one else sources),
            prepare=lambda source: self._prepare(source, tensor, recipe),
            run=lambda batch: self.decode(self.predict({tensor.name: batch}), top, threshold),
            most=1 if self._rows is None else self.max_batch,
            workers=self._settings.threads,
        )

    def check(self) -> Check:
        """Run the golden example and compare.

        Raises: ModelFault R111 when it does not reproduce, and what `predict` raises.
        """
        example = None if self.manifest is None else self.manifest.golden
        if example is None:
            return Check(0, 0.0, 0.0)
        outputs = self.predict(golden.golden_feed(example, self.inputs))
        difference = golden.golden_difference(self.name, example, outputs)
        return Check(sum(map(len, example.samples.values())), difference, example.tolerance)

    def report(self) -> Report:
        """Say what the model is and what it really runs on."""
        manifest = self.manifest
        parity = None if manifest is None else manifest.parity
        placement = self._runner.placement()
        return Report(
            file=str(self.path),
            size_bytes=self._size_bytes,
            net=None if manifest is None else manifest.net,
            inputs=tuple(_described(tensor) for tensor in self.inputs),
            outputs=tuple(_described(tensor) for tensor in self.outputs),
            precision=None if manifest is None else manifest.precision,
            parity=None if parity is None else f"{parity.measure} <= {parity.bound:g}: {parity.verdict}",
            versions={} if manifest is None else dict(manifest.versions),
            onnxruntime=engine.version(),
            engine=placement.engine,
            device=placement.device,
            arithmetic=placement.arithmetic,
            providers=placement.providers,
            cached=placement.cached,
            nodes=dict(placement.nodes),
            threads=self._settings.threads,
            max_batch=self.max_batch,
            warm_up=self._warmed,
            notes=self._notes,
        )

    def feed(self, rows: int) -> Outputs:
        """Make zeros for so many rows, of the sizes that are known.

        Raises: EnvironmentFault R404 where a size is not.
        """
        made = zeros(self.inputs, self._sizes, rows)
        if isinstance(made, str):
            raise EnvironmentFault("R404", f"{self.name}: {made}", "say what it is: sizes={...}")
        return made

    def warm_up(self, *, once: bool = False) -> tuple[Warmed, ...]:
        """Run the batches whose first run is slow, and give what that took; `load(warm=True)` does it.

        Each runs twice, to tell the first run from the others, or `once`; what was warmed up is not so again. On a GPU
        and in OpenVINO those are the powers of two up to `max_batch`, on the CPU it is one row, unless one has run.
        Where a size is not known nothing is run, and a note in the report says so.

        Raises: RequestFault R208.
        """
        if self._warmed:
            return self._warmed
        warmed: list[Warmed] = []
        for rows in self._runner.batches(self.max_batch if self._rows is not None else 1):
            made = zeros(self.inputs, self._sizes, rows)
            if isinstance(made, str):
                self.add_notes([f"no warm-up: {made}"])
                break
            warmed.append(warm(rows, partial(self._run, made), once=once))
        self._warmed = tuple(warmed)
        return self._warmed

    def add_notes(self, notes: Iterable[str]) -> None:
        """Have the report say more."""
        self._notes = tuple(dict.fromkeys((*self._notes, *notes)))

    def _by_name(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Mapping[str, npt.ArrayLike]:
        if isinstance(x, Mapping):
            return x
        if len(self.inputs) != 1:
            names = ", ".join(f'"{tensor.name}"' for tensor in self.inputs)
            count = len(self.inputs)
            raise RequestFault("R207", f"{self.name}: one array is given for {count} inputs", f"map {names} to arrays")
        return {self.inputs[0].name: x}

    def _picture_input(self) -> tuple[Input, ImageRecipe]:
        recipe = self.inputs[0].image if len(self.inputs) == 1 else None
        if recipe is None:
            why = (
                "it has no netc manifest, so no recipe for pictures"
                if self.manifest is None
                else "its inputs are " + ", ".join(_described(tensor) for tensor in self.inputs) + ", not one picture"
            )
            raise ModelFault("R112", f"{self.name} does not take pictures: {why}", "prepare arrays and call predict")
        return self.inputs[0], recipe

    def _embeds(self, step: str) -> bool:
        return self.manifest is not None and step in self.manifest.embed

    def _prepare(self, source: image.Source, tensor: Input, recipe: ImageRecipe) -> Array:
        pixels = self._embeds("preprocess")
        sides = tensor.shape[1:3] if pixels else tensor.shape[2:]
        height, width = (side if isinstance(side, int) else None for side in sides)
        picture = (image.picture if pixels else image.prepare)(source, recipe, (height, width))
        at = f"{image.named(source)} for {self.name}"
        sizes: dict[str, int] = {}
        contract.bind(at, tensor.shape, (1, *picture.shape), sizes)
        if self.manifest is not None:
            contract.require(at, self.manifest.require, sizes)
        return picture


def _described(tensor: Input | Output) -> str:
    return f"{tensor.name}: {tensor.dtype}[{', '.join(str(side) for side in tensor.shape)}]"
