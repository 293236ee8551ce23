"""The report's figures, split by subject, each with the numbers that it is drawn from."""
