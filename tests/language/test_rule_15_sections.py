"""Rule 15: sections are plain `key = value`, and their keys are checked against the net."""

import pytest

from netc.sections import Adam, CrossEntropy, Export, Sgd
from tests.language.spec import admitted, net, refused

NET = net(
    "from image -> body: { conv(4, k=1) -> n: bn } -> gap -> flatten -> head: fc(8) => y",
    "f32[N, 8]",
)
OPTIMIZER = "optimizer = adam()"


def train(pairs: str) -> str:
    return f"{NET}\ntrain A {{ loss.y = cross_entropy(), {OPTIMIZER}, {pairs} }}"


def test_a_train_section() -> None:
    pairs = (
        "loss.y = 0.5 * cross_entropy(), metric.y = [accuracy]\n"
        "optimizer = sgd(lr = 0.1, momentum = 0.9, nesterov = true)"
        "\nschedule = cosine(), epochs = 3, batch = 8\nlr_scale.body = 0.1, lr_scale.head = 2"
    )
    found = admitted(f"{NET}\ntrain A {{ {pairs} }}").train
    assert found is not None
    assert found.loss == {"y": CrossEntropy(weight=0.5)}
    assert found.optimizer == Sgd(lr=0.1, momentum=0.9, nesterov=True)
    assert (found.metric, found.epochs, found.batch) == ({"y": ("accuracy",)}, 3, 8)
    assert found.lr_scale == {"body": 0.1, "head": 2.0}


def test_a_section_may_stand_in_the_net_without_a_name() -> None:
    inside = NET.replace("=> y", f"=> y train {{ loss.y = cross_entropy(), {OPTIMIZER} }}")
    found = admitted(inside).train
    assert found is not None
    assert found.optimizer == Adam()


def test_a_section_beside_the_only_net_needs_no_name() -> None:
    assert admitted(f"{NET}\nexport {{ opset = 18 }}").export.opset == 18


def test_a_section_reads_the_nets_parameters_and_the_files_lets() -> None:
    text = NET.replace("net A", "let rate = 0.25\nnet A(turns = 7)")
    pairs = "loss.y = cross_entropy(), optimizer = sgd(lr = rate / 2), epochs = turns"
    found = admitted(f"{text}\ntrain A {{ {pairs} }}").train
    assert found is not None
    assert (found.optimizer, found.epochs) == (Sgd(lr=0.125), 7)


@pytest.mark.parametrize("key", ["body", "body.n", "body.conv", "head"])
def test_keys_may_name_any_label_on_the_way_to_weights(key: str) -> None:
    found = admitted(train(f"lr_scale.{key} = 0.1")).train
    assert found is not None
    assert found.lr_scale == {key: 0.1}


@pytest.mark.parametrize(
    ("pairs", "code", "says"),
    [
        ("§lr_scale.boddy = 0.1", "N170", "did you mean `body`?"),
        ('§init.neck = weights("x.safetensors")', "N170", "no label `neck`"),
        ("init.body = §3", "N171", "weights("),
        ("lr_scale.body = §-1", "N171", "at least 0"),
        ("§loss.z = cross_entropy()", "N170", "its outputs are y"),
        ("§metric.yy = [accuracy]", "N170", "did you mean `y`?"),
        ("metric.y = §[acuracy]", "N171", "did you mean `accuracy`?"),
        ("§epoch = 3", "N170", "did you mean `epochs`?"),
        ("epochs = §0", "N171", "more than 0"),
        ("epochs = §1.5", "N171", "whole number"),
        ("batch = §many", "N171", "whole number"),
        ("schedule = §cosin()", "N171", "did you mean `cosine`?"),
        ("epochs = 1, §epochs = 2", "N173", "set twice"),
        ("§loss = cross_entropy()", "N170", "write loss.y = ..."),
    ],
)
def test_a_wrong_pair_is_refused_at_its_place(pairs: str, code: str, says: str) -> None:
    refused(train(pairs), code, says=says)


