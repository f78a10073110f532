"""What other libraries call a layer, and their calls written in netc."""

from __future__ import annotations

import re
from collections.abc import Sequence

LAYERS = {
    "conv1d": "conv", "conv2d": "conv", "conv3d": "conv", "convolution": "conv", "convolutional": "conv",
    "convtranspose1d": "upconv", "convtranspose2d": "upconv", "convtranspose3d": "upconv", "conv2dtranspose": "upconv",
    "convtranspose": "upconv", "deconv": "upconv", "deconvolution": "upconv",
    "depthwiseconv2d": "depthwise", "dwconv": "depthwise", "locallyconnected2d": "local",
    "linear": "fc", "dense": "fc", "innerproduct": "fc", "connected": "fc", "gemm": "fc",
    "batchnorm": "bn", "batchnorm1d": "bn", "batchnorm2d": "bn", "batchnorm3d": "bn", "batchnormalization": "bn",
    "batch_norm": "bn", "layernorm": "ln", "layernormalization": "ln", "layer_norm": "ln",
    "groupnorm": "gn", "groupnormalization": "gn", "group_norm": "gn",
    "maxpool1d": "maxpool", "maxpool2d": "maxpool", "maxpool3d": "maxpool", "maxpooling2d": "maxpool",
    "max_pool": "maxpool", "max_pool2d": "maxpool", "pooling": "maxpool",
    "avgpool1d": "avgpool", "avgpool2d": "avgpool", "avgpool3d": "avgpool", "averagepooling2d": "avgpool",
    "avg_pool": "avgpool", "avg_pool2d": "avgpool", "averagepool": "avgpool",
    "globalaveragepooling2d": "gap", "adaptiveavgpool2d": "gap", "globalaveragepool": "gap", "global_avg_pool": "gap",
    "globalmaxpooling2d": "gmp", "adaptivemaxpool2d": "gmp", "globalmaxpool": "gmp",
    "localresponsenorm": "lrn", "local_response_norm": "lrn",
    "leakyrelu": "leaky_relu", "leaky": "leaky_relu", "hard_swish": "hardswish", "swish": "silu",
    "logsoftmax": "log_softmax", "droppath": "drop_path", "stochasticdepth": "drop_path",
    "zeropad2d": "pad", "zeropadding2d": "pad", "upsample2d": "upsample", "upsampling2d": "upsample",
    "interpolate": "upsample", "channelshuffle": "channel_shuffle", "cropping2d": "crop",
    "concatenate": "concat", "cat": "concat", "route": "concat", "eltwise": "add", "shortcut": "add",
    "multiply": "mul", "subtract": "sub", "identity": "id", "rectifier": "relu",
}  # fmt: skip
"""A library's name for a layer, in small letters -> netc's."""

SAID = {
    "sequential": "a chain is written a -> b -> c, and { a -> b } is a group",
    "modulelist": "a repeat is written unit(64) * 3, or unit(c) for c in [64, 128]",
    "lambda": "a block is written block name(c) { ... }",
    "activation": "an activation is a stage of its own: -> relu",
    "range": "a count needs no range: unit(64) for i in 4",
    "permute": "the axes keep their order, N, C, H, W: `flatten` takes order=hwc for weights trained elsewhere",
    "transpose": "the axes keep their order, N, C, H, W: `flatten` takes order=hwc for weights trained elsewhere",
}
"""What has no layer of netc, in small letters -> what to write in its place."""

_FIRST = {  # arguments without a name, in order; "" is what netc knows by itself
    "conv": ("", "c", "k", "stride", "pad", "dilation", "groups", "bias"),
    "upconv": ("", "c", "k", "stride", "pad", "out_pad", "groups", "bias", "dilation"),
    "fc": ("", "c", "bias"),
    "bn": ("", "eps"),
    "maxpool": ("k", "stride", "pad", "dilation"),
    "avgpool": ("k", "stride", "pad"),
    "dropout": ("p",),
    "leaky_relu": ("slope",),
}
_KERAS = {"conv": ("c", "k", "stride", "pad"), "upconv": ("c", "k", "stride", "pad"), "fc": ("c",), "bn": ()}
_NAMED = {
    "out_channels": "c", "filters": "c", "num_output": "c", "units": "c", "out_features": "c",
    "kernel_size": "k", "kernel": "k", "pool_size": "k", "strides": "stride", "stride": "stride",
    "padding": "pad", "pads": "pad", "pad": "pad", "dilation": "dilation", "dilations": "dilation",
    "dilation_rate": "dilation", "group": "groups", "groups": "groups", "bias": "bias", "use_bias": "bias",
    "bias_term": "bias", "eps": "eps", "epsilon": "eps", "p": "p", "rate": "p", "negative_slope": "slope",
    "count_include_pad": "count_pad",
}  # fmt: skip
_KNOWN = frozenset({"in_channels", "in_features", "num_features", "inplace", "input_shape", "input_dim"})
_FIELDS = {
    "conv": ("c", "k", "stride", "pad", "dilation", "groups", "bias"),
    "upconv": ("c", "k", "stride", "pad", "dilation", "groups", "bias"),
    "fc": ("c", "bias"),
    "bn": ("eps",),
    "maxpool": ("k", "stride", "pad", "dilation"),
    "avgpool": ("k", "stride", "pad", "count_pad"),
    "dropout": ("p",),
    "leaky_relu": ("slope",),
}
_NEEDS = {"conv": ("c", "k"), "upconv": ("c", "k"), "fc": ("c",), "maxpool": ("k",), "avgpool": ("k",)}
_POSITIONAL = frozenset({"c", "p", "slope"})
_WORDS = {"True": "true", "False": "false"}
_PLAIN = frozenset(
    (
        *("relu", "relu6", "sigmoid", "tanh", "softmax", "log_softmax", "gelu", "silu", "elu"),
        *("hardswish", "hardsigmoid", "flatten", "gap", "gmp", "concat", "add"),
    )
)


