"""Opening a model on a device: which engine runs it, what falls back to what, and what there is to say of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from netc_runtime import engine, model_io, providers
from netc_runtime.cache import Store, environment_place
from netc_runtime.cache.key import machine_key
from netc_runtime.engines import Runner, gpu, openvino
from netc_runtime.engines.bound import BoundRunner
from netc_runtime.engines.plain import PlainRunner
from netc_runtime.errors import ModelFault
from netc_runtime.external import check_external
from netc_runtime.manifest import Input, Manifest, Output
from netc_runtime.model_io import ModelFiles
from netc_runtime.providers import Device
from netc_runtime.rows import row_symbol
from netc_runtime.settings import Settings
from netc_runtime.warmup import known_sizes

LEAST_BYTES = 1 << 20  # of a model that is kept: a smaller one is open in a few milliseconds


class Contract(NamedTuple):
    """What a model takes and gives: by its manifest, or where it has none by its graph."""

    manifest: Manifest | None
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    @property
    def names(self) -> list[str]:
        """The outputs' names, in order."""
        return [output.name for output in self.outputs]


class Opened(NamedTuple):
    """A model that is ready to run, and what there is to say of how it came to that."""

    runner: Runner
    contract: Contract
    notes: tuple[str, ...] = ()


def open_model(files: ModelFiles, settings: Settings, sizes: Mapping[str, int]) -> Opened:
    """Open a model as the settings say; `sizes` are those of symbols, for TensorRT's profile.

    Raises: ModelFault R107 to R110, R112 and R118, EnvironmentFault R403 and R404.
    """
    path, device = files.paths[0], settings.device
    notes: list[str] = []
    if device.kind == "openvino":
        problem = openvino.problem()
        if problem is None:
            return _open_openvino(path, settings)
        notes.append(_falls_back(device, problem, settings))
    elif device.kind != "cpu":
        problem = providers.gpu_problem(device.index, engine.available())
        found = _open_gpu(path, settings, sizes) if problem is None else problem
        if isinstance(found, Opened):
            return found
        notes.append(_falls_back(device, found, settings))
    opened = open_cpu(files.paths, files.all_bytes, settings.threads, cache=settings.cache, spin=settings.spin)
    contract = contract_of(path, opened.session)
    runner = PlainRunner(path.name, opened.session, contract.names, cached=opened.cached)
    return Opened(runner, contract, (*notes, *opened.notes))


def contract_of(path: Path, session: engine.Session) -> Contract:
    """Give a session's contract. Raises: ModelFault R108 to R110 and R112."""
    manifest = model_io.read_manifest(path, session)
    if manifest is None:
        return Contract(None, *model_io.raw_contract(path, session))
    return Contract(manifest, manifest.inputs, manifest.outputs)


def _falls_back(device: Device, reason: str, settings: Settings) -> str:
    if device.kind != "auto" and settings.strict:
        raise providers.not_obtained(device, reason)
    return f"device {device} falls back: {reason}"


def _read_contract(path: Path) -> Contract:
    # Not optimised, and gone at once: what the model says of itself is wanted.
    return contract_of(path, engine.open_session(path, _CPU, 1, optimised=True))


def _open_openvino(path: Path, settings: Settings) -> Opened:
    check_external(path)
    contract = _read_contract(path)
    return Opened(openvino.OpenVinoRunner(path, settings.threads, settings.arithmetic), contract)


def _open_gpu(path: Path, settings: Settings, sizes: Mapping[str, int]) -> Opened | str:
    """Open a model on a GPU, or say why that is not to be had, though the model is fine."""
    device = settings.device
    check_external(path)
    more: dict[str, str] = {}
    if device.kind == "tensorrt":
        contract = _read_contract(path)
        known = known_sizes(contract.inputs, contract.manifest, sizes)
        more = gpu.tensorrt(contract.inputs, settings.max_batch, known, gpu.engine_folder(path))
    session: engine.Session | None = None
    problem, graphs = "", False
    for graphs in gpu.attempts(settings):
        asked, entries = gpu.wanted(settings, graphs=graphs)
        asked = [(name, {**options, **more} if name == providers.TENSORRT else options) for name, options in asked]
        try:
            session = engine.open_session(path, asked, settings.threads, entries=entries)
            break
        except ModelFault as fault:
            problem = fault.message
    if session is None:
        # Nodes are left to the CPU, or the provider's libraries are not found: or it is the model, and this says so.
        _read_contract(path)
        return problem
    contract, used = contract_of(path, session), session.get_providers()
    if device.needed not in used:
        # ONNX Runtime has logged the library that it lacks, and gone on without the provider.
        return f"ONNX Runtime gives {', '.join(used)}"
    engine.hush()
    rows = row_symbol(contract.inputs, contract.outputs)
    # A graph is of one shape: where more than the rows may differ there is no end to them.
    few = all(isinstance(side, int) or side == rows for each in contract.inputs for side in each.shape)
    runner = BoundRunner(
        path.name,
        session,
        contract.names,
        rows=rows is not None,
        most=settings.max_batch,
        index=device.index,
        cuda_graph=graphs,
        capture=few or settings.cuda_graph is True,
    )
    return Opened(runner, contract)


class CpuSession(NamedTuple):
    """A session on the CPU, whether it came from the cache, and what there is to say of the cache."""

    session: engine.Session
    cached: bool
    notes: tuple[str, ...] = ()


def open_cpu(
    files: Sequence[Path], size_bytes: int, threads: int, *, cache: bool = True, spin: bool = True
) -> CpuSession:
    """Open a model on the CPU; the first of its files is the model, the others hold its weights.

    With `cache` the session cache is used where the environment allows it.

    Raises: as `engine.open_session`, `check_external` and `environment_place` do.
    """
    entries = {} if spin else {"session.intra_op.allow_spinning": "0"}
    place = environment_place() if cache else None
    if place is None or size_bytes < LEAST_BYTES or size_bytes > place[1]:
        check_external(files[0])
        return CpuSession(engine.open_session(files[0], _CPU, threads, entries=entries), cached=False)
    store = Store(*place, machine_key(engine.version(), engine.CONFIG))
    name, found = store.find(files)
    if name is not None and found is not None:
        try:
            return CpuSession(engine.open_session(found, _CPU, threads, optimised=True, entries=entries), cached=True)
        except ModelFault:
            store.discard(name)  # another process took it out just now, or it is damaged: it is made anew
    session: engine.Session | None = None
    if name is None or len(files) > 1:
        check_external(files[0])  # of a lone file that has a name, hashing it showed that it names no other
    if name is not None:

        def write(path: Path, weights: str) -> engine.Session:
            return engine.open_session(files[0], _CPU, threads, keep=(path, weights), entries=entries)

        session = store.add(name, files, write, size_bytes)
    if session is None:
        session = engine.open_session(files[0], _CPU, threads, entries=entries)
    return CpuSession(session, cached=False, notes=tuple(store.notes))


_CPU = [(providers.CPU, dict[str, str]())]
