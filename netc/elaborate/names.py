"""Did you mean? The nearest of the names that would have worked."""

from collections.abc import Iterable

# What other frameworks call it -> what it is here.
_FOREIGN = {
    "conv2d": "conv", "conv1d": "conv", "conv3d": "conv", "convolution": "conv", "convolutional": "conv",
    "convtranspose2d": "upconv", "conv2dtranspose": "upconv", "deconv": "upconv", "deconvolution": "upconv",
    "linear": "fc", "dense": "fc", "innerproduct": "fc", "connected": "fc", "gemm": "fc",
    "batchnorm": "bn", "batchnorm2d": "bn", "batchnormalization": "bn", "batch_norm": "bn",
    "maxpool2d": "maxpool", "maxpooling2d": "maxpool", "max_pool": "maxpool", "pooling": "maxpool",
    "avgpool2d": "avgpool", "averagepooling2d": "avgpool", "avg_pool": "avgpool", "averagepool": "avgpool",
    "globalaveragepooling2d": "gap", "adaptiveavgpool2d": "gap", "globalaveragepool": "gap", "global_avg_pool": "gap",
    "localresponsenorm": "lrn", "concatenate": "concat", "cat": "concat", "identity": "id", "eltwise": "add",
}  # fmt: skip


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?`, or nothing where no known name is near."""
    from difflib import get_close_matches

    everything = list(known)
    foreign = _FOREIGN.get(name.lower())
    if foreign is not None and foreign in everything:
        return f"netc calls it `{foreign}`"
    names = [n for n in everything if abs(len(n) - len(name)) <= 8 and len(n) < 100]
    if len(names) > 2000:  # a search among a million paths would take longer than the check
        names = [n for n in names if n[:1] == name[:1]][:2000]
    lowered = {n.lower(): n for n in names}
    if name.lower() in lowered:
        return f"did you mean `{lowered[name.lower()]}`?"
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""
