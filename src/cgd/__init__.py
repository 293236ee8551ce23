"""Critique-guided distillation (arXiv 2505.11628)."""
