"""What `check` says of a model: what it is, what it really runs on, and whether it still computes what it did."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from netc_runtime import memory, model_io, session
from netc_runtime.dry_load import DryLimits, dry_load
from netc_runtime.manifest import ImageRecipe, Manifest
from netc_runtime.report import Check
from netc_runtime.table import aligned

Json: TypeAlias = dict[str, Any]


def check_model(
    path: str, device: str = "auto", *, threads: int | None = None, cache: bool = True, limits: DryLimits | None = None
) -> Json:
    """Load a model, run its golden example where it has one, and give what there is to know as JSON values.

    First it is loaded and run in a process of its own, under the limits.

    Raises: what `dry_load` and `session.load` raise; ModelFault R111 where the golden example does not reproduce.
    """
    files = model_io.check_file(Path(path))
    dry = dry_load(path, limits)
    before = memory.held()
    model = session.load(path, device, threads=threads, cache=cache)
    loaded = memory.held()
    check = model.check()
    after = memory.held()
    return {
        **model.report().to_dict(),
        "data_files": [str(each) for each in files.paths[1:]],
        "dry_load": asdict(dry),
        "golden": _golden(check),
        "memory": {
            "before_bytes": before.now_bytes,
            "loaded_bytes": loaded.now_bytes,
            "session_bytes": _difference(loaded.now_bytes, before.now_bytes),
            "after_run_bytes": after.now_bytes,
            "peak_bytes": after.peak_bytes,
        },
        "manifest": None if model.manifest is None else manifest_values(model.manifest),
    }


def manifest_values(manifest: Manifest) -> Json:
    """Give a manifest's facts that a person asks for; labels are counted, and the spec is named by its hash."""
    golden = manifest.golden
    return {
        "net": manifest.net,
        "precision": manifest.precision,
        "embed": list(manifest.embed),
        "require": [{"text": each.text, "why": each.why} for each in manifest.require],
        "pictures": {each.name: asdict(each.image) for each in manifest.inputs if each.image is not None},
        "outputs": {
            each.name: {
                "decode": each.decode,
                "labels": None if each.labels is None else len(each.labels),
                "threshold": each.threshold,
            }
            for each in manifest.outputs
        },
        "golden": None if golden is None else {"shapes": dict(golden.shapes), "tolerance": golden.tolerance},
        "spec_sha256": manifest.spec_sha256,
        "weights_blake3": manifest.weights_blake3,
    }


def check_table(values: Mapping[str, Any]) -> str:
    """Give what `check_model` gives as a table."""
    lines = [
        ("model", f"{values['file']} ({size(values['size_bytes'])})"),
        ("net", values["net"] or "no netc manifest"),
        *(("input", each) for each in values["inputs"]),
        *(("picture", each) for each in _pictures(values["manifest"])),
        *(("output", each) for each in values["outputs"]),
        *(("meaning", each) for each in _meanings(values["manifest"])),
        *(("requires", each) for each in _requirements(values["manifest"])),
        ("device", f"{values['device']}, {values['threads']} thread(s)"),
        ("providers", ", ".join(values["providers"])),
        ("session", "from the session cache" if values["cached"] else "optimised as it was opened"),
        *(("weights", each) for each in values["data_files"]),
        ("dry load", _dry(values["dry_load"])),
        ("nodes", ", ".join(f"{count} on {name}" for name, count in sorted(values["nodes"].items()))),
        ("memory", _memory(values["memory"])),
        ("onnxruntime", values["onnxruntime"]),
        *(("written by", f"{name} {version}") for name, version in sorted(values["versions"].items())),
        ("precision", values["precision"] or "not recorded"),
        ("parity", values["parity"] or "not recorded"),
        ("golden", _came_out(values["golden"])),
        *(("note", each) for each in values["notes"]),
    ]
    return aligned([list(line) for line in lines])


def _dry(told: Mapping[str, Any]) -> str:
    peak = "" if told["peak_bytes"] is None else f", at most {size(told['peak_bytes'])}"
    bound = "" if told["bounded"] else ", memory unbounded on this system"
    return ("loaded and ran" if told["ran"] else "loaded; its sizes are not known, so it did not run") + peak + bound


def size(count: int) -> str:
    """Give a number of bytes in the unit that a reader compares: 438 bytes, 97.8 MB."""
    if count < 10_000:
        return f"{count} bytes"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def _golden(check: Check) -> Json:
    return {
        "verdict": "reproduced" if check.samples else "not recorded",
        "samples": check.samples,
        "difference": check.difference,
        "tolerance": check.tolerance,
    }


def _difference(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before


def _came_out(golden: Mapping[str, Any]) -> str:
    if not golden["samples"]:
        return "not recorded"
    within = f"{golden['difference']:.3g} (tolerance {golden['tolerance']:.3g})"
    return f"reproduced: {golden['samples']} values within {within}"


def _memory(held: Mapping[str, int | None]) -> str:
    session, after, peak = held["session_bytes"], held["after_run_bytes"], held["peak_bytes"]
    known = [
        None if session is None else f"{size(max(session, 0))} for the session",
        None if after is None else f"{size(after)} in all",
        None if peak is None else f"{size(peak)} at most",
    ]
    return ", ".join(each for each in known if each is not None) or "not known on this system"


def _pictures(manifest: Mapping[str, Any] | None) -> list[str]:
    found: list[str] = []
    for name, values in (manifest or {"pictures": {}})["pictures"].items():
        found.append(f"{name}: {_recipe(ImageRecipe(**values))}")
    return found


def _recipe(recipe: ImageRecipe) -> str:
    steps: list[str] = []
    if recipe.resize is not None:
        steps.append(f"resize {_side(recipe.resize)} ({recipe.fit}, {recipe.filter})")
    if recipe.crop is not None:
        steps.append(f"crop {_side(recipe.crop)}")
    steps.append(recipe.color)
    if (recipe.scale, recipe.mean, recipe.std) != (1.0, (0.0,), (1.0,)):
        mean, std = (" ".join(f"{each:g}" for each in values) for values in (recipe.mean, recipe.std))
        steps.append(f"(pixel * {recipe.scale:g} - {mean}) / {std}")
    return ", ".join(steps)


def _side(side: int | tuple[int, int]) -> str:
    return str(side) if isinstance(side, int) else f"{side[0]} x {side[1]}"


def _meanings(manifest: Mapping[str, Any] | None) -> list[str]:
    found: list[str] = []
    for name, output in (manifest or {"outputs": {}})["outputs"].items():
        words = [output["decode"] if output["decode"] != "none" else "numbers"]
        if output["labels"] is not None:
            words.append(f"{output['labels']:,} labels")
        if output["threshold"] is not None:
            words.append(f"threshold {output['threshold']:g}")
        found.append(f"{name}: {', '.join(words)}")
    return found


def _requirements(manifest: Mapping[str, Any] | None) -> list[str]:
    return [
        f"{each['text']}: {each['why']}" if each["why"] else each["text"]
        for each in (manifest or {"require": []})["require"]
    ]
