"""A loaded model: any number of rows, every wrong request refused with both numbers, pictures to labels."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from netc_runtime import Model, engine, load, pictures
from netc_runtime.contract import require
from netc_runtime.errors import EnvironmentFault, ModelFault, RequestFault, RuntimeFault
from netc_runtime.golden import golden_feed, golden_input
from netc_runtime.manifest import Golden, ImageRecipe, Input, Manifest, Output, Parity, Requirement
from netc_runtime.rows import run_rows

RANDOM = np.random.RandomState(3)


def rows(count: int) -> Any:
    return RANDOM.standard_normal((count, 1, 4, 4)).astype(np.float32)


def refusal(model: Model, x: Any) -> RequestFault:
    with pytest.raises(RequestFault) as caught:
        model.predict(x)
    assert caught.value.exit_code == 1
    assert caught.value.message.startswith(model.name)
    return caught.value


@pytest.fixture
def model(digits: Path) -> Model:
    return load(digits, "cpu", max_batch=4)


# --- arrays


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 11])
def test_any_number_of_rows_gives_what_numpy_gives(model: Model, linear: Any, count: int) -> None:
    x = rows(count)
    scores = model.predict(x)["scores"]
    assert scores.shape == (count, 3)
    assert scores.dtype == np.float32
    assert np.allclose(scores, linear(x), atol=1e-5)


def test_split_batches_equal_the_whole(digits: Path) -> None:
    x = rows(11)
    whole = load(digits, "cpu", max_batch=64).predict(x)["scores"]
    for most in (1, 2, 3, 10, 11):
        assert np.allclose(load(digits, "cpu", max_batch=most).predict(x)["scores"], whole, atol=1e-6)


def test_no_batch_is_larger_than_max_batch(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = engine.run

    def counting(where: str, session: Any, names: Any, feed: Any) -> Any:
        sizes.append(len(feed["image"]))
        return real(where, session, names, feed)

    monkeypatch.setattr(engine, "run", counting)
    model.predict(rows(11))
    assert sizes == [4, 4, 3]


def test_a_mapping_a_view_and_nested_lists_are_taken_too(model: Model) -> None:
    x = rows(2)
    expected = model.predict(x)["scores"]
    for same in ({"image": x}, x.tolist(), np.asfortranarray(x), x.astype(np.float64)):
        assert np.array_equal(model.predict(same)["scores"], expected)


def test_half_precision_is_widened(model: Model) -> None:
    x = rows(2).astype(np.float16)
    assert np.array_equal(model.predict(x)["scores"], model.predict(x.astype(np.float32))["scores"])


def test_a_wrong_rank_gives_both_shapes_with_the_axes_named(model: Model) -> None:
    error = refusal(model, np.zeros((1, 28), np.float32))
    assert error.code == "R203"
    assert error.message == 'digits.onnx: input "image" is (1, 28), expected (N, 1, 4, 4)'


@pytest.mark.parametrize(
    ("x", "code", "words"),
    [
        ([[1.0], [1.0, 2.0]], "R201", "is not an array"),
        ("text", "R201", "holds <U4, expected f32 numbers"),
        (np.zeros((1, 1, 4, 4), np.complex64), "R201", "holds complex64"),
        (np.zeros((1, 1, 4, 4), object), "R201", "holds object"),
        (None, "R201", "holds object"),
        (np.zeros((1, 1, 4, 4), np.uint8), "R202", "is uint8, expected float32"),
        (np.zeros((1, 1, 4, 4), np.int64), "R202", "is int64, expected float32"),
        (np.zeros((1, 1, 4, 4), np.bool_), "R202", "is bool, expected float32"),
        (np.full((1, 1, 4, 4), 1e39), "R202", "a value beyond float32's"),
        (np.float32(1), "R203", "is (), expected (N, 1, 4, 4)"),
        (np.zeros((1, 4, 4), np.float32), "R203", "is (1, 4, 4), expected (N, 1, 4, 4)"),
        (np.zeros((1, 3, 4, 4), np.float32), "R204", "is (1, 3, 4, 4), expected (N, 1, 4, 4)"),
        (np.zeros((1, 4, 4, 1), np.float32), "R204", "is (1, 4, 4, 1), expected (N, 1, 4, 4)"),
        ({}, "R207", 'inputs are none, expected "image"'),
        ({"img": np.zeros((1, 1, 4, 4))}, "R207", 'inputs are "img", expected "image"'),
        ({"image": np.zeros((1, 1, 4, 4)), "b": 0}, "R207", 'inputs are "b", "image", expected "image"'),
    ],
)
def test_a_wrong_request_is_refused_with_both(model: Model, x: Any, code: str, words: str) -> None:
    error = refusal(model, x)
    assert error.code == code
    assert words in error.message


def test_raw_pixels_are_sent_to_the_recipe(model: Model) -> None:
    assert "predict_images" in refusal(model, np.zeros((1, 1, 4, 4), np.uint8)).help


def add_model(save_raw: Callable[..., Path], shapes: Any = (("N", "D"), ("N", "D")), out: Any = ("N", "D")) -> Path:
    inputs = [Input("a", "f32", shapes[0]), Input("b", "f32", shapes[1])]
    return save_raw([helper.make_node("Add", ["a", "b"], ["sum"])], inputs, [Output("sum", "f32", out)])


def test_two_inputs_go_by_name_and_must_agree_on_a_symbol(save_raw: Callable[..., Path]) -> None:
    model = load(add_model(save_raw), "cpu", max_batch=2)
    a, b = np.ones((5, 3), np.float32), np.arange(15, dtype=np.float32).reshape(5, 3)
    assert np.array_equal(model.predict({"a": a, "b": b})["sum"], a + b)
    assert refusal(model, a).message == "raw.onnx: one array is given for 2 inputs"
    error = refusal(model, {"a": a, "b": b[:4]})
    assert error.code == "R205"
    assert error.message == 'raw.onnx: input "b" is (4, 3), expected (N, D), where N = 5'
    assert refusal(model, {"a": a, "b": b[:, :0]}).code == "R204"
    assert load(add_model(save_raw), "cpu").predict({"a": a[:0], "b": b[:0]})["sum"].shape == (0, 3)


def test_rows_that_the_outputs_do_not_follow_are_never_split(save_raw: Callable[..., Path]) -> None:
    node = helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0)
    path = save_raw([node], [Input("x", "f32", ("N", 2))], [Output("mean", "f32", ())])
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    assert float(load(path, "cpu", max_batch=5).predict(x)["mean"]) == 4.5
    error = refusal(load(path, "cpu", max_batch=4), x)
    assert error.code == "R209"
    assert 'input "x" has 5 rows, at most 4' in error.message


def test_a_fixed_batch_is_not_split_and_not_padded(save_raw: Callable[..., Path]) -> None:
    model = load(add_model(save_raw, ((8, 3), (8, 3)), (8, 3)), "cpu", max_batch=4)
    x = np.ones((8, 3), np.float32)
    assert model.predict({"a": x, "b": x})["sum"].shape == (8, 3)
    assert refusal(model, {"a": x[:4], "b": x}).code == "R204"


def test_a_symbol_in_two_places_is_never_split(save_raw: Callable[..., Path]) -> None:
    node = helper.make_node("MatMul", ["x", "x"], ["y"])
    path = save_raw([node], [Input("x", "f32", ("N", "N"))], [Output("y", "f32", ("N", "N"))])
    x = rows(4).reshape(8, 8)
    assert np.allclose(load(path, "cpu", max_batch=8).predict(x)["y"], x @ x, atol=1e-4)
    assert refusal(load(path, "cpu", max_batch=4), x).code == "R209"


def test_what_onnx_runtime_cannot_run_is_a_fault_with_the_sizes(save_raw: Callable[..., Path]) -> None:
    path = add_model(save_raw, (("N", "D"), ("N", "E")), ("N", "D"))
    error = refusal(load(path, "cpu"), {"a": np.ones((1, 3), np.float32), "b": np.ones((1, 2), np.float32)})
    assert error.code == "R208"
    assert "a (1, 3), b (1, 2)" in error.message
    assert ".cc" not in error.message


def test_other_element_types_are_taken_as_they_are(save_raw: Callable[..., Path]) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    path = save_raw([node], [Input("x", "i64", ("N",))], [Output("y", "i64", ("N",))])
    assert load(path, "cpu").predict(np.arange(3))["y"].tolist() == [0, 1, 2]
    assert refusal(load(path, "cpu"), np.zeros(3)).code == "R202"


def test_threads_may_share_a_model(model: Model, linear: Any) -> None:
    batches = [rows(count) for count in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        for x, outputs in zip(batches, pool.map(model.predict, batches), strict=True):
            assert np.allclose(outputs["scores"], linear(x), atol=1e-5)


@pytest.mark.parametrize(("name", "value"), [("max_batch", 0), ("max_batch", -1), ("threads", 0)])
def test_a_setting_below_one_is_refused(digits: Path, name: str, value: int) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(EnvironmentFault) as caught:
        load(digits, "cpu", **settings)
    assert caught.value.code == "R404"
    assert f"{name} is {value}, expected at least 1" in caught.value.message


@pytest.mark.parametrize(
    ("rows_out", "sides_out"),
    [
        ([1, 1, 1], [3, 3, 3]),  # one row whatever the batch: a mean over it, say
        ([2, 2, 1], [3, 2, 3]),  # another width in the second batch
    ],
)
def test_a_graph_that_mixes_rows_is_seen_when_it_is_split(rows_out: list[int], sides_out: list[int]) -> None:
    outputs = iter([{"y": np.zeros(shape)} for shape in zip(rows_out, sides_out, strict=True)])
    with pytest.raises(RequestFault) as caught:
        run_rows("m.onnx", lambda feed: next(outputs), {"x": np.zeros((5, 3), np.float32)}, rows=5, most=2)
    assert caught.value.code == "R208"
    assert "max_batch=5" in caught.value.help


# --- requirements


@pytest.mark.parametrize(
    ("height", "width", "advice"),
    [
        (10, 6, "H = 8 or 12, W = 4 or 8"),
        (8, 6, "W = 4 or 8"),
        (3, 4, "H = 4"),
    ],
)
def test_a_requirement_names_its_reason_and_the_nearest_sizes(
    segmenter: Callable[..., Path], height: int, width: int, advice: str
) -> None:
    error = refusal(load(segmenter(), "cpu"), np.zeros((1, 1, height, width), np.float32))
    assert error.code == "R206"
    assert f"H = {height}, W = {width} breaks `H % 4 == 0 and W % 4 == 0`: two 2x poolings" in error.message
    assert error.help == f"the nearest admissible sizes are {advice}"


def test_admissible_sizes_pass(segmenter: Callable[..., Path]) -> None:
    x = np.random.RandomState(0).randn(2, 1, 8, 12).astype(np.float32)
    assert np.array_equal(load(segmenter(), "cpu").predict(x)["mask"], np.concatenate([x, -x], axis=1))


def advice(save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest], *exprs: Any, n: int) -> str:
    require = tuple(Requirement(expr, "the spec's words", "") for expr in exprs)
    model = load(save_linear(linear_manifest(require=require)), "cpu")
    error = refusal(model, rows(n))
    assert error.code == "R206"
    assert f"N = {n} breaks `the spec's words`: the spec requires it" in error.message
    return error.help


def test_the_advice_meets_every_requirement_at_once(
    save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest]
) -> None:
    even, three = ("==", ("%", "N", 2), 0), ("==", ("%", "N", 3), 0)
    assert advice(save_linear, linear_manifest, even, three, n=4) == "the nearest admissible sizes are N = 6"
    assert advice(save_linear, linear_manifest, even, three, n=7) == "the nearest admissible sizes are N = 6 or 12"


def test_what_no_size_meets_gets_no_numbers(
    save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest]
) -> None:
    assert advice(save_linear, linear_manifest, ("<", "N", 0), n=4) == "give sizes that meet it"


def test_the_search_for_sizes_passes_over_a_division_by_zero() -> None:
    divides = Requirement(("==", ("%", 60, ("-", "H", 8)), 0), "60 % (H - 8) == 0", "")
    with pytest.raises(RequestFault) as caught:
        require("m.onnx", [divides], {"H": 15})
    # H - 8 = 7 divides 60 at 6 below; and above at 10, so H = 14 or 18.
    assert caught.value.help == "the nearest admissible sizes are H = 14 or 18"
    with pytest.raises(RequestFault) as caught:
        require("m.onnx", [divides, Requirement(("<", "H", 8), "H < 8", "")], {"H": 15})
    assert caught.value.help == "the nearest admissible sizes are H = 7"


def test_the_advice_is_quick_whatever_the_requirements() -> None:
    sizes = {f"S{index}": 3 for index in range(60)}
    facts = [Requirement(("==", ("%", symbol, 2), 0), f"{symbol} % 2 == 0", "") for symbol in sizes]
    with pytest.raises(RequestFault) as caught:
        require("m.onnx", facts, sizes)
    assert caught.value.code == "R206"


def test_a_fact_that_ties_two_symbols_moves_one() -> None:
    fact = Requirement(("==", "H", "W"), "H == W", "square")
    with pytest.raises(RequestFault) as caught:
        require("m.onnx", [fact], {"H": 8, "W": 6})
    assert caught.value.help == "the nearest admissible sizes are H = 6"


def test_a_requirement_that_divides_by_zero_is_the_model_s_fault(
    save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest]
) -> None:
    fact = Requirement(("==", ("%", 8, ("-", "N", 2)), 0), "8 % (N - 2) == 0", "")
    model = load(save_linear(linear_manifest(require=(fact,))), "cpu")
    assert model.predict(rows(3))["scores"].shape == (3, 3)
    with pytest.raises(ModelFault) as caught:
        model.predict(rows(2))
    assert caught.value.code == "R113"


# --- pictures


def png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_go_through_the_recipe_and_come_back_as_labels(model: Model, linear: Any) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (6, 4, 4)).astype(np.uint8)
    results = model.predict_images([png(each) for each in pixels], top=3)
    x = ((pixels[:, None] / 255 - 0.5) / 0.25).astype(np.float32)
    powers = np.exp(linear(x).astype(np.float64))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    assert len(results) == 6
    for result, row in zip(results, probabilities, strict=True):
        labels = result.outputs["scores"].labels
        assert [label.index for label in labels] == np.argsort(-row).tolist()
        assert [label.name for label in labels] == [("zero", "one", "two")[index] for index in np.argsort(-row)]
        assert np.allclose([label.score for label in labels], np.sort(row)[::-1], atol=1e-5)


def test_one_picture_need_not_be_in_a_list(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(np.zeros((4, 4))))
    for one in (path, str(path), path.read_bytes(), Image.open(path)):
        (result,) = model.predict_images(one)
        assert result.outputs["scores"].labels[0].score > 1 / 3


def test_masks_of_different_sizes_come_back_in_order(segmenter: Callable[..., Path]) -> None:
    model = load(segmenter(), "cpu")
    bright, dark = np.full((4, 8), 255), np.zeros((8, 4))
    half = np.concatenate([np.full((4, 2), 255), np.zeros((4, 2))], axis=1)
    results = model.predict_images([png(each) for each in (bright, dark, half, bright)])
    masks = [result.outputs["mask"].values for result in results]
    assert [mask.shape for mask in masks] == [(4, 8), (8, 4), (4, 4), (4, 8)]
    assert masks[2].tolist() == [[0, 0, 1, 1]] * 4
    shares = [[(label.name, label.score) for label in result.outputs["mask"].labels] for result in results]
    assert shares == [[("bright", 1.0)], [("dark", 1.0)], [("bright", 0.5), ("dark", 0.5)], [("bright", 1.0)]]


def test_neighbours_of_one_size_share_a_batch(segmenter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(segmenter(), "cpu", max_batch=2)
    shapes: list[tuple[int, ...]] = []
    real = engine.run

    def noting(where: str, session: Any, names: Any, feed: Any) -> Any:
        shapes.append(feed["image"].shape)
        return real(where, session, names, feed)

    monkeypatch.setattr(engine, "run", noting)
    small, large = png(np.zeros((4, 4))), png(np.zeros((8, 8)))
    assert len(model.predict_images([small, small, small, large, small])) == 5
    assert shapes == [(2, 1, 4, 4), (1, 1, 4, 4), (1, 1, 8, 8), (1, 1, 4, 4)]


def test_a_picture_at_fault_is_named_and_the_others_are_answered(
    segmenter: Callable[..., Path], tmp_path: Path
) -> None:
    model = load(segmenter(), "cpu")
    good, odd, broken = tmp_path / "good.png", tmp_path / "odd.png", tmp_path / "broken.png"
    good.write_bytes(png(np.zeros((4, 4))))
    odd.write_bytes(png(np.zeros((5, 4))))
    broken.write_bytes(b"no picture")
    results = list(model.stream_images([good, broken, odd, good]))
    assert [result.source for result in results] == [str(good), str(broken), str(odd), str(good)]
    codes = [None if result.fault is None else result.fault.code for result in results]
    assert codes == [None, "R303", "R206", None]
    assert str(results[2].fault).startswith(f"{odd} for unet.onnx: H = 5, W = 4 breaks")
    with pytest.raises(RuntimeFault) as caught:
        model.predict_images([good, odd])
    assert caught.value.code == "R206"


def test_what_fails_in_one_batch_leaves_the_others_answered(
    segmenter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(segmenter(), "cpu")
    real = engine.run

    def failing(where: str, session: Any, names: Any, feed: Any) -> Any:
        if feed["image"].shape[2] == 8:
            raise RequestFault("R208", f"{where}: the model fails", "use less")
        return real(where, session, names, feed)

    monkeypatch.setattr(engine, "run", failing)
    small, large = png(np.zeros((4, 4))), png(np.zeros((8, 8)))
    results = list(model.stream_images([small, large, large, small]))
    assert [None if each.fault is None else each.fault.code for each in results] == [None, "R208", "R208", None]


def test_huge_pictures_wait_in_small_batches(segmenter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # 4 x 4 float32 are 64 bytes: three of them would pass 150.
    monkeypatch.setattr(pictures, "MAX_PENDING", 150)
    model = load(segmenter(), "cpu")
    sizes: list[int] = []
    predict = model.predict

    def noting(x: Any) -> Any:
        sizes.append(len(x["image"]))
        return predict(x)

    monkeypatch.setattr(model, "predict", noting)
    assert len(model.predict_images([png(np.zeros((4, 4)))] * 5)) == 5
    assert sizes == [2, 2, 1]


def test_a_picture_of_another_size_suggests_a_recipe(model: Model) -> None:
    with pytest.raises(RuntimeFault) as caught:
        model.predict_images([png(np.zeros((28, 28)))])
    assert caught.value.code == "R307"
    assert "is 28 x 28, the model's input is 4 x 4" in caught.value.message
    assert "resize = 4" in caught.value.help


def test_a_model_without_a_recipe_refuses_pictures_and_says_why(
    save_linear: Callable[..., Path], save_raw: Callable[..., Path], linear_manifest: Callable[..., Manifest]
) -> None:
    cases = [
        (save_linear(None), "it has no netc manifest"),
        (add_model(save_raw), "it has no netc manifest"),
    ]
    plain = linear_manifest()
    manifest = Manifest(
        plain.net,
        (Input("image", "f32", ("N", 1, 4, 4)),),
        plain.outputs,
        (),
        None,
        plain.parity,
        "",
        plain.spec_sha256,
        plain.weights_blake3,
        {},
    )
    cases.append((save_linear(manifest, "bare.onnx"), "its inputs are image: f32[N, 1, 4, 4], not one picture"))
    for path, words in cases:
        with pytest.raises(ModelFault) as caught:
            load(path, "cpu").predict_images([])
        assert caught.value.code == "R112"
        assert words in caught.value.message


def test_a_setting_of_pictures_is_checked_before_any_is_read(model: Model) -> None:
    with pytest.raises(EnvironmentFault):
        model.stream_images(["absent.png"], top=0)


# --- decoding, golden example, report


def test_decode_takes_what_predict_gave_and_nothing_else(model: Model) -> None:
    outputs = model.predict(rows(2))
    decoded = model.decode(outputs, top=1)
    best = outputs["scores"].argmax(axis=1)
    assert [result.labels[0].index for result in decoded["scores"]] == best.tolist()
    assert model.decode({}) == {}
    with pytest.raises(RequestFault) as caught:
        model.decode({"other": outputs["scores"]})
    assert caught.value.code == "R210"
    assert 'there is no output "other", expected scores' in caught.value.message


def test_the_golden_input_is_randomstate_s_stream_for_ever() -> None:
    # numpy keeps RandomState's stream frozen: these numbers were made once, and no version may give others.
    assert golden_input(0, (1, 3)).tolist() == [pytest.approx([-0.36259030, -0.41597474, 0.95486494], rel=1e-6)]
    assert golden_input(0, (2, 2)).dtype == np.float32


def test_the_golden_input_of_fewer_examples_is_the_start_of_more() -> None:
    assert np.array_equal(golden_input(3, (2, 3, 9, 7)), golden_input(3, (5, 3, 9, 7))[:2])
    assert not np.array_equal(golden_input(3, (2, 3, 9, 7))[0], golden_input(3, (2, 3, 9, 7))[1])


def test_a_golden_picture_has_shapes_four_a_side_under_noise() -> None:
    # A quarter of the height and width holds one shape: its mean stands out of noise of a quarter's strength.
    picture = golden_input(1, (1, 1, 64, 64))[0, 0]
    blocks = picture.reshape(4, 16, 4, 16)
    assert np.allclose(blocks.std(axis=(1, 3)), 0.25, atol=0.05)
    assert blocks.mean(axis=(1, 3)).std() > 0.5


def test_the_golden_example_reproduces(model: Model) -> None:
    check = model.check()
    assert check.samples == 3
    assert check.tolerance == 1e-3
    assert check.difference <= 1e-4  # the recorded values are rounded to four places


def test_without_a_golden_example_nothing_is_compared(save_linear: Callable[..., Path]) -> None:
    assert load(save_linear(None), "cpu").check().samples == 0


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (((0, 1000.0),), "at index 0 is"),
        (((99, 0.0),), "has 6 elements, expected one at index 99"),
    ],
)
def test_a_golden_example_that_does_not_reproduce_is_a_fault_with_both_numbers(
    save_linear: Callable[..., Path], linear_manifest: Callable[..., Manifest], samples: Any, words: str
) -> None:
    golden = Golden(0, {"image": (2, 1, 4, 4)}, {"scores": samples}, 1e-3)
    model = load(save_linear(linear_manifest(golden=golden)), "cpu")
    with pytest.raises(ModelFault) as caught:
        model.check()
    assert (caught.value.code, caught.value.exit_code) == ("R111", 1)
    assert words in caught.value.message


def test_each_input_of_the_golden_example_has_a_seed_of_its_own() -> None:
    inputs = (Input("a", "f32", ("N", 2)), Input("b", "f32", ("N", 2)))
    feed = golden_feed(Golden(5, {"b": (1, 2), "a": (1, 2)}, {}, 0.0), inputs)
    assert np.array_equal(feed["a"], golden_input(5, (1, 2)))
    assert np.array_equal(feed["b"], golden_input(6, (1, 2)))


def test_the_report_says_what_runs_where(digits: Path) -> None:
    report = load(digits, "cpu", threads=1, max_batch=7).report()
    assert report.to_dict() == {
        "file": str(digits),
        "size_bytes": digits.stat().st_size,
        "net": "Tiny",
        "inputs": ("image: f32[N, 1, 4, 4]",),
        "outputs": ("scores: f32[N, 3]",),
        "precision": "f32",
        "parity": "max |ours - reference| / V <= 0.0001: passed",
        "versions": {"netc": "0.1.0"},
        "onnxruntime": engine.version(),
        "engine": "onnxruntime",
        "arithmetic": "f32",
        "warm_up": (),
        "device": "cpu",
        "providers": ("CPUExecutionProvider",),
        "cached": False,
        "nodes": {"CPUExecutionProvider": 2},
        "threads": 1,
        "max_batch": 7,
        "notes": (),
    }


def test_a_recipe_of_three_channels_runs(save_raw: Callable[..., Path]) -> None:
    recipe = ImageRecipe(resize=4, crop=4, color="bgr")
    inputs = (Input("image", "f32", ("N", 3, 4, 4), recipe),)
    outputs = (Output("mean", "f32", ("N", 3, 1, 1)),)
    manifest = Manifest("M", inputs, outputs, (), None, Parity("x", 0.0, "not verified"), "", "0" * 64, "0" * 64, {})
    node = helper.make_node("GlobalAveragePool", ["image"], ["mean"])
    model = load(save_raw([node], inputs, outputs, metadata={"netc": manifest.to_json()}), "cpu")
    (result,) = model.predict_images(Image.new("RGB", (20, 10), (10, 20, 30)))
    assert result.outputs["mean"].values[:, 0, 0].tolist() == [30, 20, 10]
