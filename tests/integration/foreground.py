"""The command line as a terminal starts it: `python -m tests.integration.foreground run recipe.toml ...`.

A process that a script puts into the background is born with SIGINT ignored; this one heeds it.
"""

from __future__ import annotations

import signal
import sys

from cgd import cli

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[0] = "cgd"
    cli.main()
