"""Rule 13: losses take logits; a softmax or sigmoid in the chain under one is reported."""

import pytest

from tests.language.spec import check, net

TRAIN = "train A { loss.y = LOSS(), optimizer = adam() }"


def findings(chain: str, loss: str, decode: str = "none") -> list[tuple[str, str, str]]:
    text = net(f"from image -> fc(8) -> {chain} => y", f"f32[N, 8] {{ decode = {decode} }}", image="f32[N, 3]")
    graphs, found = check(text + TRAIN.replace("LOSS", loss))
    assert list(graphs) == ["A"]  # a warning: the net is still compiled
    return [(d.code, d.severity, d.span.text) for d in found]


def test_a_softmax_under_cross_entropy_is_reported_where_it_stands() -> None:
    assert findings("softmax", "cross_entropy") == [("W101", "warning", "softmax")]


def test_a_sigmoid_under_bce_with_logits_is_reported() -> None:
    assert findings("sigmoid", "bce_with_logits") == [("W101", "warning", "sigmoid")]


def test_layers_that_change_nothing_do_not_hide_it() -> None:
    assert [code for code, *_ in findings("softmax -> dropout(0.5) -> id", "cross_entropy")] == ["W101"]


def test_layers_that_move_or_mix_pixels_do_not_hide_it() -> None:
    chain = "conv(8, k=1, stride=4) -> softmax -> upsample(4, mode=bilinear) -> crop(like = image) => y"
    _, found = check(net(f"from image -> {chain}", "f32[N, 8, 32, 32] { decode = softmax }"))
    assert [(d.code, d.span.text) for d in found] == [("W101", "softmax")]


@pytest.mark.parametrize(
    ("chain", "loss"), [("id", "cross_entropy"), ("sigmoid", "cross_entropy"), ("softmax -> relu", "cross_entropy")]
)
def test_what_is_no_second_application_is_not_reported(chain: str, loss: str) -> None:
    assert findings(chain, loss) == []


def test_decode_is_applied_at_inference_and_is_no_second_application() -> None:
    assert findings("id", "cross_entropy", decode="softmax") == []


def test_a_softmax_in_the_chain_under_a_decode_of_softmax_is_reported() -> None:
    text = net("from image -> fc(8) -> softmax => y", "f32[N, 8] { decode = softmax }", image="f32[N, 3]")
    graphs, found = check(text)
    assert list(graphs) == ["A"]
    assert [(d.code, d.span.text) for d in found] == [("W101", "softmax")]
