"""`netc-runtime doctor`: what this machine or installation lacks to run models, and what puts it right."""

import argparse
from dataclasses import asdict
from typing import Any

from netc_runtime.cli import options, output

BROKEN = 3


def add(commands: Any) -> None:  # argparse's own type for it has no public name
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="say what this machine lacks to run models",
        description="Look at Python, packages, driver, libraries, providers, threads and memory.",
        epilog="Exits with 0 where all that is needed works, and with 3 where something is broken.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=_run)
    parser.add_argument("--device", type=options.device, default="auto", help="what must work: cuda, say (auto)")
    options.add_format(parser)


def _run(arguments: argparse.Namespace) -> int:
    from netc_runtime import doctor
    from netc_runtime.providers import parse_device
    from netc_runtime.table import aligned

    findings = doctor.examine(parse_device(arguments.device))
    broken = [finding for finding in findings if finding.status == "fail"]
    if arguments.format == "json":
        output.print_json({"ok": not broken, "findings": [asdict(finding) for finding in findings]})
    else:
        lines: list[list[str]] = []
        for finding in findings:
            lines.append([finding.status, finding.name, finding.found])
            if finding.fix:
                lines.append(["", "", f"-> {finding.fix}"])
        output.print_text(aligned(lines))
        output.complain(_verdict(len(broken)))
    return BROKEN if broken else 0


def _verdict(broken: int) -> str:
    if not broken:
        return "all that is needed works"
    return f"{broken} {'thing is' if broken == 1 else 'things are'} broken: see the lines that begin with fail"
