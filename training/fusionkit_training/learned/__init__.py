"""The training of ``learned``, the weighting by a small network: docs/learned.md."""
