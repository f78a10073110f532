"""How long `netc check specs/lenet5.cnn` takes, as a ratio to importing the two libraries it needs.

Both are processes of this Python, run in turns; the figure is the median of the pairs' ratios, so that a neighbour who
takes the machine for a while changes little. Run `python tests/bench/start.py [PAIRS]` (at least 7; 15).
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parent.parent.parent
CHECK = (sys.executable, "-m", "netc", "check", "specs/lenet5.cnn")
IMPORTS = (sys.executable, "-c", "import lark, pydantic")


def seconds(command: tuple[str, ...], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main(pairs: int) -> None:
    # Compiled bytecode for both: some machines are set not to write it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for command in (CHECK, IMPORTS, CHECK, IMPORTS):
        seconds(command, environment)
    checks: list[float] = []
    imports: list[float] = []
    for number in range(pairs):
        turns = [(CHECK, checks), (IMPORTS, imports)]
        for command, times in turns if number % 2 == 0 else reversed(turns):
            times.append(seconds(command, environment))
    ratios = [ours / theirs for ours, theirs in zip(checks, imports, strict=True)]
    low, _, high = quantiles(ratios, n=4)
    print(f"netc check specs/lenet5.cnn  {1000 * median(checks):6.1f} ms, median of {pairs}")
    print(f"import lark, pydantic        {1000 * median(imports):6.1f} ms")
    print(f"ratio                        {median(ratios):6.2f}    (middle half {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main(max(7, int(sys.argv[1])) if len(sys.argv) > 1 else 15)
