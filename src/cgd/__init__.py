"""Critique-guided distillation (arXiv 2505.11628).

The public names are `load_recipe`, `run`, `Run`, `Recipe`, `UserError` and `StoppedError`. Each is imported when it is
first used, so that `import cgd` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cgd.api import Run, load_recipe, run
    from cgd.config import Recipe
    from cgd.errors import StoppedError, UserError

__version__ = "0.1.0"
__all__ = ["Recipe", "Run", "StoppedError", "UserError", "load_recipe", "run"]

_HOMES = {
    "Run": "cgd.api",
    "load_recipe": "cgd.api",
    "run": "cgd.api",
    "Recipe": "cgd.config",
    "StoppedError": "cgd.errors",
    "UserError": "cgd.errors",
}


def __getattr__(name: str) -> Any:
    """A public name, imported from where it is defined (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cgd' has no attribute {name!r}; its public names: {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
