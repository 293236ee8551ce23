"""`python -m cgd.cli`, as launchers of several processes call it."""

from cgd.cli import main

main()
