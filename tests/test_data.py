"""Labelled pictures for training: what is read, and what is refused with which words."""

import gzip
import os
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import netc
from netc import api
from netc.diagnostic import Fault, Source, Span
from netc.graph import Graph, Input, Output, Recipe, Requirement
from netc.sections import BceWithLogits, CrossEntropy, Loss, Metric, Sgd, Train, WeightSource
from netc.tensor import Size, Symbol, TensorType
from netc.training import data as data_module
from netc.training import folder as folder_module
from netc.training.data import Data, load
from netc.training.task import task

HERE = Span(Source("t.cnn", "net"), 0, 3)
N = Size.of(Symbol("N"))
H, W = Size.of(Symbol("H")), Size.of(Symbol("W"))
GRAY = Recipe(color="gray")
TRAIN = Train(loss={"y": CrossEntropy()}, optimizer=Sgd(lr=0.1))


def graph(
    sides: tuple[int | Size, ...] = (3, 2),
    classes: int = 3,
    *,
    recipe: Recipe | None = GRAY,
    labels: tuple[str, ...] | None = None,
    train: Train | None = TRAIN,
    requires: tuple[Requirement, ...] = (),
) -> Graph:
    """A graph as far as data are concerned: what enters, what leaves, how it is trained."""
    channels = 3 if recipe is not None and recipe.color != "gray" else 1
    entering = Input("image", TensorType(N, channels, sides), HERE, recipe)
    leaving = Output("y", "image", TensorType(N, classes), HERE, labels, "softmax")
    return Graph("Net", (entering,), (leaving,), (), (), requires=requires, train=train)


def fault(spec: str, net: Graph, code: str, *words: str, max_bad: float = 0.01) -> Fault:
    with pytest.raises(Fault) as caught:
        load(spec, net, max_bad=max_bad)
    assert caught.value.code == code, caught.value
    for word in words:
        assert word in str(caught.value)
    assert caught.value.help
    return caught.value


