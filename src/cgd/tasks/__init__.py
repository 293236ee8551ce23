"""Sources of prompts, one file each: load, format, grade."""
