"""What a record teaches, one file each: pure record → (context messages, target)."""
