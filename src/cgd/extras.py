"""Packages that only some commands need: what is missing is said with the command that installs it."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from cgd.errors import UserError


def require_packages(extra: str, purpose: str, *modules: str) -> None:
    """Make sure that modules of an extra can be imported; none is.

    Args:
        extra: what installs them, an optional dependency of `cgd`.
        purpose: what needs them, the subject of the sentence.
        modules: top-level names.

    Raises:
        UserError: some are not there.
    """
    missing = [name for name in modules if not (sys.modules.get(name) or find_spec(name))]
    if missing:
        packages = "the package" if len(missing) == 1 else "the packages"
        raise UserError(f"{purpose} needs {packages} {', '.join(missing)}: pip install 'cgd[{extra}]'")
