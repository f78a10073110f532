"""ONNX Runtime and the providers that really work, from what the probe found."""

import re
from collections.abc import Sequence
from pathlib import Path

from netc_runtime.doctor.finding import Finding, Status
from netc_runtime.doctor.gpu import EXTRAS, WITH_CUDA, driver_finding, libraries_finding, needs_gpu
from netc_runtime.doctor.probed import Line, Probed
from netc_runtime.providers import CPU, CUDA, TENSORRT, Device, installed_wheels


def engine_findings(probed: Probed, device: Device, root: Path = Path("/")) -> list[Finding]:
    """Judge what the probe found, for a device that is asked for.

    `cuda` and `tensorrt` must work, of `cpu` nothing of a GPU is looked at, and under `auto` a GPU that has a driver
    must work, since `auto` would run on the processor without a word. `root` is where /sys is read from, to see a card
    that has no driver.
    """
    ort = onnxruntime_finding(probed)
    findings: list[Finding] = []
    gpu_works = False
    if device.kind != "cpu":
        driver = driver_finding(probed.by_kind.get("driver"), probed.by_kind.get("onnxruntime"), device, root)
        gpu_works = driver.status == "ok"
        findings.append(driver)
        if ort.status == "ok" and (gpu_works or needs_gpu(device)):
            findings.append(libraries_finding(probed.by_kind.get("libraries"), device, gpu_works))
    findings.append(ort)
    if ort.status == "fail":
        return findings
    return [*findings, *_provider_findings(probed, device, gpu_works)]


def onnxruntime_finding(probed: Probed) -> Finding:
    """Say whether ONNX Runtime imports."""
    name, line = "onnxruntime", probed.by_kind.get("onnxruntime")
    if line is None:
        ended = probed.ended or "wrote nothing"
        reason = f" ({probed.complaint})" if probed.complaint else ""
        return Finding(name, "fail", f"the process that imports it {ended}{reason}", _again())
    if line["error"] is not None:
        return Finding(name, "fail", f"does not import: {_first(line['error'])}", _again())
    built = f"built for CUDA {line['cuda']}" if line["cuda"] else "built without CUDA"
    return Finding(name, "ok", f"{line['version']}, {built}")


def _again() -> str:
    wheels = installed_wheels()
    if not wheels:
        return "see onnxruntime wheel, above"
    return f"python -m pip install --force-reinstall --no-deps {wheels[0]}"


def _provider_findings(probed: Probed, device: Device, gpu_works: bool) -> list[Finding]:
    opened = probed.opened()
    findings: list[Finding] = []
    available = [str(name) for name in probed.by_kind["onnxruntime"]["available"]]
    for name in (CPU, CUDA, TENSORRT):
        if name not in available or (name != CPU and device.kind == "cpu"):
            continue
        line = opened.get(name)
        needed = name == CPU or (name == device.needed and needs_gpu(device))
        if line is not None:
            findings.append(provider_finding(line, needed, gpu_works))
            continue
        at_fault = probed.by_kind.get("trying", {}).get("provider") == name
        said = f"the process that tried it {probed.ended}" if at_fault else "not tried: a provider before it ended that"
        findings.append(Finding(name, "fail" if needed or at_fault else "warn", said, _TRIED))
    if needs_gpu(device) and device.needed not in {finding.name for finding in findings}:
        said = "the installed ONNX Runtime is built without it"
        findings.append(Finding(device.needed, "fail", said, WITH_CUDA))
    return findings


_TRIED = "run python -m netc_runtime.doctor.probe to see its last words"


def provider_finding(line: Line, needed: bool, gpu_works: bool) -> Finding:
    """Say whether a session on a provider ran there, and gave the right answer."""
    name, got = str(line["provider"]), list[str](line["got"])
    if name in got:
        if not line["right"]:
            wrong = "a convolution of ones gives a wrong answer"
            return Finding(name, "fail", wrong, "update the driver; test the machine's memory")
        return Finding(name, "ok", "a session was opened on it and gave the right answer")
    reason = _reason(line)
    if name in (CUDA, TENSORRT) and not gpu_works:
        status: Status = "fail" if needed else "absent"
        found = f"listed, but a session gets {_got(got)}: there is no GPU that works"
        return Finding(name, status, found, "see nvidia driver, above" if needed else "")
    found = f"listed, but a session gets {_got(got)}: {reason}"
    if needed or name == CUDA:
        return Finding(name, "fail", found, EXTRAS if name == CUDA else _TENSORRT if name == TENSORRT else _again())
    return Finding(name, "absent", found, _TENSORRT if name == TENSORRT else "")


_TENSORRT = "optional: install TensorRT 10 for the CUDA version above, and put its libraries on LD_LIBRARY_PATH"


def _got(providers: Sequence[str]) -> str:
    return ", ".join(providers) or "none"


def _reason(line: Line) -> str:
    """Give the library that was missing, as ONNX Runtime's log says it, or the first words of what it complained of."""
    log = re.sub(r"\x1b\[[0-9;]*m", "", str(line["log"]))
    lacking = re.search(r"with error: (.*)", log)
    return _first(lacking[1] if lacking else line["error"] or log or "no reason is given")


def _first(text: object) -> str:
    line = str(text).strip().partition("\n")[0]
    return line if len(line) <= 200 else f"{line[:200]}..."
