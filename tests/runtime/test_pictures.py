"""From sources to answers: order and batches are the same with threads and without, and nothing runs far ahead."""

import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from netc_runtime import pictures
from netc_runtime.decode import Decoded
from netc_runtime.errors import ImageFault
from netc_runtime.image import Source

Array = npt.NDArray[Any]
PATIENCE_S = 30


def prepare(source: Source) -> Array:
    """A source is its number, its side and whether it is at fault: "7 4 ok"."""
    number, side, state = str(source).split()
    if state == "bad":
        raise ImageFault("R304", f"{source} is cut", "copy it again")
    return np.full((1, int(side), int(side)), int(number), np.float32)


def decoded(batch: Array) -> dict[str, tuple[Decoded, ...]]:
    return {"y": tuple(Decoded("none", (), row.max(keepdims=True)) for row in batch)}


def workers_left() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("netc-images")]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["ok", "ok", "ok", "bad"])), max_size=40),
    st.integers(1, 5),
    st.integers(2, 4),
)
def test_threads_change_neither_answers_nor_batches(kinds: list[tuple[int, str]], most: int, workers: int) -> None:
    sources = [f"{number} {side} {state}" for number, (side, state) in enumerate(kinds)]
    runs: list[list[tuple[int, ...]]] = []
    for count in (1, workers):
        shapes: list[tuple[int, ...]] = []

        def run(batch: Array, shapes: list[tuple[int, ...]] = shapes) -> dict[str, tuple[Decoded, ...]]:
            shapes.append(batch.shape)
            return decoded(batch)

        results = list(pictures.answer(iter(sources), prepare, run, most, count))
        assert [result.source for result in results] == sources
        for number, (result, (_, state)) in enumerate(zip(results, kinds, strict=True)):
            if state == "bad":
                assert result.fault is not None
                assert result.fault.code == "R304"
            else:
                assert result.outputs["y"].values.item() == number
        assert all(shape[0] <= most for shape in shapes)
        runs.append(shapes)
    assert runs[0] == runs[1]
    assert workers_left() == []


def test_the_next_batch_is_prepared_while_one_runs() -> None:
    begun = {str(number): threading.Event() for number in range(6)}

    def signal(source: Source) -> Array:
        begun[str(source).split()[0]].set()
        return prepare(source)

    def run(batch: Array) -> dict[str, tuple[Decoded, ...]]:
        # 0 and 1 end only once 2 and 3 are prepared: without threads that is never.
        after = int(batch.max()) + 1
        assert after == 6 or begun[str(after)].wait(PATIENCE_S)
        assert after == 6 or begun[str(after + 1)].wait(PATIENCE_S)
        return decoded(batch)

    sources = [f"{number} 2 ok" for number in range(6)]
    assert len(list(pictures.answer(sources, signal, run, 2, 2))) == 6


@pytest.mark.parametrize(("most", "workers"), [(1, 2), (4, 3), (8, 64)])
def test_no_more_than_a_batch_is_prepared_ahead(most: int, workers: int) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield f"{taken} 2 ok"

    stream = cast("Generator[pictures.ImageResult]", pictures.answer(endless(), prepare, decoded, most, workers))
    for answered, _ in enumerate(stream, 1):
        # One batch being given back, the next and what the threads hold; 8 threads are the most.
        assert taken - answered <= 2 * most + min(workers, pictures.MAX_WORKERS) + 1
        if answered == 50:
            stream.close()
    assert workers_left() == []


def test_huge_pictures_are_not_prepared_by_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PENDING", 3 * 4 * 100**2)  # three pictures of 100 x 100 in float32
    taken = 0
    batches: list[int] = []

    def counted() -> Iterator[str]:
        nonlocal taken
        for number in range(30):
            taken += 1
            yield f"{number} 100 ok"

    def run(batch: Array) -> dict[str, tuple[Decoded, ...]]:
        batches.append(len(batch))
        return decoded(batch)

    for answered, _ in enumerate(pictures.answer(counted(), prepare, run, 64, 2), 1):
        assert taken - answered <= 2 * 3 + 2
    assert batches == [3] * 10


def test_a_bug_in_a_thread_is_not_swallowed() -> None:
    def broken(source: Source) -> Array:
        raise ZeroDivisionError(str(source))

    with pytest.raises(ZeroDivisionError, match="0 2 ok"):
        list(pictures.answer(["0 2 ok", "1 2 ok"], broken, decoded, 2, 2))
    assert workers_left() == []


def test_sources_that_fail_to_come_end_the_threads() -> None:
    def failing() -> Iterator[str]:
        yield from ("0 2 ok", "1 2 ok", "2 2 ok")
        raise OSError("the pipe broke")

    with pytest.raises(OSError, match="the pipe broke"):
        list(pictures.answer(failing(), prepare, decoded, 2, 2))
    assert workers_left() == []


def test_one_picture_needs_no_thread_and_pillow_s_own_are_no_thread_s() -> None:
    where: list[str] = []

    def note(source: Source) -> Array:
        where.append(threading.current_thread().name)
        return np.zeros((1, 2, 2), np.float32)

    main = threading.current_thread().name
    list(pictures.answer(["a"], note, decoded, 2, 4))
    picture = Image.new("L", (2, 2))
    list(pictures.answer([picture, picture, picture], note, decoded, 2, 4))
    assert where == [main] * 4
    list(pictures.answer(["a", "b"], note, decoded, 2, 4))
    assert all(name.startswith("netc-images") for name in where[4:])


def test_a_lazily_opened_picture_may_stand_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(path)

    def tensor(source: Source) -> Array:
        return np.asarray(source, np.float32)[None]

    with Image.open(path) as opened:
        results = list(pictures.answer([opened] * 20, tensor, decoded, 4, 4))
    assert [result.outputs["y"].values.item() for result in results] == [15] * 20
