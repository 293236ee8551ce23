"""Fine-tuning: which tokens carry loss, and the trainer."""
