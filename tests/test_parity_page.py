"""docs/parity.md: it is what its generator makes, has every net of the zoo, and some of its rows are measured again."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.make_parity import BATCH, FIGURES, OPSETS, PAGE, fixed_sizes, key, measured, page, recorded, zoo

ROWS = recorded()
AGAIN = ("lenet5.cnn:LeNet5", "fully_connected.cnn:Net2", "locally_connected.cnn:Net5")
SLOWER = ("cifar_resnet.cnn:ResNet20", "unet.cnn:UNet")


def test_the_page_is_what_its_generator_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(ROWS), "run `make parity`"


def test_every_net_of_the_zoo_and_no_other_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(ROWS) == set(zoo()), "run `make parity`"
    assert f"{len(ROWS)} of {len(zoo())} pass" in text
    assert all(f"`{name}`" in text for name in zoo())


def test_every_row_passes_at_every_opset() -> None:
    for name, row in ROWS.items():
        assert list(row.figures) == [str(opset) for opset in OPSETS], name
        assert row.passed, name
        assert all(figure > 0 for pair in row.figures.values() for figure in pair), name
        assert all(len(pair) == 2 for pair in row.figures.values()), name


def test_the_counts_of_a_row_are_the_nets() -> None:
    for name, graph in zoo().items():
        assert ROWS[name].parameters == graph.params(), name
        assert len(ROWS[name].sizes) == (1 if len(graph.symbols()) == 1 else 2), name


def test_a_net_of_fixed_sizes_has_no_symbol_left() -> None:
    graph = zoo()["unet.cnn:UNet"]
    found = fixed_sizes(graph)
    assert graph.symbols() == ("N", "H", "W")
    assert found.symbols() == ()
    assert found.inputs[0].type.batch == BATCH
    assert key(graph) != key(found)


@pytest.mark.parametrize("name", [*AGAIN, *(pytest.param(name, marks=pytest.mark.long) for name in SLOWER)])
def test_a_row_is_found_again(name: str, tmp_path: Path) -> None:
    known, found = ROWS[name], measured(zoo()[name], tmp_path)
    assert found.passed
    assert found.worst <= 1e-4
    # The same but for rounding: other processors sum in another order.
    assert (found.parameters, found.sizes, found.weights) == (known.parameters, known.sizes, known.weights)
    assert known.worst / 30 < found.worst < known.worst * 30
    assert not list(tmp_path.iterdir())


def test_the_figures_are_one_line_a_net() -> None:
    assert FIGURES.read_text(encoding="utf-8").count("\n") == len(ROWS) + 2
