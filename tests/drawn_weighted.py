"""Random configurations of layers that learn or that read a second value's sides: a part of tests.drawn."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.one_layer import Case

DRAWN: dict[str, st.SearchStrategy[Case]] = {}
