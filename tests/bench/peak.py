"""How many float32 operations a second this processor does at most.

A loop of fused multiply-adds that never leaves the registers, in C; where there is no C compiler, a large convolution
in torch, which is oneDNN's and comes near it. A library's matrix product may reach half as much, and says nothing.

Run `python tests/bench/peak.py [THREADS...]`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
typedef float lanes __attribute__((vector_size(BYTES)));

enum { CHAINS = 14, STEPS = 2000000, TURNS = 9 };  /* as many chains as latency times units, and registers, admit */

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);  /* of this thread: what else runs does not count */
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

static void *work(void *found) {
  double best = 0;
  for (int turn = 0; turn < TURNS; turn++) {
    lanes sums[CHAINS], factor = {0}, term = {0};
    factor += 0.999f + turn * 1e-9f;
    term += 0.001f;
    for (int i = 0; i < CHAINS; i++) sums[i] = term * (float)i;
    double start = seconds();
    for (int step = 0; step < STEPS; step++) {
#pragma GCC unroll 14
      for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * factor + term;
    }
    double rate = 2.0 * (BYTES / sizeof(float)) * CHAINS * STEPS / (seconds() - start);
    volatile float kept = 0;
    for (int i = 0; i < CHAINS; i++) kept += sums[i][0];
    if (rate > best) best = rate;
  }
  *(double *)found = best;
  return NULL;
}

int main(int count, char **words) {
  int threads = count > 1 ? atoi(words[1]) : 1;
  pthread_t started[256];
  double found[256], sum = 0;
  for (int i = 0; i < threads; i++) pthread_create(&started[i], NULL, work, &found[i]);
  for (int i = 0; i < threads; i++) pthread_join(started[i], NULL), sum += found[i];
  printf("%.1f\n", sum / 1e9);
}
"""

FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-pthread")

CONVOLUTION = """
import sys, time, torch
threads = int(sys.argv[1])
torch.set_num_threads(threads)
layer, x = torch.nn.Conv2d(256, 256, 3, padding=1), torch.randn(16, 256, 56, 56)
clock = time.process_time if threads == 1 else time.perf_counter
with torch.inference_mode():
    layer(x)
    times = []
    for _ in range(7):
        start = clock()
        layer(x)
        times.append(clock() - start)
print(2 * 256 * 256 * 9 * 16 * 56 * 56 / min(times) / 1e9)
"""


def peaks(threads: list[int]) -> tuple[dict[int, float], str]:
    """GFLOP/s by number of threads, and how they were measured."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        command, how = [sys.executable, "-c", CONVOLUTION], "a large convolution of oneDNN's in torch"
        return {count: _printed([*command, str(count)], count) for count in threads}, how
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "peak.c", Path(folder) / "peak"
        source.write_text(SOURCE, encoding="utf-8")
        subprocess.run([compiler, *FLAGS, str(source), "-o", str(program)], check=True)
        how = "a loop of fused multiply-adds in registers"
        return {count: _printed([str(program), str(count)], count) for count in threads}, how


def _printed(command: list[str], threads: int) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return float(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)


if __name__ == "__main__":
    found, how = peaks([int(word) for word in sys.argv[1:]] or [1, os.cpu_count() or 1])
    print(f"{how}: " + ", ".join(f"{rate:.0f} GFLOP/s on {count} threads" for count, rate in found.items()))