# IDX


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_idx(
    folder: Path,
    count: int = 5,
    *,
    sides: tuple[int, int] = (3, 2),
    labels: Sequence[int] | None = None,
    dot: bool = False,
    packed: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """MNIST's four files with `count` training and two test images; the training images and labels."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *sides), np.uint8)
    classes = np.array([i % 3 for i in range(count)] if labels is None else labels, np.uint8)
    mark = "." if dot else "-"
    for name, values in {
        f"train-images{mark}idx3-ubyte": images,
        f"train-labels{mark}idx1-ubyte": classes,
        f"t10k-images{mark}idx3-ubyte": images[:2],
        f"t10k-labels{mark}idx1-ubyte": classes[:2],
    }.items():
        content = idx_bytes(values)
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    return images, classes


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dot", [False, True])
def test_the_four_files_are_found_under_every_usual_name(tmp_path: Path, dot: bool, packed: bool) -> None:
    images, labels = write_idx(tmp_path, dot=dot, packed=packed)
    data = load(f"idx:{tmp_path}", graph())
    assert np.array_equal(np.asarray(data.train.pictures)[..., 0], images)
    assert data.train.labels.dtype == np.int64
    assert data.train.labels.tolist() == labels.tolist()
    assert (len(data.train), len(data.test)) == (5, 2)
    assert data.train.shape == (1, 3, 2)
    assert data.classes == ("0", "1", "2")


def test_the_recipes_numbers_are_applied_to_the_pixels(tmp_path: Path) -> None:
    images, _ = write_idx(tmp_path)
    recipe = Recipe(color="gray", scale=1 / 255, mean=(0.5,), std=(0.25,))
    tensor = load(f"idx:{tmp_path}", graph(recipe=recipe)).train.tensor([4, 1])
    expected = (images[[4, 1]].astype(np.float64) / 255 - 0.5) / 0.25
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[:, 0], expected, rtol=0, atol=1e-6)


def test_images_are_resized_as_pillow_does(tmp_path: Path) -> None:
    images, _ = write_idx(tmp_path, sides=(6, 6))
    data = load(f"idx:{tmp_path}", graph((4, 4), recipe=Recipe(color="gray", resize=4)))
    expected = [np.asarray(Image.fromarray(each).resize((4, 4), Image.Resampling.BILINEAR)) for each in images]
    assert np.array_equal(data.train.tensor(range(5))[:, 0], np.stack(expected))


def test_gray_images_fill_the_three_channels_of_a_colour_net(tmp_path: Path) -> None:
    images, _ = write_idx(tmp_path)
    tensor = load(f"idx:{tmp_path}", graph(recipe=Recipe())).train.tensor(range(5))
    assert np.array_equal(tensor, np.stack([images] * 3, axis=1))


@pytest.mark.parametrize("recipe", [Recipe(color="gray", resize=4), Recipe(resize=4)])
def test_what_does_not_fit_in_memory_is_decoded_by_the_batch(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(tmp_path, sides=(6, 6))
    kept = load(f"idx:{tmp_path}", graph((4, 4), recipe=recipe)).train
    monkeypatch.setattr(data_module, "IN_MEMORY_BYTES", 0)
    lazy = load(f"idx:{tmp_path}", graph((4, 4), recipe=recipe)).train
    assert isinstance(kept.pictures, np.ndarray)
    assert not isinstance(lazy.pictures, np.ndarray)
    assert np.array_equal(lazy.tensor([3, 0]), kept.tensor([3, 0]))


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    found = fault(f"idx:{tmp_path}", graph(), "N502", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", ".gz")
    assert "train-images-idx3-ubyte" not in found.message
    fault(f"idx:{tmp_path}/nowhere", graph(), "N502", "nowhere is not a folder")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path)

    def refuse(self: Path, mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    fault(f"idx:{tmp_path}", graph(), "N502", "train-images-idx3-ubyte cannot be read: Permission denied")


# The header of the written file: 0x803, then 5 images of 3 x 2: 30 bytes.
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda whole: b"", "0 bytes"),
    "header cut off": (lambda whole: whole[:10], "header of 16"),
    "payload cut off": (lambda whole: whole[:-1], "promises 5 x 3 x 2 = 30 bytes"),
    "one byte too many": (lambda whole: whole + b"!", "promises 5 x 3 x 2 = 30 bytes, the file holds more"),
    "another format": (lambda whole: b"\x89PNG" + whole[4:], "0x89504e47"),
    "labels for images": (lambda whole: b"\0\0\x08\x01" + whole[4:], "swapped"),
    # 4,294,967,295 x 60 x 50 = 12,884,901,885,000 bytes
    "twelve terabytes": (lambda whole: whole[:4] + struct.pack(">3I", 2**32 - 1, 60, 50), "12,884,901,885,000 bytes"),
    "zip bomb's claim": (
        lambda whole: gzip.compress(whole[:4] + struct.pack(">3I", 2**32 - 1, 60, 50)),
        "packed bytes can unpack to",
    ),
    "packed and cut off": (lambda whole: gzip.compress(whole)[:-9], "cut off or damaged"),
    "packed and damaged": (lambda whole: gzip.compress(whole)[:-8] + bytes(8), "cut off or damaged"),
    "packed noise": (lambda whole: b"\x1f\x8b" + whole, "cut off or damaged"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_refused_with_its_numbers(tmp_path: Path, what: str) -> None:
    write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    damage, words = DAMAGE[what]
    path.write_bytes(damage(path.read_bytes()))
    tracemalloc.start()
    try:
        fault(f"idx:{tmp_path}", graph(), "N503", str(path), words)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_packed_file_that_unpacks_beyond_its_header_is_read_no_further(tmp_path: Path) -> None:
    write_idx(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(2**26)))
    tracemalloc.start()
    try:
        fault(f"idx:{tmp_path}", graph(), "N503", "holds more")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_file_larger_than_memory_should_hold_is_refused_unread(tmp_path: Path) -> None:
    write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">4I", 0x803, 2**21 + 1, 32, 32))
    os.truncate(path, 16 + 2**31 + 2**10)  # a hole, as large as the header says: 2,147,484,672
    fault(f"idx:{tmp_path}", graph(), "N503", "2,147,484,672 bytes", "may hold 2,147,483,648", "folder:DIR")


def test_images_too_large_to_decode_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, 1)
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        (tmp_path / name).write_bytes(struct.pack(">4I", 0x803, 1, 2**13 + 1, 2**13))
        os.truncate(tmp_path / name, 16 + (2**13 + 1) * 2**13)
    fault(f"idx:{tmp_path}", graph(), "N506", "train-images-idx3-ubyte", "at most 67108864")


def test_counts_of_images_and_labels_must_agree(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    fault(f"idx:{tmp_path}", graph(), "N504", "has 5 images", "has 4 labels")


def test_a_label_beyond_the_nets_classes_is_named_with_its_place(tmp_path: Path) -> None:
    write_idx(tmp_path, labels=[0, 1, 2, 7, 3])
    fault(f"idx:{tmp_path}", graph(), "N505", "label 7 at 3", "3 classes, 0 to 2", "8 classes")


def test_images_of_another_size_than_the_nets_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, sides=(5, 5))
    fault(f"idx:{tmp_path}", graph((28, 28)), "N506", "5x5", "28x28", "`resize = 28, crop = 28`")
    write_idx(tmp_path, sides=(5, 4))
    fault(f"idx:{tmp_path}", graph((28, 28)), "N506", "5x4", "28x28", "`resize = 28, crop = 28`")
    fault(f"idx:{tmp_path}", graph((28, 20)), "N506", "28x20", "`resize = [28, 20], crop = [28, 20]`")


def test_both_parts_must_have_images_of_one_size(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((2, 4, 4), np.uint8)))
    fault(f"idx:{tmp_path}", graph(), "N506", "4x4", "3x2")


def test_a_file_without_images_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, 0)
    fault(f"idx:{tmp_path}", graph(), "N507", "train-images-idx3-ubyte has no images")


def test_a_class_without_training_images_is_noted(tmp_path: Path) -> None:
    write_idx(tmp_path)
    assert load(f"idx:{tmp_path}", graph()).notes == ()
    (note,) = load(f"idx:{tmp_path}", graph(classes=5)).notes
    assert note == "2 of the 5 classes have no training image: 3, 4"


# The sample


def test_the_sample_is_the_first_10000_and_2000_digits() -> None:
    data = load("sample", graph((28, 28), 10))
    assert (len(data.train), len(data.test)) == (10_000, 2_000)
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # as in every introduction to MNIST
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_in_a_wheel_the_sample_lies_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "netc"
    (package / "sample").mkdir(parents=True)
    write_idx(package / "sample", packed=True)
    monkeypatch.setattr(netc, "__file__", str(package / "__init__.py"))
    assert len(load("sample", graph()).train) == 5
    monkeypatch.setattr(netc, "__file__", str(tmp_path / "elsewhere" / "netc" / "__init__.py"))
    assert fault("sample", graph(), "N502", "elsewhere").exit_code == 3


# Folders


def write_folder(folder: Path, counts: dict[str, int], size: tuple[int, int] = (2, 3)) -> None:
    """Pictures of one value each, numbered through: `size` is Pillow's, (width, height)."""
    value = 0
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("L", size, value).save(folder / name / f"{i:03}.png")
            value += 1


def pixels(data: Data) -> tuple[list[int], list[int]]:
    """The one value of each picture, and the classes, of the training part."""
    return [int(each.flat[0]) for each in data.train.tensor(range(len(data.train)))], data.train.labels.tolist()


def test_classes_are_the_sorted_names_of_the_folders(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 2, "bird": 1, "ant": 1})
    write_folder(tmp_path / "test", {"bird": 1})
    data = load(f"folder:{tmp_path}", graph())
    assert data.classes == ("ant", "bird", "cat")
    assert pixels(data) == ([3, 2, 0, 1], [0, 1, 2, 2])
    assert data.test.labels.tolist() == [1]


