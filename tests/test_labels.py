"""The label sets that a spec may name: as published, in index order."""

import ast
from pathlib import Path

import pytest

COUNTS = {"cifar10": 10, "imagenet1k": 1000, "mnist": 10, "voc": 20, "voc_seg": 21}


def labels(root: Path, name: str) -> list[str]:
    lines = (root / "netc" / "labels" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def torchvision_lists(oracle_folder: Path) -> dict[str, list[str]]:
    """The lists of torchvision's _meta.py, read without importing it."""
    tree = ast.parse((oracle_folder / "torchvision" / "models" / "_meta.py").read_text(encoding="utf-8"))
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in tree.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def test_every_set_is_counted_here(root: Path) -> None:
    assert {path.stem for path in (root / "netc" / "labels").glob("*.txt")} == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_a_set_has_its_published_number_of_distinct_labels(root: Path, name: str) -> None:
    found = labels(root, name)
    assert len(found) == COUNTS[name]
    assert len(set(found)) == len(found)
    assert all(label and label == label.strip() for label in found)


@pytest.mark.parametrize("name", COUNTS)
def test_a_set_opens_with_its_source(root: Path, name: str) -> None:
    lines = (root / "netc" / "labels" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert len(comments) >= 2
    assert lines[: len(comments)] == comments


def test_imagenet_labels_are_torchvisions(root: Path, oracle_folder: Path) -> None:
    assert labels(root, "imagenet1k") == torchvision_lists(oracle_folder)["_IMAGENET_CATEGORIES"]


def test_voc_labels_are_torchvisions_and_those_of_the_spec(root: Path, oracle_folder: Path) -> None:
    background, *objects = torchvision_lists(oracle_folder)["_VOC_CATEGORIES"]
    assert background == "__background__"  # ours says it without the underscores
    assert labels(root, "voc") == objects
    assert labels(root, "voc_seg") == ["background", *objects]
    spec = (root / "specs" / "voc.cnn").read_text(encoding="utf-8")
    listed = spec[spec.index("labels = [") + len("labels = ") : spec.index("]", spec.index("labels = [")) + 1]
    assert ast.literal_eval(listed) == objects


def test_cifar10_labels_stand_in_the_order_of_batches_meta(root: Path) -> None:
    # Krizhevsky 2009, and the `label_names` of the data set's batches.meta: alphabetical
    expected = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert labels(root, "cifar10") == expected


def test_an_mnist_label_is_its_index(root: Path) -> None:
    assert labels(root, "mnist") == [str(digit) for digit in range(10)]
