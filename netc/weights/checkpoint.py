"""Which of a checkpoint's dictionaries are the weights: trainers put them beside optimizers, averages and settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

from netc.diagnostic import Fault, cut

Tensors: TypeAlias = Mapping[str, Any]

DEEPEST = 4  # dictionaries in one another
LISTED = 12  # sets in one message
_MODEL = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
_AVERAGES = {"ema", "swa", "averaged", "average", "avg"}
_NOT_WEIGHTS = re.compile(r"optim|sched|scaler|rng|callback|loop|hyper_param|args|config", re.IGNORECASE)


def pick(tree: Any, is_tensor: Callable[[Any], bool], key: str | None, name: str) -> tuple[Tensors, tuple[str, ...]]:
    """The dictionary of tensors in what a checkpoint holds, and what the user has to know about the choice.

    With several: the one under `key`, or the names that begin with it; else the one that is no moving average, if one
    alone is, or is called like a model's.

    Raises: Fault N403 where there is none, N442 where the choice is the user's or `key` names none.
    """
    if not isinstance(tree, Mapping):
        what = "one tensor" if is_tensor(tree) else f"a {type(tree).__name__}"
        raise Fault(
            "N403",
            f"{name}: holds {what}, not weights by name",
            help="save a state dict: torch.save(model.state_dict(), path)",
        )
    sets = dict(_sets(cast(Mapping[Any, Any], tree), is_tensor, "", {}, 0))
    if not sets:
        raise Fault("N403", f"{name}: holds no tensors by name", help="save a state dict: model.state_dict()")
    listed = ", ".join(
        f"{cut(path, 100)} ({len(found)} tensors)" for path, found in list(sets.items())[:LISTED] if path
    )
    if key is not None:
        return _under(sets, key, name, listed), ()
    taken = _taken(list(sets))
    if taken is None:
        raise Fault(
            "N442", f"{name}: holds several sets of weights: {listed}", help="choose one with --weights-key KEY"
        )
    others = [path for path in sets if path != taken]
    if others:
        shown = ", ".join(cut(path, 100) for path in others[:LISTED])
        note = f"{name}: taken is {taken}, and not {shown} (--weights-key picks another)"
        return sets[taken], (note,)
    if _averaged(taken):
        return sets[taken], (f"{name}: taken is {taken}, a moving average; there is nothing else",)
    return sets[taken], ()


def _under(sets: Mapping[str, Tensors], key: str, name: str, listed: str) -> Tensors:
    below = [path for path in sets if path == key] or [path for path in sets if path.startswith(f"{key}.")]
    if len(below) == 1:
        return sets[below[0]]
    inside = [{n: t for n, t in each.items() if n.startswith(f"{key}.")} for each in sets.values()]
    inside = [each for each in inside if each]
    if not below and len(inside) == 1:
        return inside[0]
    count = len(below or inside)
    what = f"{count} sets of weights are" if count else "no set of weights is"
    there = f"there are {listed}" if listed else "leave --weights-key out"
    raise Fault("N442", f"{name}: {what} called {cut(key, 100)}", help=there)


def _taken(paths: list[str]) -> str | None:
    plain = [path for path in paths if not _averaged(path)]
    if len(paths) == 1 or len(plain) == 1:
        return plain[0] if plain else paths[0]
    known = [path for path in plain if path.split(".")[0] in _MODEL]
    return known[0] if len(known) == 1 else None


def _averaged(path: str) -> bool:
    return not _AVERAGES.isdisjoint(re.split(r"[._]", path.lower()))


def _sets(
    tree: Mapping[Any, Any], is_tensor: Callable[[Any], bool], path: str, seen: dict[int, Tensors], depth: int
) -> Iterator[tuple[str, Tensors]]:
    # Each dictionary is looked into once, however often it stands there: a small file can repeat one without end.
    if id(tree) in seen:
        if seen[id(tree)]:
            yield path, seen[id(tree)]
        return
    seen[id(tree)] = {}
    if depth > DEEPEST or not all(isinstance(key, str) for key in tree):
        return
    below = False
    for key, value in tree.items():
        if isinstance(value, Mapping) and not _NOT_WEIGHTS.search(key):
            deeper = cast(Mapping[Any, Any], value)
            for found in _sets(deeper, is_tensor, f"{path}.{key}" if path else key, seen, depth + 1):
                below = True
                yield found
    tensors = {key: value for key, value in tree.items() if is_tensor(value)}
    if tensors and not below and 2 * len(tensors) >= len(tree):
        seen[id(tree)] = tensors
        yield path, tensors
