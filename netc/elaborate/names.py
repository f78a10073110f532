"""Did you mean? The nearest of the names that would have worked."""

from collections.abc import Iterable

from netc.syntax.foreign import LAYERS, SAID

_WORDS = {
    "same": (
        "same_upper",
        "its words are half (an odd kernel's: the size stays at stride 1), same_upper (TensorFlow's), same_lower",
    ),
    "valid": ("half", "its words are half, same_upper and same_lower; leave it out for no padding"),
}
# Arguments of other libraries that no layer takes.
_ARGUMENTS = {
    "inplace": "leave it out: what the compiled net reuses is not the text's affair",
    "activation": "an activation is a stage of its own: -> relu",
    "act": "an activation is a stage of its own: -> relu",
    "name": "a label names a layer: conv1: conv(...)",
    "in_channels": "leave it out: what enters is known",
    "in_features": "leave it out: what enters is known",
    "num_features": "leave it out: what enters is known",
    "input_shape": "leave it out: `input` declares the shape",
    "axis": "leave it out: channels are meant",
    "dim": "leave it out: channels are meant",
    "start_dim": "leave it out: the batch stays, all else is one row",
    "data_format": "leave it out: the axes are N, C, H, W",
    "dtype": "leave it out: precision is chosen at export",
    "device": "leave it out: where a net runs is not the text's affair",
    "trainable": "leave it out: `train` sections say what is trained",
    "kernel_initializer": "write init=kaiming, or another of init's words",
}


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?`, or nothing where no known name is near."""
    from difflib import get_close_matches

    everything = list(known)
    foreign = LAYERS.get(name.lower())
    if foreign is not None and foreign in everything and name not in everything:
        return f"netc calls it `{foreign}`"
    word, said = _WORDS.get(name, ("", ""))
    if word and word in everything:
        return said
    names = [n for n in everything if abs(len(n) - len(name)) <= 8 and len(n) < 100]
    if len(names) > 2000:  # a search among a million paths would take longer than the check
        names = [n for n in names if n[:1] == name[:1]][:2000]
    lowered = {n.lower(): n for n in names}
    if name.lower() in lowered:
        return f"did you mean `{lowered[name.lower()]}`?"
    if name.lower() in SAID and "conv" in everything:
        return SAID[name.lower()]
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def elsewhere(argument: str) -> str:
    """What to do about an argument that other libraries' layers take, "" for any other."""
    return _ARGUMENTS.get(argument, "")
