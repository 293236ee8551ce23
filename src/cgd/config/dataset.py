"""Which records become training rows."""

from __future__ import annotations

from typing import Literal

from cgd.config.base import Section


class DatasetConfig(Section):
    """Records that are left out of every arm; each one is listed with its reason."""

    contaminated: Literal["keep", "drop"] = "keep"
    """Records whose prompt, critique or refinement shares thirteen words in a row with a test prompt; they are counted
    in the report in either case."""
