"""From JPEG files to labels: netc-runtime's `predict_images` beside the loop that one writes by hand.

The hand-written loop opens each file with Pillow, resizes, crops and normalises it, stacks a batch, runs ONNX Runtime
on the same model file with as many threads, and takes the likeliest class. Files are 500 x 375 JPEGs made from a seed.
Sides run in turns; a figure is the median over rounds of ours divided by theirs, with its middle half. Before anything
is timed, both have to name the same classes.

Run `.venv/bin/python tests/bench/runtime_images.py [--quick] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

import netc_runtime
from netc import api
from netc_runtime.manifest import ImageRecipe
from tests.bench.pairs import alternate, ratio
from tests.bench.tables import Table, told, write

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH, QUALITY = 375, 500, 85
FILES, QUICK_FILES = 256, 32
BATCH = 32
SECONDS, QUICK_SECONDS = 60.0, 10.0
BAR = 1.0
"""Ours takes at most as long as the hand-written loop."""

SMALL = """language 1

net Small {
  input  image: f32[N, 1, 28, 28] {
    color = gray, resize = [28, 28], fit = stretch, scale = 1/255, mean = [0.1307], std = [0.3081]
  }
  output digit: f32[N, 10] { decode = softmax }

  from image
    -> c1: conv(6, k=5, pad=2) -> tanh -> s2: avgpool(k=2)
    -> c3: conv(16, k=5) -> tanh -> s4: avgpool(k=2) -> flatten
    -> c5: fc(120) -> tanh -> f6: fc(84) -> tanh -> out: fc(10)
    => digit
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="From JPEG files to labels, beside a hand-written loop.")
    parser.add_argument("--quick", action="store_true", help="few files and rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = photos(folder / "photos", QUICK_FILES if given.quick else FILES)
        (folder / "small.cnn").write_text(SMALL, encoding="utf-8")
        nets = {"LeNet-5": str(folder / "small.cnn"), "ResNet-18": f"{ROOT / 'specs' / 'resnet.cnn'}:ResNet18"}
        rows: list[list[str]] = []
        worst = 0.0
        for title, spec in nets.items():
            model = folder / f"{title}.onnx"
            built(spec, model)
            for threads in (1, 2):
                row, found = cell(title, model, files, threads, QUICK_SECONDS if given.quick else SECONDS)
                rows.append(row)
                worst = max(worst, found)
        write([table(rows, worst, len(files))], given.json)


def table(rows: list[list[str]], worst: float, files: int) -> Table:
    notes = [
        told(worst <= BAR, f"no net takes longer than the hand-written loop; the largest ratio is {worst:.3f}"),
        f"{files} JPEG files of {WIDTH} x {HEIGHT}, quality {QUALITY}, in batches of {BATCH}. With two threads, "
        "netc-runtime decodes the next batch while one runs, with one it does not. The loop by hand never does.",
    ]
    columns = ["net", "threads", "images/s", "by hand", "time, ours / by hand"]
    return Table("From JPEG files to labels", columns, rows, notes)


def cell(title: str, file: Path, files: Sequence[Path], threads: int, seconds: float) -> tuple[list[str], float]:
    """A row of the table, and its ratio."""
    model = netc_runtime.load(file, "cpu", threads=threads, max_batch=BATCH)
    recipe = model.inputs[0].image
    assert recipe is not None
    session = opened(file, threads)
    labels = [ours(model, files), by_hand(session, recipe, files)]
    assert labels[0] == labels[1], title
    found = alternate(
        {
            "ours": lambda: timed(lambda: ours(model, files)),
            "by hand": lambda: timed(lambda: by_hand(session, recipe, files)),
        },
        seconds,
    )
    found_ratio = ratio(found["ours"], found["by hand"])
    rates = [f"{len(files) / median(found[side]):.0f}" for side in ("ours", "by hand")]
    return [title, str(threads), *rates, str(found_ratio)], found_ratio.median


def timed(turn: Callable[[], object]) -> float:
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


# --- the two sides


def ours(model: netc_runtime.Model, files: Sequence[Path]) -> list[int]:
    results = model.stream_images(files, top=1)
    return [next(iter(result.outputs.values())).labels[0].index for result in results]


def by_hand(session: Any, recipe: ImageRecipe, files: Sequence[Path]) -> list[int]:
    """What one writes with the two libraries' documentation at hand, for the recipes of these two nets."""
    name = session.get_inputs()[0].name
    mean = np.array(recipe.mean, np.float32)
    std = np.array(recipe.std, np.float32)
    classes: list[int] = []
    for start in range(0, len(files), BATCH):
        pictures: list[npt.NDArray[np.float32]] = []
        for file in files[start : start + BATCH]:
            with Image.open(file) as opened_file:
                picture = opened_file.convert("L" if recipe.color == "gray" else "RGB")
            pixels = np.asarray(_fitted(picture, recipe), np.float32).reshape(*_sides(recipe), -1)
            pictures.append(((pixels * recipe.scale - mean) / std).transpose(2, 0, 1).astype(np.float32))
        (scores,) = session.run(None, {name: np.stack(pictures)})
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        classes += (powers / powers.sum(axis=1, keepdims=True)).argmax(axis=1).tolist()
    return classes


def _fitted(picture: Image.Image, recipe: ImageRecipe) -> Image.Image:
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    if recipe.fit == "stretch":
        height, width = _sides(recipe)
        return picture.resize((width, height), filters[recipe.filter])
    assert isinstance(recipe.resize, int)
    scale = recipe.resize / min(picture.size)
    resized = picture.resize((int(picture.width * scale), int(picture.height * scale)), filters[recipe.filter])
    height, width = _sides(recipe)
    left, top = (resized.width - width) // 2, (resized.height - height) // 2
    return resized.crop((left, top, left + width, top + height))


def _sides(recipe: ImageRecipe) -> tuple[int, int]:
    size = recipe.crop if recipe.crop is not None else recipe.resize
    assert size is not None
    return (size, size) if isinstance(size, int) else size


def opened(file: Path, threads: int) -> Any:
    library: Any = onnxruntime  # it has no types
    settings = library.SessionOptions()
    settings.intra_op_num_threads = threads
    return library.InferenceSession(file, settings, providers=["CPUExecutionProvider"])


# --- what they work on


def photos(folder: Path, count: int) -> list[Path]:
    """Soft shapes with grain, as JPEG compresses photographs; the same for the same count."""
    folder.mkdir()
    random = np.random.RandomState(0)
    files: list[Path] = []
    for number in range(count):
        coarse = random.randint(0, 256, (HEIGHT // 16, WIDTH // 16, 3)).astype(np.uint8)
        soft = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
        grainy = soft + random.normal(0, 8, (HEIGHT, WIDTH, 1))
        files.append(folder / f"{number:04}.jpg")
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(files[-1], quality=QUALITY)
    return files


def built(spec: str, file: Path) -> None:
    """netc's file of a net, with initial weights."""
    api.build(spec, file, init=0, verify=False)


if __name__ == "__main__":
    main()
