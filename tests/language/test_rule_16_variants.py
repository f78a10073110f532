"""Rule 16: variants inherit `train` and `export`, never `expect`."""

from netc.diagnostic import Diagnostics, Source
from netc.elaborate import elaborate
from netc.graph import Graph
from netc.sections import Expect
from tests.language.spec import check, net, refused

BASE = net(
    "from image -> gap -> flatten -> hidden: fc(width) -> relu -> fc(8) => y expect { params = 32 + 72 }",
    "f32[N, 8]",
).replace("net A", "net A(width = 8, rate = 0.5)")
SECTIONS = "train A { loss.y = cross_entropy(), optimizer = adam(lr = rate) }\nexport A { opset = 18 }\n"


def graphs(text: str) -> dict[str, Graph]:
    found, wrong = check(text)
    assert [d for d in wrong if d.severity == "error"] == []
    return found


def test_a_variant_is_a_net_with_other_arguments() -> None:
    found = graphs(f"{BASE}net B = A(width = 16)\nnet C = A(4)\n")
    # hidden: 3 w + w; fc: 8 w + 8
    assert {n: g.params() for n, g in found.items()} == {"A": 104, "B": 200, "C": 56}
    assert found["B"].name == "B"


def test_a_variant_inherits_train_and_export() -> None:
    found = graphs(f"{BASE}{SECTIONS}net B = A(width = 16)\n")["B"]
    assert found.train is not None
    assert found.export.opset == 18


def test_a_variants_arguments_reach_what_it_inherits() -> None:
    found = graphs(f"{BASE}{SECTIONS}net B = A(rate = 0.25)\n")["B"].train
    assert found is not None
    assert found.optimizer.lr == 0.25


def test_a_variant_never_inherits_expect() -> None:
    # A expects 104 parameters; B has 200 and would be refused.
    assert graphs(f"{BASE}net B = A(width = 16)\n")["B"].expect == Expect()


def test_a_variant_has_expectations_of_its_own() -> None:
    assert graphs(f"{BASE}net B = A(width = 16) {{ expect {{ params = 200 }} }}\n")["B"].expect.params == 200
    refused(f"{BASE}net B = A(width = 16) {{ expect {{ params = §201 }} }}\n", "N306", says="B has 200 params")


def test_every_variant_is_held_to_its_own_figures() -> None:
    text = (
        f"{BASE}net B = A(width = 16) {{ expect {{ params = §201 }} }}\n"
        "net C = A(width = 4) { expect { params = §57, macs = §45 } }\n"
        "net D = A(width = 2) { expect { params = 32, macs = 22 } }\n"
    )
    # hidden: 3 w + w; fc: 8 w + 8. MACs: 3 w + 8 w
    refused(text, "N306", "N306", "N306", says="B has 200 params")
    assert list(check(text.replace("§", ""))[0]) == ["A", "D"]


def test_a_variant_changes_keys_one_by_one() -> None:
    found = graphs(f"{BASE}{SECTIONS}net B = A() {{ train {{ epochs = 3 }} export {{ opset = 19 }} }}\n")
    train = found["B"].train
    assert train is not None
    assert (train.epochs, found["B"].export.opset) == (3, 19)
    base = found["A"].train
    assert base is not None
    assert (base.epochs, found["A"].export.opset) == (10, 18)


def test_a_variant_of_a_variant_keeps_what_it_does_not_change() -> None:
    found = graphs(f"{BASE}{SECTIONS}net B = A(width = 16) {{ export {{ opset = 19 }} }}\nnet C = B(rate = 0.1)\n")["C"]
    assert found.params() == 200
    assert found.export.opset == 19
    assert found.train is not None
    assert found.train.optimizer.lr == 0.1


def test_the_outermost_word_counts() -> None:
    assert graphs(f"{BASE}net B = A(width = 16)\nnet C = B(width = 4)\n")["C"].params() == 56


def test_one_net_is_named() -> None:
    found = Diagnostics()
    done = elaborate(Source("x.cnn", f"{BASE}net B = A(width = 16)\nnet C = A(nosuch = 3)\n"), None, found, net="B")
    assert list(done.graphs) == ["B"]
    assert found.errors == 0
    assert done.nets == {"A": False, "B": True, "C": True}


def test_a_variants_arguments_are_checked() -> None:
    refused(f"{BASE}net B = A(§widht = 16)\n", "N120", says="did you mean `width`?")
    refused(f"{BASE}net B = A(1, 0.5, §3)\n", "N123", says="one too many")
    refused(f"{BASE}net B = §C()\n", "N110", says="no net is called `C`")


def test_a_parameter_without_default_is_a_variants_to_give() -> None:
    base = BASE.replace("width = 8, ", "width, ")
    assert list(graphs(f"{base}net B = A(width = 8)\n")) == ["B"]
    refused(f"{base}net §B = A()\n", "N121", says="add width = ...")


def test_a_finding_in_a_variant_is_reported_once() -> None:
    wrong = BASE.replace("relu", "relu -> conv(§0, k=1)")
    refused(f"{wrong}net B = A(width = 16)\nnet C = A(width = 4)\n", "N122")


def test_a_variant_is_no_variant_of_itself() -> None:
    refused("net §B = C()\nnet C = B()\n", "N140", says="B -> C -> B")


def test_two_nets_bear_two_names() -> None:
    refused(f"{BASE}net §A = A()\n", "N112")


def test_a_variants_argument_is_given_once() -> None:
    refused(f"{BASE}net B = A(width = 5, §width = 6)\n", "N124", says="given twice")
    refused(f"{BASE}net B = A(7, §width = 8)\n", "N124", says="given twice")
    assert graphs(f"{BASE}net B = A(width = 16)\nnet C = B(width = 4)\n")["C"].params() == 56