def test_the_specs_labels_give_the_order_of_the_classes(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 2, "bird": 1, "ant": 1})
    write_folder(tmp_path / "val", {"ant": 1})
    data = load(f"folder:{tmp_path}", graph(labels=("cat", "ant", "bird")))
    assert data.classes == ("cat", "ant", "bird")
    assert pixels(data) == ([0, 1, 3, 2], [0, 0, 1, 2])
    assert data.test.labels.tolist() == [1]


def test_an_unknown_class_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2, "brid": 2, "ant": 2})
    fault(f"folder:{tmp_path}", graph(labels=("ant", "bird", "cat")), "N508", "`brid`", "did you mean `bird`?")
    fault(f"folder:{tmp_path}", graph(labels=("ant", "xxxxxx", "cat")), "N508", "`brid`", "`ant`, `xxxxxx`, `cat`")


def test_an_unknown_class_in_the_test_folder_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 2, "bird": 2, "ant": 2})
    write_folder(tmp_path / "test", {"cats": 1})
    fault(f"folder:{tmp_path}", graph(), "N508", "test has `cats`", "did you mean `cat`?")


def test_missing_classes_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2})
    fault(f"folder:{tmp_path}", graph(labels=("ant", "bird", "cat")), "N508", "1 of the net's 3", "`ant`, `bird`")


