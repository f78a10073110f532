"""How well a file answers, in per cent, by output: against labels where there are some, else against the f32 file.

- labels, one class an example: top-1 accuracy, of both files, where the spec trains the output on classes or says
  nothing of training;
- `decode = sigmoid`: the share of decisions at the threshold that agree with f32's;
- classes, one an example: the share of examples whose class agrees with f32's;
- classes at each position: the mean over classes of intersection over union with f32's;
- anything else: the share of the variance of f32's answers that the file's explain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log
from typing import Literal, NamedTuple, cast

import numpy as np

from netc.backends.precision.examples import Batched, Examples, Labels
from netc.diagnostic import Fault
from netc.graph import Graph, Output
from netc.sections import CrossEntropy
from netc.weights import Array

KEPT = 2**28  # bytes of f32's answers that stay in memory; further ones are made again

Kind = Literal["accuracy", "decisions", "classes", "positions", "variance"]
Run = Callable[[Mapping[str, Array]], Sequence[Array]]

WORDS: Mapping[Kind, str] = {
    "accuracy": "top-1 accuracy",
    "decisions": "decisions as in f32",
    "classes": "classes as in f32",
    "positions": "mean IoU with f32's classes",
    "variance": "variance of f32's answers explained",
}


class Score(NamedTuple):
    """One output of a file: how well it answers, and how well f32 does; in per cent."""

    output: str
    kind: Kind
    f32: float
    found: float

    @property
    def words(self) -> str:
        """What is measured."""
        return WORDS[self.kind]

    @property
    def drop(self) -> float:
        """What is lost, in percentage points."""
        return self.f32 - self.found


class Judge:
    """Scores files against the f32 file, and against the labels of the examples.

    Raises: Fault N460 for labels that are no classes of the outputs that they judge.
    """

    def __init__(self, graph: Graph, given: Batched, f32: Run) -> None:
        self.outputs, self.examples, self.size, self.f32 = graph.outputs, given.examples, given.size, f32
        self.kinds: list[Kind] = [_kind(graph, each, given.examples) for each in graph.outputs]
        for kind, output in zip(self.kinds, graph.outputs, strict=True):
            if kind == "accuracy":
                _refuse_strange(given.examples.labels, output)
        self.decoded = "decode" in graph.export.embed
        self.kept: list[Sequence[Array]] = []  # f32's answers to the first batches
        self.kept_bytes = 0

    def scores(self, run: Run) -> list[Score]:
        """How well a file answers all of the examples, by output. Raises: as `run` does."""
        tallies = [_Tally(kind, each, self.decoded) for kind, each in zip(self.kinds, self.outputs, strict=True)]
        for index, (rows, feed) in enumerate(self.examples.batches(self.size)):
            labels = None if self.examples.labels is None else self.examples.labels[rows.start : rows.stop]
            for tally, reference, found in zip(tallies, self._f32(index, feed), run(feed), strict=True):
                tally.add(reference, found, labels)
        return [
            Score(each.name, kind, *tally.result())
            for each, kind, tally in zip(self.outputs, self.kinds, tallies, strict=True)
        ]

    def _f32(self, index: int, feed: Mapping[str, Array]) -> Sequence[Array]:
        if index < len(self.kept):
            return self.kept[index]
        answers = self.f32(feed)
        self.kept_bytes += sum(each.nbytes for each in answers)
        if self.kept_bytes <= KEPT and index == len(self.kept):
            self.kept.append(answers)
        return answers


def worst(scores: Sequence[Score]) -> Score:
    """The score of the output that loses most."""
    return max(scores, key=lambda each: each.drop)


def _refuse_strange(labels: Labels | None, output: Output) -> None:
    strange = None if labels is None else labels[(labels < 0) | (labels >= output.type.c)]
    if strange is not None and len(strange):
        raise Fault(
            "N460",
            f"output {output.name} has the classes 0 to {output.type.c - 1}, and a label is {strange[0]}",
            help="count classes from 0, as the net does",
        )


def _kind(graph: Graph, output: Output, examples: Examples) -> Kind:
    if output.decode == "sigmoid" or output.threshold is not None:
        return "decisions"
    taught = graph.train is None or isinstance(graph.train.loss.get(output.name), CrossEntropy)
    if output.type.rank == 0 and examples.labels is not None and taught:
        return "accuracy"
    if output.decode in ("softmax", "argmax") or output.labels is not None:
        return "positions" if output.type.rank else "classes"
    return "variance"


class _Tally:
    """What is counted of one output, batch by batch."""

    def __init__(self, kind: Kind, output: Output, decoded: bool) -> None:
        self.kind = kind
        self.classes = output.type.c
        threshold = 0.5 if output.threshold is None else output.threshold
        logit = log(threshold / (1 - threshold)) if 0 < threshold < 1 else threshold
        self.threshold = threshold if decoded else logit
        self.count = 0
        self.right = np.zeros(2)  # of f32, of the file
        self.met = np.zeros((3, self.classes))  # intersection, and how often a class is f32's and the file's
        self.moments = np.zeros(3)  # sums of f32's answers, of their squares, and of the squared differences

    def add(self, reference: Array, found: Array, labels: Array | None) -> None:
        if self.kind == "accuracy":
            assert labels is not None
            self.count += len(labels)
            self.right += [(_class(reference) == labels).sum(), (_class(found) == labels).sum()]
        elif self.kind == "decisions":
            self.count += reference.size
            agree = (reference > self.threshold) == (found > self.threshold)
            self.right += [reference.size, agree.sum()]
        elif self.kind == "classes":
            self.count += len(reference)
            self.right += [len(reference), (_class(reference) == _class(found)).sum()]
        elif self.kind == "positions":
            theirs, ours = _class(reference).reshape(-1), _class(found).reshape(-1)
            for row, each in enumerate((theirs[theirs == ours], theirs, ours)):
                self.met[row] += np.bincount(each, minlength=self.classes)
        else:
            self.count += reference.size
            exact = reference.astype(np.float64)
            self.moments += [exact.sum(), (exact**2).sum(), ((found - exact) ** 2).sum()]

    def result(self) -> tuple[float, float]:
        """f32's and the file's score."""
        if self.kind == "positions":
            both, theirs, ours = self.met
            union = theirs + ours - both
            return 100.0, 100 * float((both[union > 0] / union[union > 0]).mean())
        if self.kind == "variance":
            total, squares, differences = self.moments
            variance = squares - total**2 / self.count
            if variance <= 0:  # the same answer to all
                return 100.0, 100.0 if differences == 0 else 0.0
            return 100.0, 100 * (1 - float(differences / variance))
        f32, found = cast("tuple[float, float]", tuple((100 * self.right / self.count).tolist()))
        return f32, found


def _class(answers: Array) -> Array:
    # A file that decodes gives classes in place of logits.
    return answers if answers.dtype.kind in "iu" else answers.argmax(axis=1)
