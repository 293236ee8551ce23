"""The report: reads the summary and the store, computes nothing of its own."""