def test_the_number_of_classes_must_be_the_nets(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2, "dog": 2})
    fault(f"folder:{tmp_path}", graph(classes=10), "N509", "has 2 classes", "`y` has 10")


def test_a_tenth_of_each_class_is_held_out_by_the_seed(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 40, "b": 20, "c": 2})
    first, again, other = (load(f"folder:{tmp_path}", graph(), seed=seed) for seed in (0, 0, 1))
    # 4 of 40, 2 of 20 and, of two, the one that there must be
    assert np.bincount(first.test.labels).tolist() == [4, 2, 1]
    assert np.bincount(first.train.labels).tolist() == [36, 18, 1]
    every = {*first.train.tensor(range(55))[:, 0, 0, 0], *first.test.tensor(range(7))[:, 0, 0, 0]}
    assert every == set(range(62))
    assert np.array_equal(again.test.tensor(range(7)), first.test.tensor(range(7)))
    assert not np.array_equal(other.test.tensor(range(7)), first.test.tensor(range(7)))
    assert first.notes == ("no test folder: 7 of 62 images (10% of each class, seed 0) are held out for the test",)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train": 2, "bus": 2, "test": 2})
    assert load(f"folder:{tmp_path}", graph()).classes == ("bus", "test", "train")


def test_files_that_are_no_images_by_name_are_left_out_and_counted(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"a": 1, "b": 1, "c": 1})
    write_folder(tmp_path / "test", {"a": 1})
    (tmp_path / "train" / "a" / "README.txt").write_text("of cats")
    (tmp_path / "train" / "a" / ".DS_Store").write_text("")
    (tmp_path / "train" / ".git").mkdir()
    data = load(f"folder:{tmp_path}", graph())
    assert len(data.train) == 3
    assert data.notes == ("1 file is no image by name and left out",)


def test_images_are_found_below_a_classs_folder_in_any_letters(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"a/deep/er": 2, "b": 1, "c": 1})
    write_folder(tmp_path / "test", {"a": 1})
    (tmp_path / "train" / "b" / "000.png").rename(tmp_path / "train" / "b" / "000.PNG")
    assert load(f"folder:{tmp_path}", graph()).train.labels.tolist() == [0, 0, 1, 2]


def test_a_folder_with_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    fault(f"folder:{tmp_path}/nowhere", graph(), "N502", "nowhere is not a folder")
    fault(f"folder:{tmp_path}", graph(), "N507", f"{tmp_path} has no subfolders")
    write_folder(tmp_path, {"a": 1, "b": 1, "c": 0})
    fault(f"folder:{tmp_path}", graph(), "N507", f"{tmp_path / 'c'} has no images")
    write_folder(tmp_path, {"c": 1})
    fault(f"folder:{tmp_path}", graph(), "N507", "one image a class")


