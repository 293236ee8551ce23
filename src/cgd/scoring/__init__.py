"""Teacher forcing: what a model holds of given texts in given contexts, token by token."""
