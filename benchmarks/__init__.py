"""What cgd costs and what it survives, measured: `python -m benchmarks.NAME --json`, ratios within one run."""
