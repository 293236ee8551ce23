"""Draft, critique and refinement: records → requests, replies → records."""
