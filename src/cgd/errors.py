"""Every error this package raises on purpose.

CgdError
├── UserError     the user can mend it: the message says what was got, what is allowed, how to go on (exit code 2)
└── StoppedError  the run stopped early but kept everything; the same command continues it (exit code 3)

Any other exception that reaches the command line is a bug and keeps its traceback (exit code 1).
"""

from __future__ import annotations


class CgdError(Exception):
    """Root of the tree; the command line prints its message without a traceback."""

    exit_code = 1


class UserError(CgdError, ValueError):
    """Something in the recipe, the data or the environment that the user can mend."""

    exit_code = 2


class StoppedError(CgdError, RuntimeError):
    """A run that stopped before its end with everything done so far stored."""

    exit_code = 3
