"""Requirements: every operator means what Python's means, within bounds."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc_runtime.expr import MAX_DEPTH, conjuncts, evaluate, symbols
from netc_runtime.manifest import ManifestError

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@pytest.mark.parametrize("op", BINARY)
@given(a=st.integers(-1000, 1000), b=st.integers(-1000, 1000).filter(bool))
def test_an_operator_means_what_python_means(op: str, a: int, b: int) -> None:
    expected = BINARY[op](a, b)
    got = evaluate((op, "a", "b"), {"a": a, "b": b})
    assert (got, type(got)) == (expected, type(expected))


def numbers() -> st.SearchStrategy[Any]:
    leaves = st.one_of(st.integers(-9, 9), st.sampled_from(["H", "W"]))
    return st.recursive(leaves, lambda x: st.tuples(st.sampled_from(["+", "-", "*", "//", "%"]), x, x), max_leaves=6)


def truths() -> st.SearchStrategy[Any]:
    compared = st.tuples(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), numbers(), numbers())
    return st.recursive(
        compared,
        lambda x: st.one_of(st.tuples(st.sampled_from(["and", "or", "==", "!="]), x, x), st.tuples(st.just("not"), x)),
        max_leaves=4,
    )


def as_python(expr: Any) -> str:
    if not isinstance(expr, tuple):
        return f"({expr})"
    parts: list[str] = [as_python(each) for each in expr[1:]]  # pyright: ignore[reportUnknownVariableType]  # drawn trees have no type
    return f"({expr[0]} {parts[0]})" if len(parts) == 1 else f"({parts[0]} {expr[0]} {parts[1]})"


@given(truths(), st.integers(1, 50), st.integers(1, 50))
def test_a_tree_means_what_the_same_text_means_to_python(expr: Any, height: int, width: int) -> None:
    sizes = {"H": height, "W": width}
    try:
        expected = eval(as_python(expr), {}, sizes)
    except ZeroDivisionError:
        with pytest.raises(ManifestError, match="divides by zero"):
            evaluate(expr, sizes)
    else:
        assert evaluate(expr, sizes) is expected


def test_and_and_or_stop_early() -> None:
    divides = ("==", ("%", 8, "H"), 0)
    assert evaluate(("and", (">", "H", 0), divides), {"H": 0}) is False
    assert evaluate(("or", ("==", "H", 0), divides), {"H": 0}) is True


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        ("M", "names `M`, but the inputs bind H"),
        (("//", "H", 0), "divides by zero: 6 // 0"),
        (("%", "H", 0), "divides by zero: 6 % 0"),
        (("**", "H", 9), "begins with one of"),
        ((), "begins with one of"),
        (("+", 1), "takes 2 operands, not 1"),
        (("not", "H"), "takes truth values, not the number 6"),
        (("and", ("<", 1, 2), 1), "takes truth values, not the number 1"),
        (("+", ("<", 1, 2), 1), "takes numbers, not the truth value True"),
        (("==", ("<", 1, 2), 1), "a truth value with a number"),
    ],
)
def test_nonsense_is_an_error_that_says_what(expr: Any, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        evaluate(expr, {"H": 6})
    assert caught.value.code == "R113"
    assert words in caught.value.message


def test_depth_and_nodes_are_bounded() -> None:
    expr: Any = 1
    for _ in range(MAX_DEPTH):
        expr = ("+", expr, 1)
    assert evaluate(expr, {}) == MAX_DEPTH + 1
    shared: Any = 1
    for _ in range(60):
        shared = ("+", shared, shared)  # 2 ** 61 nodes, were it walked
    for too_large in (("+", expr, 1), shared):
        with pytest.raises(ManifestError, match="larger than"):
            evaluate(too_large, {})


def test_symbols_and_conjuncts_are_found_at_any_depth() -> None:
    fact = ("and", ("and", ("==", ("%", "H", 4), 0), ("<", "W", "H")), ("not", ("==", "D", 1)))
    assert symbols(fact) == {"D", "H", "W"}
    assert list(conjuncts(fact)) == [("==", ("%", "H", 4), 0), ("<", "W", "H"), ("not", ("==", "D", 1))]
