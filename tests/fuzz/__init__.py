"""Fuzzing of the readers: ``python -m tests.fuzz``, or ``make fuzz``."""
