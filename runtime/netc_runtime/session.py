"""A loaded model: arrays to logits, pictures to labels, and what it runs on."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy.typing as npt
from PIL import Image

from netc_runtime import contract, engine, golden, image, model_io, providers
from netc_runtime.decode import Decoded, check_threshold, check_top, decode_output
from netc_runtime.dry_load import dry_load
from netc_runtime.errors import EnvironmentFault, ModelFault, RequestFault
from netc_runtime.external import check_external
from netc_runtime.manifest import ImageRecipe, Input, Manifest, Output
from netc_runtime.opening import Opened, open_cpu
from netc_runtime.pictures import ImageResult, answer
from netc_runtime.report import Check, Report
from netc_runtime.rows import row_symbol, run_rows

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
) -> "Model":
    """Load an ONNX model, with netc's manifest or without.

    `device` is auto, cpu, cuda, cuda:N or tensorrt; a device that is named and not obtained is an error, or with
    `strict=False` the CPU and a note in the report. `threads` defaults to the processors that this process may use.
    On the CPU a session comes from the session cache where it is there, and is kept there where not, but for
    `cache=False`; see `netc_runtime.cache`. With `dry` the model is first loaded and run in a process of its own, under
    limits, as `netc_runtime.dry_load` says: for files of strangers.

    Raises: ModelFault R101 to R110, R112 and R114 to R118, EnvironmentFault R401 to R404.
    """
    wanted = providers.parse_device(device)
    for name, value in (("max_batch", max_batch), ("threads", threads)):
        if value is not None and value < 1:
            raise EnvironmentFault("R404", f"{name} is {value}, expected at least 1", f"leave {name} out, or give more")
    file = Path(path)
    files = model_io.check_file(file)
    if dry:
        dry_load(file)
    threads = providers.usable_threads() if threads is None else threads
    notes: list[str] = []
    if wanted.kind != "cpu":
        problem = providers.gpu_problem(wanted.index, engine.available())
        if problem is not None:
            notes.append(_falls_back(wanted, problem, strict))
            wanted = providers.Device("cpu")
    if wanted.kind == "cpu":
        opened = open_cpu(files.paths, files.all_bytes, threads, cache=cache)
    else:
        check_external(file)
        opened = Opened(engine.open_session(file, wanted.providers, threads), cached=False)
    session, notes = opened.session, [*notes, *opened.notes]
    used = session.get_providers()
    if wanted.needed not in used:
        # ONNX Runtime has logged the library that it lacks, and gone on without the provider.
        notes.append(_falls_back(wanted, f"ONNX Runtime gives {', '.join(used)}", strict))
    return Model(
        file,
        session,
        wanted,
        max_batch=max_batch,
        threads=threads,
        size_bytes=files.model_bytes,
        cached=opened.cached,
        notes=tuple(notes),
    )


def _falls_back(device: providers.Device, reason: str, strict: bool) -> str:
    if device.kind != "auto" and strict:
        raise providers.not_obtained(device, reason)
    return f"device {device} falls back: {reason}"


class Model:
    """A loaded model; `load` makes it. Its methods may be called from several threads at once."""

    def __init__(
        self,
        path: Path,
        session: engine.Session,
        device: providers.Device,
        *,
        max_batch: int,
        threads: int,
        size_bytes: int,
        cached: bool,
        notes: tuple[str, ...],
    ) -> None:
        self.path = path
        self.name = path.name
        self.max_batch = max_batch
        self.manifest: Manifest | None = model_io.read_manifest(path, session)
        self.inputs: tuple[Input, ...]
        self.outputs: tuple[Output, ...]
        if self.manifest is None:
            self.inputs, self.outputs = model_io.raw_contract(path, session)
        else:
            self.inputs, self.outputs = self.manifest.inputs, self.manifest.outputs
        self._session = session
        self._device = device
        self._threads = threads
        self._size_bytes = size_bytes
        self._cached = cached
        self._notes = notes
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
            return self._run_whole(feed)
        return run_rows(self.name, self._run, feed, sizes[self._rows], self.max_batch)

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
            workers=self._threads,
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
        used = self._session.get_providers()
        on = {providers.CPU: "cpu", providers.CUDA: f"cuda:{self._device.index}", providers.TENSORRT: "tensorrt"}
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
            device=on.get(used[0], used[0]),
            providers=tuple(used),
            cached=self._cached,
            nodes=engine.nodes_by_provider(self._session),
            threads=self._threads,
            max_batch=self.max_batch,
            notes=self._notes,
        )

    def _by_name(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Mapping[str, npt.ArrayLike]:
        if isinstance(x, Mapping):
            return x
        if len(self.inputs) != 1:
            names = ", ".join(f'"{tensor.name}"' for tensor in self.inputs)
            count = len(self.inputs)
            raise RequestFault("R207", f"{self.name}: one array is given for {count} inputs", f"map {names} to arrays")
        return {self.inputs[0].name: x}

    def _run(self, feed: Outputs) -> Outputs:
        names = [output.name for output in self.outputs]
        return dict(zip(names, engine.run(self.name, self._session, names, feed), strict=True))

    def _run_whole(self, feed: Outputs) -> Outputs:
        for tensor in self.inputs:
            free = bool(tensor.shape) and isinstance(tensor.shape[0], str)
            if free and (rows := len(feed[tensor.name])) > self.max_batch:
                raise RequestFault(
                    "R209",
                    f'{self.name}: input "{tensor.name}" has {rows} rows, at most {self.max_batch} go at once, '
                    "and the outputs do not follow the rows",
                    f"load it with max_batch={rows} or more, or give fewer rows",
                )
        return self._run(feed)

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
