"""The protocol's names of element types, and ours."""

import numpy as np

NAMES = {
    "bool": "BOOL",
    **{f"u{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"i{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"f{bits}": f"FP{bits}" for bits in (16, 32, 64)},
}
OF_NUMPY = {
    np.dtype(np.bool_): "BOOL",
    **{np.dtype(f"u{size}"): f"UINT{8 * size}" for size in (1, 2, 4, 8)},
    **{np.dtype(f"i{size}"): f"INT{8 * size}" for size in (1, 2, 4, 8)},
    **{np.dtype(f"f{size}"): f"FP{8 * size}" for size in (2, 4, 8)},
}
