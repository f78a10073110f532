"""What a benchmark found, as JSON values and as a table."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from netc_runtime.benchmark.bare import Beside, Spread
from netc_runtime.benchmark.latency import BITS, Latencies
from netc_runtime.benchmark.load import Load, Measured
from netc_runtime.report import Report
from netc_runtime.table import aligned

Json: TypeAlias = dict[str, Any]


def outcome_values(
    report: Report, given: Mapping[str, Any], rows: int, load: Load, warmup_s: float, measured: Measured
) -> Json:
    """Give a benchmark's outcome as JSON values; `given` says what each request held and `rows` how many rows."""
    took = measured.seconds
    fault = measured.first_fault
    return {
        "model": report.file,
        "net": report.net,
        "device": report.device,
        "providers": list(report.providers),
        "onnxruntime": report.onnxruntime,
        "threads": report.threads,
        "input": dict(given),
        "load": {
            "loop": "closed" if load.rate is None else "open",
            "concurrency": load.concurrency,
            "seconds": load.seconds,
            "requests": load.requests,
            "rate_per_s": load.rate,
            "arrivals": None if load.rate is None else load.arrivals,
            "warmup_seconds": warmup_s,
        },
        "seconds": took,
        "requests": measured.requests,
        "requests_per_s": measured.requests / took if took else 0.0,
        "rows_per_s": measured.requests * rows / took if took else 0.0,
        "latency_ms": _latencies(measured.latencies),
        "service_ms": None if measured.services is None else _latencies(measured.services),
        "timer_delay_ms": None if measured.delays is None else _latencies(measured.delays),
        "unstarted": measured.unstarted,
        "errors": dict(sorted(measured.errors.items())),
        "first_error": None if fault is None else {"code": fault.code, "message": fault.message, "help": fault.help},
        "interrupted": measured.interrupted,
        "bare": None,
    }


def beside_values(beside: Beside) -> Json:
    """Give how a model compares with the bare loop as JSON values."""
    return {
        "pairs": beside.pairs,
        "calls_per_run": beside.calls,
        "ratio": _spread(beside.ratio),
        "added_us": _spread(beside.added_us),
        "interrupted": beside.interrupted,
    }


def outcome_table(values: Json) -> str:
    """Give what `outcome_values` gives as two tables: what was run, and how long it took."""
    load, given = values["load"], values["input"]
    lines = [
        ("model", f"{values['model']} ({values['net'] or 'no netc manifest'})"),
        ("device", f"{values['device']}, {values['threads']} thread(s), onnxruntime {values['onnxruntime']}"),
        ("input", _given(given)),
        ("load", _load(load)),
        ("requests", _requests(values)),
        ("throughput", f"{_figure(values['requests_per_s'])} requests/s, {_figure(values['rows_per_s'])} rows/s"),
        *(("errors", f"{count} x {code}") for code, count in values["errors"].items()),
        *(("bare loop" if place == 0 else "", each) for place, each in enumerate(_beside(values["bare"]))),
    ]
    latencies = {"latency": values["latency_ms"]}
    if load["loop"] == "open":
        latencies |= {"service": values["service_ms"], "timer delay": values["timer_delay_ms"]}
    heads = ("mean", "min", "p50", "p90", "p99", "p99_9", "max")
    rows = [["ms", *(head.replace("_", ".") for head in heads), "samples"]]
    rows += [
        [name, *("-" if (value := each[head]) is None else _figure(value) for head in heads), f"{each['samples']:,}"]
        for name, each in latencies.items()
    ]
    return "\n".join([aligned([list(line) for line in lines]), "", aligned(rows, right=range(1, len(rows[0])))])


def outcome_notes(values: Json) -> list[str]:
    """Give what a reader of the figures must know besides them."""
    notes: list[str] = []
    if values["interrupted"]:
        notes.append("interrupted: these are the figures so far")
    if values["unstarted"]:
        notes.append(
            f"the model does not keep up with {values['load']['rate_per_s']:g} requests/s: {values['unstarted']:,} "
            "that had arrived never began; they count with the time they had waited, so the latencies are lower bounds"
        )
    elif _falls_behind(values):
        notes.append(
            f"the model does not keep up: it answered {_figure(values['requests_per_s'])} of "
            f"{values['load']['rate_per_s']:g} requests/s, so the latencies grow with the time that is measured"
        )
    for name, each in (("latency", values["latency_ms"]), ("service", values["service_ms"])):
        if each is not None and not each["exact"]:
            notes.append(f"percentiles of {name} are from a histogram, within {100 / 2**BITS:.1g} % of their latency")
    fault = values["first_error"]
    if fault is not None:
        notes.append(f"the first error was {fault['code']}: {fault['message']}; {fault['help']}")
    return notes


def _falls_behind(values: Json) -> bool:
    """Say whether an open loop was answered more slowly than it came, by more than arrivals at random would explain."""
    rate, count = values["load"]["rate_per_s"], values["requests"]
    return rate is not None and count > 0 and values["requests_per_s"] < rate * (0.95 - 3 / count**0.5)


def _latencies(latencies: Latencies) -> Json:
    return {"samples": latencies.count, "exact": latencies.exact, **latencies.summary_ms()}


def _spread(spread: Spread | None) -> Json | None:
    return None if spread is None else {"median": spread.median, "low": spread.low, "high": spread.high}


def _given(given: Json) -> str:
    if given["source"] == "images":
        return f"{given['pictures']} pictures, {given['batch']} a request, from file to labels"
    shapes = ", ".join(f"{name} {tuple(shape)}" for name, shape in given["shapes"].items())
    return f"{shapes}, seed {given['seed']}"


def _load(load: Json) -> str:
    at_once = f"{load['concurrency']} at once"
    if load["loop"] == "open":
        return f"open loop: {load['rate_per_s']:g} requests/s, {load['arrivals']} arrivals, at most {at_once}"
    return f"closed loop: {at_once}"


def _requests(values: Json) -> str:
    warm = f"after {values['load']['warmup_seconds']:g} s of warm-up"
    return f"{values['requests']:,} answered in {values['seconds']:.2f} s, {warm}"


def _beside(bare: Json | None) -> list[str]:
    if bare is None:
        return []
    if bare["ratio"] is None:
        return ["not compared: interrupted too early"]
    ratio, added = bare["ratio"], bare["added_us"]
    return [
        f"{ratio['median']:.3f} times its time a call ({ratio['low']:.3f} to {ratio['high']:.3f})",
        f"{added['median']:+.1f} us a call ({added['low']:+.1f} to {added['high']:+.1f})",
        f"medians and middle halves of {bare['pairs']} pairs of runs of {bare['calls_per_run']:,} calls",
    ]


def _figure(value: float) -> str:
    """Give a number with about four digits that count, as a reader compares them."""
    digits = next((digits for digits, least in enumerate((1000, 100, 10, 1)) if abs(value) >= least), 4)
    return f"{value:,.{digits}f}"
