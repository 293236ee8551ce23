"""From records to training rows."""
