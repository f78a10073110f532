"""What is wrong with this machine or installation, and what puts it right.

Nothing here imports ONNX Runtime, numpy or Pillow at its start: they may be what is broken.
"""

from netc_runtime import providers
from netc_runtime.doctor import engine, limits, packages
from netc_runtime.doctor.finding import Finding
from netc_runtime.doctor.probed import run_probe
from netc_runtime.providers import Device

__all__ = ["Finding", "examine"]


def examine(device: Device) -> list[Finding]:
    """Look at everything that a model needs to run on a device; a GPU's parts must work where it is named."""
    return [
        packages.python_finding(),
        packages.runtime_finding(),
        *(packages.package_finding(each) for each in packages.PACKAGES),
        packages.wheel_finding(providers.installed_wheels()),
        *engine.engine_findings(run_probe(), device),
        limits.processor_finding(),
        limits.threads_finding(),
        limits.memory_finding(),
        limits.cache_finding(),
    ]
