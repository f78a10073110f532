"""Labelled pictures for training: `sample`, `idx:DIR` or `folder:DIR`, ready for a net's input. No torch here."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import netc
from netc.diagnostic import Fault
from netc.graph import Graph, Input
from netc.training import folder, idx
from netc.training.task import Subject, holds, subject
from netc_runtime import image
from netc_runtime.image import ImageFault
from netc_runtime.manifest import ImageRecipe

IN_MEMORY_BYTES = 2**31  # decoded pictures up to this are kept as bytes; beyond it every batch is decoded anew
MAX_BAD = 0.01  # of all images, before broken ones are an error
AT_ONCE = 256  # images in the hands of the thread pool

Source: TypeAlias = Path | Image.Image


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures and the class of each.

    `pictures` are pixels that the recipe has resized and cropped, (N, H, W, C), or the sources they are decoded from.
    """

    pictures: NDArray[np.uint8] | Sequence[Source]
    labels: NDArray[np.int64]
    recipe: ImageRecipe
    shape: tuple[int, int, int]
    """Of one picture's tensor: (C, H, W)."""

    def __len__(self) -> int:
        return len(self.labels)

    def tensor(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """The normalised pictures of these rows, (len(rows), C, H, W).

        Raises Fault N510 where a file can no longer be decoded.
        """
        if isinstance(self.pictures, np.ndarray):
            return image.normalise(self.pictures[rows], self.recipe)
        wanted = [self.pictures[row] for row in rows]
        pixels: list[image.Pixels] = []
        for source, each in zip(wanted, _decoded(wanted, self.recipe), strict=True):
            if isinstance(each, ImageFault):
                raise Fault("N510", each.message, help="it could be read when training began; is the disk still there?")
            if each.shape[:2] != self.shape[1:]:
                raise Fault("N510", f"{image.named(source)} has changed since training began", help="start again")
            pixels.append(each)
        return image.normalise(np.stack(pixels), self.recipe)


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that is no image after all, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Data:
    """What a net is trained and tested on. `notes` are sentences a user should see; `bad` are left out."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    bad: tuple[Broken, ...] = ()
    notes: tuple[str, ...] = ()


def load(spec: str, graph: Graph, *, seed: int = 0, max_bad: float = MAX_BAD) -> Data:
    """Read the data that `spec` names, as the graph's input takes pictures and its outputs name classes.

    `sample` is the MNIST sample that comes with netc, `idx:DIR` a folder with MNIST's four files, `folder:DIR` one with
    a subfolder of images for each class. `seed` draws the images held out where a folder has no test part.
    Raises Fault: N501 `spec` is none of these, N502 to N510 the data are at fault or do not fit, N511 to N513 the graph
    does not take pictures or give classes. How it is to be trained is no matter here.
    """
    kind, colon, where = spec.partition(":")
    wanted = subject(graph)
    if spec == "sample":
        data = _from_idx(_sample(), graph, wanted)
    elif kind == "idx" and where:
        data = _from_idx(Path(where), graph, wanted)
    elif kind == "folder" and where:
        data = _from_folder(Path(where), graph, wanted, seed, max_bad)
    else:
        help = "write `sample`, `idx:DIR` (MNIST's four files) or `folder:DIR` (a folder of images for each class)"
        if not colon and os.path.isdir(spec):  # noqa: PTH112 -- Path.is_dir raises for a name that is too long
            help = f"write `folder:{spec}` (a folder of images for each class) or `idx:{spec}` (MNIST's four files)"
        raise Fault("N501", f"`{spec}` names no data", help=help)
    counts = np.bincount(data.train.labels, minlength=len(data.classes))
    absent = [name for name, count in zip(data.classes, counts, strict=True) if not count]
    if absent:
        names = ", ".join(absent[:10])
        note = f"{len(absent)} of the {len(data.classes)} classes have no training image: {names}"
        data = replace(data, notes=(*data.notes, note))
    return data


def _sample() -> Path:
    # An installed wheel has the sample inside the package, a checkout beside it.
    package = Path(netc.__file__).parent
    places = (package / "sample", package.parent / "examples" / "digits")
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        looked = " and ".join(str(place) for place in places)
        raise Fault("N502", f"the sample is not there; looked for {looked}", help="install netc again", exit_code=3)
    return found


def _from_idx(where: Path, graph: Graph, wanted: Subject) -> Data:
    parts = idx.read(where)
    for part in parts:
        highest = int(part.labels.max())
        if highest >= wanted.classes:
            row = int(np.argmax(part.labels >= wanted.classes))
            raise Fault(
                "N505",
                f"{part.labels_path}: label {part.labels[row]} at {row:,}; "
                f"the net has {wanted.classes} classes, 0 to {wanted.classes - 1}",
                help=f"the labels go up to {highest}: a net of {highest + 1} classes takes them",
            )
    recipe = wanted.recipe
    sources = [_Rows(part.images) for part in parts]
    try:
        first = image.read(sources[0][0], recipe)
    except ImageFault as error:
        raise Fault("N506", f"{parts[0].images_path}: {error.message}", help=error.help) from error
    sizes = _Sizes(graph, wanted.input)
    sizes.check(first, f"{parts[0].images_path}: its images are")
    splits: list[Split] = []
    for part, rows in zip(parts, sources, strict=True):
        pictures: NDArray[np.uint8] | Sequence[Source] = rows
        if recipe.color == "gray" and recipe.resize is None and recipe.crop is None:
            pictures = part.images[..., np.newaxis]
        elif sum(map(len, sources)) * first.size <= IN_MEMORY_BYTES:
            pictures = np.empty((len(rows), *first.shape), np.uint8)
            for row, pixels in enumerate(_decoded(rows, recipe)):
                assert not isinstance(pixels, ImageFault), pixels
                pictures[row] = pixels
        splits.append(Split(pictures, part.labels.astype(np.int64), recipe, sizes.shape))
    return Data(splits[0], splits[1], wanted.labels or tuple(str(label) for label in range(wanted.classes)))


class _Rows(Sequence[Source]):
    """An array of gray images as Pillow images, each made when asked for."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, at: int) -> Source: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Source]: ...
    def __getitem__(self, at: int | slice) -> Source | Sequence[Source]:
        return _Rows(self.images[at]) if isinstance(at, slice) else Image.fromarray(self.images[at])


def _from_folder(where: Path, graph: Graph, wanted: Subject, seed: int, max_bad: float) -> Data:
    listing = folder.read(where, wanted.labels, seed)
    if len(listing.classes) != wanted.classes:
        raise Fault(
            "N509",
            f"{where} has {len(listing.classes)} classes, the output `{wanted.outputs[0].name}` has {wanted.classes}",
            help=f"a net with {len(listing.classes)} classes fits, if these folders are what it should tell apart",
        )
    sizes = _Sizes(graph, wanted.input)
    paths = (*listing.train.paths, *listing.test.paths)
    kept: NDArray[np.uint8] | None = None
    good: list[int] = []
    bad: list[Broken] = []
    for row, pixels in enumerate(_decoded(paths, wanted.recipe)):
        if isinstance(pixels, ImageFault):
            bad.append(Broken(paths[row], pixels.message))
            continue
        sizes.check(pixels, f"{paths[row]} is")
        if not good and len(paths) * pixels.size <= IN_MEMORY_BYTES:
            kept = np.empty((len(paths), *pixels.shape), np.uint8)
        if kept is not None:
            kept[len(good)] = pixels
        good.append(row)
    if len(bad) > max_bad * len(paths):
        said = f"{len(bad):,} of {len(paths):,} images {'is' if len(bad) == 1 else 'are'} broken"
        more = [f"and {len(bad) - 10:,} more"] if len(bad) > 10 else []
        names = "; ".join([broken.why for broken in bad[:10]] + more)
        raise Fault("N510", f"{said}, more than {100 * max_bad:g} %: {names}", help="mend or remove them")

    middle = bisect_left(good, len(listing.train.paths))
    if middle in (0, len(good)):
        purpose = "test" if middle else "train"
        raise Fault("N507", f"{where}: no image is left to {purpose} on", help="mend the broken images or add some")
    splits: list[Split] = []
    for part, start, stop, offset in (
        (listing.train, 0, middle, 0),
        (listing.test, middle, len(good), len(listing.train.paths)),
    ):
        rows = [row - offset for row in good[start:stop]]
        pictures = [part.paths[row] for row in rows] if kept is None else kept[start:stop]
        splits.append(Split(pictures, part.labels[rows], wanted.recipe, sizes.shape))
    return Data(splits[0], splits[1], listing.classes, tuple(bad), listing.notes)


class _Sizes:
    """Holds every picture to one size: the input's where that is a number, else the first picture's."""

    def __init__(self, graph: Graph, input: Input) -> None:
        self.graph, self.input = graph, input
        self.sides: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the tensor, (C, H, W), once a picture has been checked."""
        assert self.sides is not None
        return self.input.type.c, self.sides[0], self.sides[1]

    def check(self, pixels: image.Pixels, who: str) -> None:
        """Raises Fault N506 where a picture is of another size, or of one that the input or a `require` refuses."""
        got = pixels.shape[:2]
        if got == self.sides:
            return
        declared = self.input.type.sides
        wanted = self.sides or tuple(
            side if isinstance(side, int) else found for side, found in zip(declared, got, strict=True)
        )
        if got != wanted:
            size = str(wanted[0]) if wanted[0] == wanted[1] else f"[{wanted[0]}, {wanted[1]}]"
            taker = f"the input `{self.input.name}` takes" if self.input.type.static else "the images before it are"
            raise Fault(
                "N506",
                f"{who} {got[0]}x{got[1]}, {taker} {wanted[0]}x{wanted[1]} (height x width)",
                help=f"write `resize = {size}, crop = {size}` in the contract of `{self.input.name}`",
            )
        if declared[0] == declared[1] and wanted[0] != wanted[1]:
            raise Fault(
                "N506",
                f"{who} {got[0]}x{got[1]}, the input `{self.input.name}` {self.input.type} takes equal sides",
                help=f"write `resize = {min(wanted)}, crop = {min(wanted)}` in the contract of `{self.input.name}`",
            )
        self.sides = wanted
        bound = {str(side): number for side, number in zip(declared, wanted, strict=True) if not isinstance(side, int)}
        for fact in self.graph.requires:
            # What names the batch is for who chooses one.
            if fact.symbols <= bound.keys() and not holds(fact, bound):
                raise Fault(
                    "N506",
                    f"{who} {got[0]}x{got[1]}, but `{self.graph.name}` requires {fact.text}: {fact.why}",
                    help=f"write a `resize` and a `crop` that meet it in the contract of `{self.input.name}`",
                )


def _decoded(sources: Sequence[Source], recipe: ImageRecipe) -> Iterator[image.Pixels | ImageFault]:
    """Each source's pixels, resized and cropped, or why there are none; decoded by a pool of threads, in order."""

    def one(source: Source) -> image.Pixels | ImageFault:
        try:
            return image.read(source, recipe)
        except ImageFault as fault:
            return fault

    # In portions: the pool would take a million files as a million waiting tasks.
    for start in range(0, len(sources), AT_ONCE):
        yield from _pool().map(one, sources[start : start + AT_ONCE])


@cache
def _pool() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(cores, "netc-images")
