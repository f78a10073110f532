"""How the fuzzers run: in `make test` each for seconds, in `make test-long` for as long as NETC_FUZZ_SECONDS says."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("NETC_FUZZ_SECONDS", "3600"))

# Without `explain`, whose tracing takes minutes where something fails.
quick = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
chances = st.randoms(use_true_random=False)
