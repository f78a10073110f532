"""The manifest: what is written is read back, and nothing else is read."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc_runtime import reading
from netc_runtime.errors import RuntimeFault
from netc_runtime.manifest import (
    SCHEMA,
    Decode,
    Golden,
    ImageRecipe,
    Input,
    Manifest,
    ManifestError,
    Output,
    Parity,
    Requirement,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SIZES = st.one_of(st.none(), st.integers(1, 2**16), st.tuples(st.integers(1, 2**16), st.integers(1, 2**16)))
SHA = st.text("0123456789abcdef", min_size=64, max_size=64)


@st.composite
def recipes(draw: st.DrawFn) -> ImageRecipe:
    color: Any = draw(st.sampled_from(["rgb", "bgr", "gray"]))
    channels = 1 if color == "gray" else 3
    lengths = st.sampled_from([1, channels])
    mean = draw(lengths.flatmap(lambda n: st.lists(NUMBERS, min_size=n, max_size=n)))
    std = draw(lengths.flatmap(lambda n: st.lists(NUMBERS.filter(bool), min_size=n, max_size=n)))
    return ImageRecipe(
        resize=draw(SIZES),
        fit=draw(st.sampled_from(["crop", "stretch", "pad"])),
        filter=draw(st.sampled_from(["bilinear", "bicubic"])),
        crop=draw(SIZES),
        color=color,
        scale=draw(NUMBERS),
        mean=tuple(mean),
        std=tuple(std),
    )


def exprs(symbols: list[str]) -> st.SearchStrategy[Any]:
    leaves = st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.sampled_from(symbols))
    operators = ["+", "-", "*", "//", "%", "==", "!=", "<=", ">=", "<", ">", "and", "or"]
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.tuples(st.sampled_from(operators), inner, inner), st.tuples(st.just("not"), inner)),
        max_leaves=8,
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    names = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    embed = draw(st.sampled_from([(), ("decode",), ("preprocess", "labels")]))
    inputs: list[Input] = []
    for name in names:
        recipe = draw(st.one_of(st.none(), recipes()))
        channels, height = 3 if recipe is None else recipe.channels, draw(st.sampled_from(["H", 32]))
        if recipe is not None and "preprocess" in embed:
            inputs.append(Input(name, "u8", ("N", height, 8, channels), recipe))
        else:
            inputs.append(Input(name, "f32", ("N", channels, height, 8), recipe))
    labels = draw(
        st.one_of(st.none(), st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
    )
    classes = 5 if labels is None else len(labels)
    decode: Decode = draw(st.sampled_from(["softmax", "sigmoid", "argmax", "none"]))
    indices = decode == "argmax" and "decode" in embed
    output = Output(
        draw(NAMES),
        "i64" if indices else "f32",
        ("N", "H/8") if indices else ("N", classes, "H/8"),
        None if labels is None else tuple(labels),
        decode,
        draw(st.one_of(st.none(), NUMBERS)),
    )
    golden = Golden(
        draw(st.integers(0, 2**31 - 1)),
        dict.fromkeys(names, (1, 3, 8, 8)),
        {output.name: tuple(draw(st.lists(st.tuples(st.integers(0, 2**40), NUMBERS), min_size=1, max_size=3)))},
        draw(st.floats(0, 1e30)),
    )
    facts = draw(st.lists(exprs(["N"]), max_size=2))
    return Manifest(
        net=draw(NAMES),
        inputs=tuple(inputs),
        outputs=(output,),
        require=tuple(Requirement(fact, draw(NAMES), draw(NAMES)) for fact in facts),
        golden=draw(st.sampled_from([None, golden])),
        parity=Parity(draw(NAMES), draw(st.floats(0, 1e30)), draw(st.sampled_from(["passed", "not verified"]))),
        spec_text=draw(st.text(st.characters(exclude_categories=["Cs"]))),
        spec_sha256=draw(SHA),
        weights_blake3=draw(SHA),
        versions=draw(st.dictionaries(NAMES, NAMES, max_size=2)),
        embed=embed,
        precision=draw(st.sampled_from(["f32", "f16", "bf16", "int8"])),
    )


@settings(max_examples=40)  # drawing a whole manifest is slow
@given(manifests())
def test_what_is_written_is_read_back(manifest: Manifest) -> None:
    text = manifest.to_json()
    assert text.isascii()
    assert Manifest.from_json(text) == manifest
    assert Manifest.from_json(text).to_json() == text


def test_the_text_is_canonical_and_names_its_schema(linear_manifest: Callable[..., Manifest]) -> None:
    text = linear_manifest().to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert json.loads(text)["schema"] == SCHEMA == 1


def test_another_precision_than_f32_is_schema_2_and_f32_is_what_it_was(value: dict[str, Any]) -> None:
    assert "precision" not in value
    whole = Manifest.from_json(json.dumps(value))
    assert (whole.precision, json.loads(whole.to_json())["schema"]) == ("f32", 1)
    half = json.loads(replace(whole, precision="f16").to_json())
    assert half == {**value, "schema": 2, "precision": "f16"}
    assert Manifest.from_json(json.dumps(half)).precision == "f16"


def test_schemas_and_precisions_go_together(value: dict[str, Any]) -> None:
    assert "lacks the key 'precision'" in refusal({**value, "schema": 2}).message
    assert "has an unknown key" in refusal({**value, "precision": "f16"}).message
    # One manifest has one text: f32 is said by schema 1.
    assert "precision is 'f32'" in refusal({**value, "schema": 2, "precision": "f32"}).message


def test_integers_given_for_floats_do_not_change_the_text(linear_manifest: Callable[..., Manifest]) -> None:
    whole = linear_manifest(image=ImageRecipe(color="gray", mean=(0,), std=(1,), scale=1))
    assert whole.to_json() == linear_manifest(image=ImageRecipe(color="gray")).to_json()


@pytest.fixture
def value(linear_manifest: Callable[..., Manifest]) -> dict[str, Any]:
    golden = Golden(1, {"image": (1, 1, 4, 4)}, {"scores": ((0, 0.5),)}, 1e-3)
    fact = Requirement(("<=", "N", 8), "N <= 8", "")
    return json.loads(linear_manifest(golden=golden, require=(fact,)).to_json())


def refusal(value: object) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(value if isinstance(value, str) else json.dumps(value))
    return caught.value


def test_a_newer_schema_names_both_numbers(value: dict[str, Any]) -> None:
    error = refusal({**value, "schema": 7, "a key of the future": 1})
    assert error.code == "R109"
    assert "schema 7" in error.message
    assert "up to 2" in error.message


Path = tuple[str | int, ...]
DELETE = object()
CASES: list[tuple[Path, object, str]] = [
    (("schema",), 0, "schema is 0"),
    (("schema",), "1", "schema is text"),
    (("schema",), True, "schema is true"),
    (("schema",), DELETE, "lacks the key 'schema'"),
    (("surprise",), 1, "unknown key 'surprise'"),
    (("net",), 3, "net is an integer, expected text"),
    (("net",), "", "has 0 characters"),
    (("net",), "\ud800", "surrogate"),
    (("net",), "x" * 1025, "has 1025 characters"),
    (("inputs",), [], "inputs has 0 items"),
    (("inputs",), {}, "inputs is an object, expected a list"),
    (("inputs", 0), None, "inputs[0] is null"),
    (("inputs", 0, "dtype"), "float", "expected f16 | f32"),
    (("inputs", 0, "dtype"), ["f32"], "inputs[0].dtype is ['f32']"),
    (("inputs", 0, "shape"), ["N", 1, 4], "makes f32[N, 1, H, W]"),
    (("inputs", 0, "shape"), ["N", 3, 4, 4], "makes f32[N, 1, H, W]"),
    (("inputs", 0, "shape", 2), 0, "shape[2] is 0"),
    (("inputs", 0, "shape", 2), 2**31, "expected 1 to 2147483647"),
    (("inputs", 0, "shape", 2), 4.0, "shape[2] is a number, expected an integer"),
    (("inputs", 0, "shape"), [1] * 9, "has 9 items, expected 0 to 8"),
    (("inputs", 0, "image", "fit"), "squash", "expected crop | stretch | pad"),
    (("inputs", 0, "image", "filter"), "nearest", "expected bilinear | bicubic"),
    (("inputs", 0, "image", "color"), "grey", "expected rgb | bgr | gray"),
    (("inputs", 0, "image", "resize"), 0, "resize is 0"),
    (("inputs", 0, "image", "resize"), 65537, "expected 1 to 65536"),
    (("inputs", 0, "image", "crop"), [4, 4, 4], "has 3 items"),
    (("inputs", 0, "image", "mean"), [0, 0], "has 2 values for 1 channel"),
    (("inputs", 0, "image", "std"), [0], "holds a zero"),
    (("inputs", 0, "image", "scale"), "1/255", "scale is text, expected a number"),
    (("inputs", 0, "image", "scale"), 10**400, "a number of many digits"),
    (("outputs",), [], "outputs has 0 items"),
    (("versions",), ["netc"], "versions is a list, expected an object"),
    (("versions",), {str(key): "1" for key in range(257)}, "versions has 257 keys, at most 256"),
    (("outputs", 0, "labels"), ["a", "b"], "are 2 for axis 1"),
    (("outputs", 0, "labels"), ["a", "b", 3], "labels[2] is an integer"),
    (("outputs", 0, "decode"), "top5", "expected softmax | sigmoid"),
    (("outputs", 0, "shape"), ["N"], "decodes softmax over axis 1"),
    (("outputs", 0, "threshold"), True, "threshold is true, expected a number"),
    (("require", 0, "expr"), ["^", "N", 8], "begins with one of"),
    (("require", 0, "expr"), [], "begins with one of"),
    (("require", 0, "expr"), [["+", 1, 1], 1, 1], "begins with one of"),
    (("require", 0, "expr"), ["<=", "N"], "takes 2 operands, not 1"),
    (("require", 0, "expr"), ["not", "N", "N"], "takes 1 operand, not 2"),
    (("require", 0, "expr"), ["<=", "M", 8], "names `M`, which no input binds"),
    (("require", 0, "expr"), ["<=", "N", 2**53], "expected -9007199254740991"),
    (("require", 0, "expr"), True, "expr is true"),
    (("golden", "seed"), -1, "seed is -1"),
    (("golden", "shapes"), {"other": [1]}, "names other; the inputs are image"),
    (("golden", "shapes", "image"), [2**20, 2**20], "elements, at most"),
    (("golden", "samples"), {}, "names nothing; the outputs are scores"),
    (("golden", "samples", "scores"), [[0, 1.0, 2]], "has 3 items"),
    (("golden", "samples", "scores"), [[0.5, 1.0]], "expected an integer"),
    (("golden", "tolerance"), -1, "expected a finite number from 0.0"),
    (("parity", "verdict"), "failed", "expected passed | not verified"),
    (("spec_sha256",), "abc", "expected 64 hexadecimal digits"),
    (("versions",), {"netc": 1}, "versions['netc'] is an integer"),
    (("embed",), ["everything"], "expected decode | labels | preprocess"),
]


@pytest.mark.parametrize(("path", "new", "words"), CASES, ids=[f"{case[0]}-{case[2][:24]}" for case in CASES])
def test_anything_but_the_contract_is_refused_by_its_place(
    value: dict[str, Any], path: Path, new: object, words: str
) -> None:
    changed: Any = copy.deepcopy(value)
    place = changed
    for step in path[:-1]:
        place = place[step]
    if new is DELETE:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    error = refusal(changed)
    assert error.code == "R108"
    assert words in error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[]", "is a list, expected an object"),
        ("null", "is null"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"schema": 1} x', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 10_000, "is not JSON"),
    ],
)
def test_text_that_is_not_one_json_object_is_refused(text: str, words: str) -> None:
    error = refusal(text)
    assert error.code == "R108"
    assert words in error.message


def test_a_name_stands_once(value: dict[str, Any]) -> None:
    assert "inputs repeat a name: image, image" in refusal({**value, "inputs": value["inputs"] * 2}).message


def test_the_text_is_bounded(monkeypatch: pytest.MonkeyPatch, value: dict[str, Any]) -> None:
    monkeypatch.setattr(reading, "MAX_TEXT", 100)
    assert "characters, at most 100 are read" in refusal(value).message


@settings(max_examples=40)
@given(st.recursive(st.none() | st.booleans() | NUMBERS | NAMES, lambda x: st.lists(x) | st.dictionaries(NAMES, x)))
def test_a_stranger_s_json_never_raises_anything_else(value: object) -> None:
    assert refusal(value).code in ("R108", "R109")


def test_an_expression_is_bounded_in_depth_and_in_nodes(value: dict[str, Any]) -> None:
    deep: Any = "N"
    for _ in range(65):
        deep = ["+", deep, 1]
    wide: Any = "N"
    for _ in range(10):
        wide = ["+", wide, wide]  # 2 ** 11 - 1 = 2047 nodes
    for expr in (deep, wide):
        value["require"][0]["expr"] = expr
        assert "64 levels or 1024 nodes" in refusal(value).message


def test_writing_refuses_what_reading_would(linear_manifest: Callable[..., Manifest]) -> None:
    for changes in (
        {"embed": ("everything",)},
        {"parity": Parity("x", float("nan"), "passed")},
        {"net": b"bytes"},
        {"versions": {"netc"}},
        {"versions": MappingProxyType({"netc": "1"})},
    ):
        with pytest.raises(RuntimeFault) as caught:
            linear_manifest(**changes).to_json()
        assert caught.value.code == "R108"


def test_importing_it_needs_the_standard_library_alone() -> None:
    code = "import sys, netc_runtime.manifest; print(sorted({'numpy', 'PIL', 'onnxruntime'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