def translated(name: str, arguments: Sequence[tuple[str | None, str]]) -> str:
    """A library's call in netc, `conv(64, k=3)` for `Conv2d(3, 64, 3)`; "" where that is not certain.

    `arguments` are their names, None for those without, and texts.
    """
    kind = LAYERS.get(name.lower(), name.lower())
    if kind in _PLAIN:
        return kind if all(named in _KNOWN or _usual(named, text) for named, text in arguments) else ""
    if kind not in _FIELDS:
        return ""
    keras = name.endswith(("2D", "1D", "3D", "2DTranspose", "Normalization")) or name == "Dense"
    order = _KERAS.get(kind, _FIRST[kind]) if keras else _FIRST[kind]
    given: dict[str, str] = {}
    after = ""
    for i, (named, text) in enumerate(arguments):
        field = _NAMED.get(named) if named is not None else order[i] if i < len(order) else None
        if field == "" or named in _KNOWN:
            continue
        if named == "activation" and (said := re.fullmatch(r"[\"'](\w+)[\"']", text)):
            after = f" -> {said[1]}"
            continue
        value = _value(text, field or "")
        if field is None or field not in _FIELDS[kind] or value is None or field in given:
            return ""
        given[field] = value
    if any(need not in given for need in _NEEDS.get(kind, ())):
        return ""
    if given.get("pad") == "same":
        stride = given.get("stride", given["k"] if kind in ("maxpool", "avgpool") else "1")
        half = stride == "1" and given["k"].isdigit() and kind != "upconv"
        if not half and kind != "conv":
            return ""  # with a stride more lies at the end, for which the others have no word
        given["pad"] = "half" if half else "same_upper"
    if keras and kind == "avgpool" and given.get("pad", "0") != "0":
        given["count_pad"] = "false"
    first = next(iter(_FIELDS[kind]))
    shown = [v if f == first and f in _POSITIONAL else f"{f}={v}" for f in _FIELDS[kind] if (v := given.get(f))]
    return f"{kind}({', '.join(shown)}){after}" if shown else f"{kind}{after}"


def _usual(named: str | None, text: str) -> bool:
    """Whether an argument says what netc's layer does anyway: over the channels, from the first side, to one place."""
    # torch's second dimension is that of the channels, and Keras's last.
    return text == "-1" if named == "axis" else re.fullmatch(r"1|\(1, *1\)", text) is not None


def _value(text: str, field: str) -> str | None:
    """An argument's text in netc; None where it has none that is certain."""
    text = text.strip()
    if re.fullmatch(r"[\w.]+", text) and text not in _WORDS and text != "None":
        return text
    if re.fullmatch(r"\(\s*\w+(\s*,\s*\w+)+\s*\)", text):
        items = [item.strip() for item in text[1:-1].split(",")]
        return items[0] if len(set(items)) == 1 else f"[{', '.join(items)}]"
    if field == "pad" and text[1:-1] == "same":
        return "same"
    if field == "pad" and text[1:-1] == "valid":
        return "0"
    return _WORDS.get(text)


def arguments(text: str, start: int) -> list[tuple[str | None, str]] | None:
    """The arguments of a call whose parenthesis opens at `start`, as texts; None where it does not close."""
    depth, begin = 0, start + 1
    found: list[str] = []
    for at in range(start, min(len(text), start + 500)):
        char = text[at]
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        if depth == 0 or (depth == 1 and char == ","):
            found.append(text[begin:at])
            begin = at + 1
        if depth == 0:
            return [_argument(each) for each in found if each.strip()]
    return None


def _argument(text: str) -> tuple[str | None, str]:
    named = re.fullmatch(r"\s*(\w+)\s*=(?!=)\s*(.*?)\s*", text, re.DOTALL)
    return (named[1], named[2]) if named else (None, text.strip())