@pytest.mark.parametrize("place", [(Path, "iterdir"), (os, "scandir")])
def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, place: tuple[object, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"a": 2, "b": 2, "c": 2})

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(*place, refuse)
    fault(f"folder:{tmp_path}", graph(), "N502", f"{tmp_path}", "cannot be read: Permission denied")


def test_an_empty_test_folder_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"a": 1, "b": 1, "c": 1})
    (tmp_path / "test").mkdir()
    fault(f"folder:{tmp_path}", graph(), "N507", "test has no images")


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 2, "b": 2, "c": 2}, size=(4, 5))
    fault(f"folder:{tmp_path}", graph((8, 8)), "N506", "000.png is 5x4", "8x8", "`resize = 8, crop = 8`")
    data = load(f"folder:{tmp_path}", graph((8, 8), recipe=Recipe(color="gray", resize=8, crop=8)))
    assert data.train.shape == (1, 8, 8)


def test_a_symbolic_size_is_the_first_images(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"a": 2, "b": 1, "c": 1}, size=(4, 5))
    write_folder(tmp_path / "test", {"a": 1}, size=(4, 5))
    assert load(f"folder:{tmp_path}", graph((H, W))).train.shape == (1, 5, 4)
    write_folder(tmp_path / "test", {"b": 1}, size=(6, 6))
    fault(f"folder:{tmp_path}", graph((H, W)), "N506", "is 6x6", "the images before it are 5x4")


def test_a_size_that_a_require_refuses_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 2, "b": 2, "c": 2}, size=(4, 5))
    even = Requirement(["==", ["%", "H", 2], 0], "H % 2 == 0", "one pooling")
    fault(f"folder:{tmp_path}", graph((H, W), requires=(even,)), "N506", "5x4", "H % 2 == 0: one pooling")
    four = Requirement(["==", ["%", "W", 4], 0], "W % 4 == 0", "two poolings")
    assert len(load(f"folder:{tmp_path}", graph((H, W), requires=(four,))).train) == 3


def test_a_require_on_the_batch_says_nothing_of_pictures(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 2, "b": 2, "c": 2}, size=(4, 5))
    few = Requirement(["<=", "N", 2], "N <= 2", "memory")  # and the section's batch is 64
    assert len(load(f"folder:{tmp_path}", graph((H, W), requires=(few,))).train) == 3


def test_a_size_that_leaves_a_group_norm_single_numbers_is_refused() -> None:
    # (6 - 3) // 4 + 1 = 1: eight groups of eight channels at one place, which torch refuses in a batch of one.
    spec = """net Normed {
      input image: f32[N, 1, H, W] { resize = 6, crop = 6, color = gray }
      output y: f32[N, 10]
      from image -> conv(8, k=3, stride=4) -> gn(8) -> gap -> flatten -> fc(10) => y
    }"""
    net = api.check_text(Source("normed.cnn", spec)).graphs["Normed"]
    fault("sample", net, "N506", "its images are 6x6", "`gn` at normed.cnn:4:47 would make 0 of each number")


def test_sides_of_one_symbol_are_equal(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 2, "b": 2, "c": 2}, size=(4, 5))
    fault(f"folder:{tmp_path}", graph((H, H)), "N506", "5x4", "`image` [N, 1, H, H] takes equal sides")
    square = Recipe(color="gray", resize=4, crop=4)
    assert load(f"folder:{tmp_path}", graph((H, H), recipe=square)).train.shape == (1, 4, 4)


def test_broken_images_up_to_the_limit_are_left_out_and_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"a": 2, "b": 1, "c": 1})
    write_folder(tmp_path / "test", {"a": 2})
    broken = tmp_path / "train" / "b" / "broken.png"
    broken.write_bytes((tmp_path / "train" / "a" / "000.png").read_bytes()[:40])
    empty = tmp_path / "test" / "a" / "empty.jpg"
    empty.write_bytes(b"")
    data = load(f"folder:{tmp_path}", graph(), max_bad=0.25)  # 2 of 8
    assert [bad.path for bad in data.bad] == [broken, empty]
    assert pixels(data) == ([0, 1, 2, 3], [0, 0, 1, 2])
    assert len(data.test) == 2
    assert all(str(bad.path) in bad.why for bad in data.bad)
    fault(f"folder:{tmp_path}", graph(), "N510", "2 of 8 images are broken, more than 1 %", str(broken), max_bad=0.01)


