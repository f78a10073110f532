"""Rule 12: what an input and an output promise to the outside."""

from pathlib import Path

import pytest

from netc.graph import Output, Recipe
from tests.language.spec import admitted, net, refused

RGB = "f32[N, 3, 224, 224]"
CHAIN = "from image -> gap -> flatten -> fc(10) => y"


def with_input(attrs: str, image: str = RGB) -> str:
    return net(CHAIN, "f32[N, 10]", image=f"{image} {{ {attrs} }}")


def with_output(attrs: str, c: int = 10) -> str:
    return net(CHAIN.replace("10", str(c)), f"f32[N, {c}] {{ {attrs} }}", image=RGB)


def recipe(attrs: str, image: str = RGB) -> Recipe:
    found = admitted(with_input(attrs, image)).inputs[0].recipe
    assert found is not None
    return found


def output(attrs: str, c: int = 10) -> Output:
    return admitted(with_output(attrs, c)).outputs[0]


def test_an_input_says_what_turns_a_picture_into_the_tensor() -> None:
    text = (
        "resize = 256, fit = crop, filter = bicubic, crop = 224, color = bgr\n"
        "scale = 1/255, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225]"
    )
    wanted = Recipe(256, "crop", "bicubic", 224, "bgr", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert recipe(text) == wanted


def test_an_input_of_pictures_without_keys_takes_the_defaults() -> None:
    # LANGUAGE: scale 1, mean 0, std 1; one channel is gray, three are rgb.
    assert recipe("") == Recipe(None, "crop", "bilinear", None, "rgb", 1.0, (0.0,), (1.0,))
    assert recipe("", "f32[N, 1, 28, 28]").color == "gray"


def test_an_input_that_is_no_picture_has_no_recipe() -> None:
    text = net("from image -> fc(10) => y", "f32[N, 10]", image="f32[N, 7]")
    assert admitted(text).inputs[0].recipe is None


@pytest.mark.parametrize(
    ("attrs", "code", "says"),
    [
        ("§resise = 256", "N170", "did you mean `resize`?"),
        ("resize = §256.5", "N171", ""),
        ("resize = §0", "N171", "more than 0"),
        ("resize = 256, fit = §squeeze", "N171", "`crop`, `stretch` or `pad`"),
        ("filter = §nearest", "N171", "bicubic"),
        ("color = §gray", "N180", "1 channels"),
        ("mean = §[1, 2]", "N180", "2 numbers"),
        ("std = §0", "N171", "divided by it"),
        ("scale = §0", "N171", "every picture would be the same"),
        ("scale = §1e39", "N171", "at most 1e+38"),
        ("crop = §225", "N180", "write crop = 224"),
        ("resize = §[224, 225]", "N180", "224x225"),
        ("scale = 1, §scale = 2", "N173", "set twice"),
        ("scale = §1 // 0", "N131", "division"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_at_its_place(attrs: str, code: str, says: str) -> None:
    refused(with_input(attrs), code, says=says)


def test_a_recipe_for_what_is_no_picture_is_refused() -> None:
    text = net("from image -> fc(10) => y", "f32[N, 10]", image="f32[N, 7] { scale = 2 }")
    refused(text.replace("input image", "input §image"), "N180", says="a picture has 1 or 3 channels")


def test_an_output_says_how_it_is_read() -> None:
    found = output('labels = ["a", "b"], decode = sigmoid, threshold = 0.4', c=2)
    assert (found.labels, found.decode, found.threshold) == (("a", "b"), "sigmoid", 0.4)


def test_an_output_without_keys_is_numbers() -> None:
    assert (output("").labels, output("").decode, output("").train_only) == (None, "none", False)


@pytest.mark.parametrize(
    ("name", "count"), [("imagenet1k", 1000), ("voc2012", 20), ("voc2007", 20), ("cifar10", 10), ("mnist", 10)]
)
def test_built_in_labels(name: str, count: int) -> None:
    labels = output(f'labels = "{name}"', c=count).labels
    assert labels is not None
    assert len(labels) == count


def test_labels_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n", "utf-8")
    text = with_output('labels = file("labels.txt")', c=2)
    assert admitted(text, tmp_path / "x.cnn").outputs[0].labels == ("cat", "dog")
    refused(with_output('labels = §file("labels.txt")', c=3), "N181", says="2 labels for 3", path=tmp_path / "x.cnn")


@pytest.mark.parametrize(
    ("attrs", "code", "says"),
    [
        ('labels = §["a", "b"]', "N181", "2 labels for 10 channels"),
        ('labels = §"cifar1"', "N171", "did you mean `cifar10`?"),
        ("labels = §[1, 2]", "N171", "texts"),
        ("labels = §3", "N171", "a list, a built-in set"),
        ("decode = §softmx", "N171", "softmax"),
        ("§threshold = 0.5", "N180", "decode = sigmoid"),
        ("decode = sigmoid, threshold = §2", "N171", "at most 1"),
        ("only = §test", "N171", "train"),
        ("§label = 3", "N170", "did you mean `labels`?"),
    ],
)
def test_an_outputs_contract_that_cannot_be_is_refused_at_its_place(attrs: str, code: str, says: str) -> None:
    refused(with_output(attrs), code, says=says)


@pytest.mark.parametrize(
    ("y", "says"),
    [
        ("§f32[N, 9]", "9 is not 10"),
        ("§f32[N, 10, 1, 1]", "[N, 10] feeds it"),
        ("§f32[2, 10]", "2 is not N"),
    ],
)
def test_the_declared_type_is_checked(y: str, says: str) -> None:
    refused(net(CHAIN, y, image=RGB), "N305", says=says)


def test_every_output_is_fed_exactly_once() -> None:
    twice = net("from image -> gap -> f: flatten -> a: fc(10) => y from f -> b: fc(10) => §y", "f32[N, 10]", image=RGB)
    said = refused(twice, "N117", says="fed twice")
    assert said.labels
    never = net(CHAIN, "f32[N, 10]", image=RGB).replace("output y", "output §z: f32[N, 2] output y")
    refused(never, "N117", says="end a chain with => z")


def test_a_net_has_an_input_and_an_output() -> None:
    refused("net §A { input §x: f32[N, 3] }", "N117", "N116", says="the net has no output")
    refused("net §A { output §y: f32[N, 3] }", "N117", "N117", says="the net has no input")


HEADS = net(
    "from image -> c: conv(4, k=1) -> gap -> flatten -> fc(10) => y"
    "  from c -> t: conv(8, k=1) -> gap -> flatten -> h: fc(10) => aux",
    "f32[N, 10]",
    image=RGB,
).replace("output y", "output aux: f32[N, 10] { only = train }\n  output y")


def test_what_feeds_only_training_outputs_is_absent_from_the_deployed_graph() -> None:
    graph = admitted(HEADS)
    assert graph.deployed == {"c", "gap", "flatten", "fc"}
    # c: 3 4 + 4; fc: 4 10 + 10; t: 4 8 + 8; h: 8 10 + 10
    assert graph.params() == 16 + 50
    assert graph.params(train=True) == 16 + 50 + 40 + 90


def test_something_is_left_to_deploy() -> None:
    text = net(CHAIN, "f32[N, 10] { only = train }", image=RGB).replace("output y", "output §y")
    refused(text, "N117", says="nothing is left to deploy")
