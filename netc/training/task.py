"""What labelled pictures can teach a graph, and what its `train` section asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netc.diagnostic import Fault
from netc.graph import Graph, Input, Output, Requirement
from netc.sections import Loss, Train
from netc.tensor import in_tuples
from netc_runtime.manifest import ImageRecipe, evaluate


@dataclass(frozen=True, slots=True)
class Subject:
    """One picture in, one class out, at every one of `outputs` the same."""

    input: Input
    recipe: ImageRecipe
    outputs: tuple[Output, ...]
    classes: int
    labels: tuple[str, ...] | None
    """The class names in the order of the channels, where the spec has them."""


@dataclass(frozen=True, slots=True)
class Head:
    """An output with a loss. `tested` is false for a head that exists in training only."""

    name: str
    loss: Loss
    tested: bool


@dataclass(frozen=True, slots=True)
class Task:
    """A `train` section that labelled pictures can serve."""

    train: Train
    subject: Subject
    heads: tuple[Head, ...]


def subject(graph: Graph) -> Subject:
    """What labelled pictures say to a graph: to its outputs with a loss, or to all it keeps where it has no `train`.

    Raises Fault: N508 heads differ in their labels, N509 in the number of classes, N511 the input is no picture, N512
    no output has a loss, N513 an output has a class at each position.
    """
    image, recipe = _input(graph)
    if graph.train is None:
        outputs = [output for output in graph.outputs if not output.train_only]
    else:
        outputs = [output for output in graph.outputs if output.name in graph.train.loss]
    if not outputs:
        raise Fault("N512", f"no output of `{graph.name}` has a loss", help="write `loss.OUTPUT = cross_entropy()`")
    for output in outputs:
        if output.type.rank:
            raise Fault(
                "N513",
                f"`{output.name}` {output.type} has classes at each position, and this version reads no masks",
                help="for one class a picture end the chain with `gap -> flatten`",
            )
    classes, labels = _classes(outputs)
    return Subject(image, recipe, tuple(outputs), classes, labels)


def task(graph: Graph) -> Task:
    """Read off a graph how it is to be trained.

    Raises Fault: N512 the `train` section is missing or cannot work, N513 it asks for what this version lacks, and what
    `subject` raises.
    """
    if graph.train is None:
        raise Fault(
            "N512",
            f"`{graph.name}` has no `train` section",
            help=f"add `train {graph.name} {{ loss.OUTPUT = cross_entropy(), optimizer = sgd(lr = 0.05) }}`",
        )
    train = graph.train
    _built(train)
    outputs = {output.name: output for output in graph.outputs}
    for name in train.loss:
        if name not in outputs:
            raise Fault("N512", f"`loss.{name}`: there is no output `{name}`", help=f"there are {_names(outputs)}")
    taught = subject(graph)
    if taught.classes == 1:
        raise Fault(
            "N513",
            f"`{taught.outputs[0].name}` has one channel, and this version trains one for each class",
            help="for yes or no give it two channels, `softmax` and `cross_entropy`",
        )
    heads = tuple(Head(output.name, train.loss[output.name], not output.train_only) for output in taught.outputs)
    if not any(head.tested for head in heads):
        deployed = _names(name for name, output in outputs.items() if not output.train_only)
        raise Fault("N512", "no output that the net keeps has a loss", help=f"give {deployed} a `loss.OUTPUT`")
    for name in train.metric:
        if not any(head.name == name and head.tested for head in heads):
            raise Fault(
                "N512",
                f"`metric.{name}`: `{name}` is no output with a loss that the net keeps",
                help=f"measure {_names(head.name for head in heads if head.tested)}",
            )
    return Task(train, taught, heads)


def _built(train: Train) -> None:
    for label in train.init:
        message = f"`init.{label}`: this version takes no weights to start from that a spec names"
        raise Fault("N513", message, help="remove the line, and start from weights with `netc train --weights`")
    for name, metrics in train.metric.items():
        for metric in metrics:
            if metric != "accuracy":
                raise Fault("N513", f"`metric.{name}`: this version does not measure {metric}", help="write `accuracy`")


def _input(graph: Graph) -> tuple[Input, ImageRecipe]:
    if len(graph.inputs) != 1:
        raise Fault(
            "N511",
            f"`{graph.name}` takes {len(graph.inputs)} inputs ({_names(i.name for i in graph.inputs)})",
            help="this version trains nets that take one picture",
        )
    image = graph.inputs[0]
    if image.recipe is None or image.type.rank != 2:
        raise Fault(
            "N511",
            f"the input `{image.name}` {image.type} is not declared as a picture",
            help="write its contract after its type: `f32[N, 3, H, W] { scale = 1/255 }`",
        )
    recipe = ImageRecipe(**image.recipe._asdict())
    if recipe.channels != image.type.c:
        raise Fault(
            "N511",
            f"the input `{image.name}` has {image.type.c} channels, its {recipe.color} pictures have {recipe.channels}",
            help="write `color = gray` for one channel, `rgb` or `bgr` for three",
        )
    return image, recipe


def _classes(outputs: list[Output]) -> tuple[int, tuple[str, ...] | None]:
    first = outputs[0]
    for other in outputs[1:]:
        if other.type.c != first.type.c:
            raise Fault(
                "N509",
                f"`{first.name}` has {first.type.c} classes, `{other.name}` has {other.type.c}",
                help="one label a picture teaches every output: give them the same number of classes",
            )
    named = [output for output in outputs if output.labels is not None]
    for other in named[1:]:
        if other.labels != named[0].labels:
            raise Fault(
                "N508",
                f"`{named[0].name}` and `{other.name}` have different labels",
                help="one label a picture teaches every output: write the same `labels`, or none at the training heads",
            )
    return first.type.c, named[0].labels if named else None


def admits_batch(graph: Graph, shape: tuple[int, int, int], batch: int) -> None:
    """Check what a graph requires of its batch; an epoch's last one, which may be smaller, is not held to it.

    `shape` is a picture's, (C, H, W). Raises Fault N512 where the net does not take so many examples at once.
    """
    entering = graph.inputs[0].type
    dims = zip((*entering.sides, entering.batch), (*shape[1:], batch), strict=True)
    bound = {str(side): number for side, number in dims if not isinstance(side, int)}
    for fact in graph.requires:
        if str(entering.batch) in fact.symbols and not holds(fact, bound):
            raise Fault(
                "N512",
                f"a batch of {batch}, but `{graph.name}` requires {fact.text}: {fact.why}",
                help="train with a `--batch` that meets it, or write one in the `train` section",
            )


def enough_for_batch_norm(graph: Graph, shape: tuple[int, int, int], images: int, batch: int) -> None:
    """Check that each batch norm takes its variance of two values a channel or more, in an epoch's last batch too.

    `shape` is a picture's, (C, H, W). Raises Fault N516 where it would be one value, whose variance says nothing.
    """
    if _last(images, batch) > 1:
        return
    sides = zip(graph.inputs[0].type.sides, shape[1:], strict=True)
    bound = {str(side): number for side, number in sides if not isinstance(side, int)}
    for node in graph.nodes:
        entering = graph.operands(node)[0].at(bound)
        if node.op.kind != "bn" or any(side != 1 for side in entering.sides):
            continue
        batches = "a batch of 1" if batch == 1 else f"{images:,} images in batches of {batch} leave a last batch of 1"
        better = next((size for size in range(batch + 1, batch + images + 1) if _last(images, size) > 1), None)
        raise Fault(
            "N516",
            f"batch norm `{node.name}` needs two values a channel to take a variance of, and gets one: {batches}",
            help=f"train with `--batch {better}`" if better else "add images",
        )


def holds(fact: Requirement, sizes: Mapping[str, int]) -> bool:
    """Whether numbers for all symbols of a requirement meet it."""
    return bool(evaluate(in_tuples(fact.expr), sizes))


def _last(images: int, batch: int) -> int:
    return images % batch or min(images, batch)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