def test_of_many_broken_images_ten_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 12, "b": 2, "c": 2})
    for path in (tmp_path / "a").iterdir():
        path.write_bytes(b"not an image")
    found = fault(f"folder:{tmp_path}", graph(), "N510", "12 of 16 images", "and 2 more")
    assert found.message.count(".png") == 10


def test_a_part_with_only_broken_images_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"a": 1, "b": 1, "c": 1})
    write_folder(tmp_path / "test", {"a": 1})
    (tmp_path / "test" / "a" / "000.png").write_bytes(b"")
    fault(f"folder:{tmp_path}", graph(), "N507", "no image is left to test on", max_bad=0.5)


def test_a_folder_of_broken_images_alone_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 2, "b": 2, "c": 2})
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"")
    fault(f"folder:{tmp_path}", graph(), "N507", "no image is left to train on", max_bad=1.0)


def test_a_large_folder_is_decoded_by_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, {"a": 20, "b": 20, "c": 20})
    (tmp_path / "a" / "broken.png").write_bytes(b"")
    kept = load(f"folder:{tmp_path}", graph(), max_bad=0.1)
    monkeypatch.setattr(data_module, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(data_module, "AT_ONCE", 7)
    lazy = load(f"folder:{tmp_path}", graph(), max_bad=0.1)
    for one, other in ((kept.train, lazy.train), (kept.test, lazy.test)):
        rows = np.arange(len(one))[::-1]
        assert not isinstance(other.pictures, np.ndarray)
        assert np.array_equal(one.tensor(rows), other.tensor(rows))
        assert np.array_equal(one.labels, other.labels)


def test_a_file_that_vanishes_or_changes_later_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "train", {"a": 1, "b": 1, "c": 1})
    write_folder(tmp_path / "test", {"a": 1})
    monkeypatch.setattr(data_module, "IN_MEMORY_BYTES", 0)
    train = load(f"folder:{tmp_path}", graph()).train
    changed = tmp_path / "train" / "b" / "000.png"
    Image.new("L", (9, 9)).save(changed)
    with pytest.raises(Fault, match=r"b/000.png has changed") as caught:
        train.tensor([0, 1])
    assert caught.value.code == "N510"
    changed.unlink()
    with pytest.raises(Fault, match=r"b/000.png cannot be opened") as caught:
        train.tensor([0, 1])
    assert caught.value.code == "N510"


# What the string asks for


def test_a_string_that_names_no_data_is_answered_with_the_forms(tmp_path: Path) -> None:
    for spec in ("", "mnist", "idx", "idx:", "folder:", "sample:x", "http://mnist"):
        fault(spec, graph(), "N501", "`sample`", "`idx:DIR`", "`folder:DIR`")
    fault(str(tmp_path), graph(), "N501", f"folder:{tmp_path}", f"idx:{tmp_path}")


def test_a_name_longer_than_a_file_can_have_is_no_folder() -> None:
    long = "a" * 300
    fault(long, graph(), "N501", "names no data")
    for kind in ("folder", "idx"):
        fault(f"{kind}:{long}", graph(), "N502", "is not a folder")


# What the graph asks for


def refused(net: Graph, code: str, *words: str) -> None:
    with pytest.raises(Fault) as caught:
        task(net)
    assert caught.value.code == code, caught.value
    for word in words:
        assert word in str(caught.value)
    assert caught.value.help


def heads(*outputs: tuple[str, int, tuple[str, ...] | None, bool], train: Train | None) -> Graph:
    """A graph with outputs of (name, classes, labels, training only)."""
    leaving = tuple(
        Output(name, "image", TensorType(N, classes), HERE, labels, train_only=only)
        for name, classes, labels, only in outputs
    )
    return Graph("Net", graph((28, 28)).inputs, leaving, (), (), train=train)


