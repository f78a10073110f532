"""A folder of images for each class: which files there are, which class each has, which are held out for the test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netc.diagnostic import Fault
from netc_runtime.image import SUFFIXES

HELD_OUT = 0.1  # of each class, where there is no test folder


@dataclass(frozen=True, slots=True)
class Files:
    """Image files and the class of each, an index into the classes."""

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Listing:
    """The two parts of a folder, its classes in the order of the net's channels, and what a reader should know."""

    train: Files
    test: Files
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def read(folder: Path, known: Sequence[str] | None, seed: int) -> Listing:
    """List `folder`, whose subfolders are the classes, or whose `train` and `test` (or `val`) hold those subfolders.

    `known` are the class names in the net's order; without them the names are sorted. Without a test folder a tenth of
    each class (at least one image of two or more), drawn with `seed`, is held out.
    Raises Fault: N502 it cannot be read, N507 nothing to train on, N508 the classes are not the known ones.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 -- Path.is_dir raises for a name that is too long
        raise Fault("N502", f"{folder} is not a folder", help="`folder:DIR` wants a folder that holds one a class")
    split = bool(_subfolders(folder / "train"))  # a class may be called `train` too; then it holds images
    top = folder / "train" if split else folder
    held = next((folder / name for name in ("test", "val") if (folder / name).is_dir()), None) if split else None

    found, others = _classes(top)
    classes = _ordered(top, list(found), known)
    images = [(path, label) for label, name in enumerate(classes) for path in found[name]]
    empty = [name for name in classes if not found[name]]
    if not images or empty:
        where = f"{top}/{empty[0]}" if images else str(top)
        raise Fault("N507", f"{where} has no images", help="an image's name ends in .png, .jpg or the like")

    notes: list[str] = []
    if held is not None:
        tests, more = _classes(held)
        others += more
        _known(held, list(tests), classes)
        train = images
        test = [(path, label) for label, name in enumerate(classes) for path in tests.get(name, ())]
        if not test:
            raise Fault("N507", f"{held} has no images", help=f"without it {HELD_OUT:.0%} of {top} is held out instead")
    else:
        out = _hold_out([label for _, label in images], seed)
        train = [image for i, image in enumerate(images) if i not in out]
        test = [image for i, image in enumerate(images) if i in out]
        if not test:
            raise Fault("N507", f"{top} has one image a class: none is left to test on", help="add images")
        share = f"{len(test):,} of {len(images):,} images ({HELD_OUT:.0%} of each class, seed {seed})"
        notes.append(f"no test folder: {share} are held out for the test")
    if others:
        notes.append(f"{others:,} {'file is' if others == 1 else 'files are'} no image by name and left out")
    return Listing(_files(train), _files(test), classes, tuple(notes))


def _files(images: Sequence[tuple[Path, int]]) -> Files:
    return Files(tuple(path for path, _ in images), np.array([label for _, label in images], np.int64))


def _subfolders(folder: Path) -> list[Path]:
    try:
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise _unreadable(error) from error
    return [each for each in inside if each.is_dir() and not each.name.startswith(".")]


def _refuse(error: OSError) -> None:
    raise _unreadable(error) from error


def _unreadable(error: OSError) -> Fault:
    message = f"{error.filename} cannot be read: {error.strerror or error}"
    return Fault("N502", message, help="check its permissions")


def _classes(folder: Path) -> tuple[dict[str, list[Path]], int]:
    """The images under each class's folder, at any depth, sorted by path, and how many other files there are."""
    found: dict[str, list[Path]] = {}
    others = 0
    for each in _subfolders(folder):
        images: list[Path] = []
        for top, _, names in os.walk(each, onerror=_refuse):
            for name in names:
                if name.startswith("."):
                    continue
                if Path(name).suffix.lower() in SUFFIXES:
                    images.append(Path(top, name))
                else:
                    others += 1
        found[each.name] = sorted(images)
    return found, others


def _ordered(folder: Path, found: list[str], known: Sequence[str] | None) -> tuple[str, ...]:
    """The classes in the net's order. Raises Fault N507 where there are none, N508 where they are not the known."""
    if not found:
        raise Fault("N507", f"{folder} has no subfolders", help="put the images of each class into one named after it")
    if known is None:
        return tuple(sorted(found))
    _known(folder, found, known)
    missing = [name for name in known if name not in found]
    if missing:
        raise Fault(
            "N508",
            f"{folder} has {len(found)} of the net's {len(known)} classes; it lacks {_list(missing)}",
            help="add a folder for each, or shorten the output's `labels`",
        )
    return tuple(known)


def _known(folder: Path, found: list[str], known: Sequence[str]) -> None:
    unknown = sorted(set(found) - set(known))
    if unknown:
        near = get_close_matches(unknown[0], known, n=1, cutoff=0.5)
        raise Fault(
            "N508",
            f"{folder} has {_list(unknown)}, but the net has no class of this name",
            help=f"did you mean `{near[0]}`?" if near else f"the net's classes are {_list(list(known))}",
        )


def _list(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(f"`{name}`" for name in names[:most]) + more


def _hold_out(labels: Sequence[int], seed: int) -> frozenset[int]:
    """Indices of a tenth of each class, at least one where a class has two or more."""
    random = np.random.default_rng(seed)
    by_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        by_class.setdefault(label, []).append(index)
    held: set[int] = set()
    for indices in by_class.values():
        count = max(1, round(len(indices) * HELD_OUT)) if len(indices) > 1 else 0
        held.update(int(i) for i in random.choice(indices, count, replace=False))
    return frozenset(held)