@pytest.mark.parametrize(
    ("pairs", "code", "says"),
    [
        ("loss.y = §cross_entrpy(), optimizer = adam()", "N171", "did you mean `cross_entropy`?"),
        ("loss.y = cross_entropy(), optimizer = §adm()", "N171", "did you mean `adam`?"),
        ("loss.y = cross_entropy(), optimizer = §sgd(0.1)", "N171", "write sgd(lr = 0.1)"),
        ("loss.y = cross_entropy(), optimizer = §sgd()", "N171", "needs `lr`"),
        ("loss.y = cross_entropy(), optimizer = §sgd(lr = 0.1, momentun = 0.9)", "N170", "did you mean `momentum`?"),
        ("loss.y = cross_entropy(), optimizer = §3", "N171", "a call such as sgd(...)"),
        ("loss.y = cross_entropy(), optimizer = §2 * adam()", "N171", "no meaning"),
        ("loss.y = §cross_entropy(weight = 2), optimizer = adam()", "N170", "write 0.3 * cross_entropy()"),
    ],
)
def test_losses_optimizers_and_schedules_are_calls(pairs: str, code: str, says: str) -> None:
    refused(f"{NET}\ntrain A {{ {pairs} }}", code, says=says)


def test_training_needs_a_loss_and_an_optimizer() -> None:
    refused(f"{NET}\n§train A {{ {OPTIMIZER} }}", "N171", says="loss.y = cross_entropy()")
    refused(f"{NET}\n§train A {{ loss.y = cross_entropy() }}", "N171", says="optimizer = sgd")


def test_an_export_section() -> None:
    text = net("from image -> conv(8, k=1) => y", "f32[N, 8, H, W]", image="f32[N, 3, H, W]")
    found = admitted(f"{text}export A {{ opset = 21, dynamic = [N, H], precision = fp16, embed = [decode] }}").export
    assert found == Export(opset=21, dynamic=("N", "H"), precision="f16", embed=("decode",))


@pytest.mark.parametrize(
    ("pairs", "code", "says"),
    [
        ("opset = §16", "N171", "at least 17"),
        ("opset = §27", "N171", "at most 26"),
        ("dynamic = §[M]", "N171", "no symbol"),
        ("precision = §f8", "N171", "int8"),
        ("embed = §[decoding]", "N171", "decode"),
        ("§opsett = 20", "N170", "did you mean `opset`?"),
    ],
)
def test_a_wrong_export_is_refused_at_its_place(pairs: str, code: str, says: str) -> None:
    refused(f"{NET}\nexport A {{ {pairs} }}", code, says=says)


def test_a_section_names_a_net_of_the_file() -> None:
    refused(f"{NET}\nexport §B {{ opset = 20 }}", "N172", says="no net is called `B`")
    refused(NET.replace("=> y", "=> y export §B { opset = 20 }"), "N172", says="take the name out")


def test_a_section_beside_several_nets_needs_a_name() -> None:
    refused(f"{NET}\nnet B = A()\n§export {{ opset = 20 }}", "N172", says="write export NAME")


def test_a_wrong_section_is_reported_though_the_net_is_wrong_too() -> None:
    text = NET.replace("fc(8)", "fc(§0)")
    refused(f"{text}\ntrain A {{ loss.y = cross_entropy(), {OPTIMIZER}, §epoch = 3 }}", "N122", "N170")


def test_two_sections_of_one_net_set_no_key_twice() -> None:
    inside = NET.replace("=> y", "=> y expect { params = 64 }")
    refused(f"{inside}\nexpect A {{ §params = 12 }}", "N173", says="set twice")
    refused(f"{train('epochs = 1')}\ntrain A {{ §epochs = 2, batch = 4 }}", "N173", says="set twice")
    found = admitted(f"{train('epochs = 1')}\ntrain A {{ batch = 4 }}\nnet B = A() {{ train {{ epochs = 2 }} }}").train
    assert found is not None
    assert (found.epochs, found.batch) == (1, 4)