def test_data_can_be_read_for_a_net_that_is_not_to_be_trained() -> None:
    net = heads(("y", 10, None, False), ("aux", 7, None, True), train=None)
    assert len(load("sample", net).test) == 2000
    refused(net, "N512", "`Net` has no `train` section", "loss.OUTPUT")


@pytest.mark.parametrize("metric", ["mean_iou", "mean_average_precision"])
def test_a_metric_that_is_not_built_is_refused_by_name(metric: Metric) -> None:
    train = TRAIN.model_copy(update={"metric": {"y": ("accuracy", metric)}})
    refused(graph(train=train), "N513", "`metric.y`", metric)


def test_initial_weights_are_refused_by_name() -> None:
    train = TRAIN.model_copy(update={"init": {"backbone": WeightSource(source="torchvision:resnet50")}})
    refused(graph(train=train), "N513", "`init.backbone`", "netc train --weights")


@pytest.mark.parametrize("loss", [CrossEntropy(), BceWithLogits()])
def test_a_yes_or_no_of_one_channel_is_refused(loss: Loss) -> None:
    train = TRAIN.model_copy(update={"loss": {"y": loss}})
    refused(graph(classes=1, train=train), "N513", "`y` has one channel", "two channels")


def test_classes_at_each_position_are_refused_by_name() -> None:
    mask = Output("y", "image", TensorType(N, 3, (H, W)), HERE)
    net = Graph("Net", graph((H, W)).inputs, (mask,), (), (), train=TRAIN)
    fault("sample", net, "N513", "`y`", "[N, 3, H, W]")
    refused(net, "N513", "`y`", "[N, 3, H, W]")


def test_an_input_that_is_no_picture_is_refused() -> None:
    fault("sample", graph(recipe=None), "N511", "`image`", "scale = 1/255")
    fault("sample", graph((H,)), "N511", "`image`")
    two = graph()
    fault("sample", Graph("Net", two.inputs * 2, two.outputs, (), (), train=TRAIN), "N511", "2 inputs")
    wrong = Input("image", TensorType(N, 4, (3, 2)), HERE, Recipe())
    fault("sample", Graph("Net", (wrong,), two.outputs, (), (), train=TRAIN), "N511", "4 channels", "have 3")


def test_losses_and_metrics_must_be_of_outputs_that_can_have_them() -> None:
    train = Train(loss={"y": CrossEntropy(), "aux": BceWithLogits()}, optimizer=Sgd(lr=0.1))
    refused(graph(train=train), "N512", "`loss.aux`", "`y`")
    y, aux = ("y", 3, None, False), ("aux", 3, None, True)
    refused(heads(("z", 3, None, False), aux, train=train), "N512", "`loss.y`")
    refused(heads(y, aux, train=train.model_copy(update={"loss": {"aux": CrossEntropy()}})), "N512", "`y`")
    refused(heads(y, aux, train=train.model_copy(update={"loss": {}})), "N512", "no output of `Net` has a loss")
    metric = train.model_copy(update={"metric": {"aux": ("accuracy",)}})
    refused(heads(y, aux, train=metric), "N512", "`metric.aux`", "`y`")


def test_heads_must_agree_in_their_classes() -> None:
    train = Train(loss={"y": CrossEntropy(), "aux": CrossEntropy()}, optimizer=Sgd(lr=0.1))
    fault("sample", heads(("y", 3, None, False), ("aux", 4, None, True), train=train), "N509", "3", "4")
    outputs = ("y", 2, ("a", "b"), False), ("aux", 2, ("b", "a"), True)
    fault("sample", heads(*outputs, train=train), "N508", "`y`", "`aux`")


def test_momentum_of_nesterov_must_not_be_zero() -> None:
    with pytest.raises(ValueError, match=r"write momentum = 0\.9"):
        Sgd(lr=0.1, nesterov=True)
    assert Sgd(lr=0.1, momentum=0.9, nesterov=True).nesterov


def test_reading_data_needs_no_torch() -> None:
    code = "import sys, netc.training.data; print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    assert run.stdout.strip() == "False"


def test_the_held_out_share_is_what_the_note_says() -> None:
    assert folder_module.HELD_OUT == 0.1
