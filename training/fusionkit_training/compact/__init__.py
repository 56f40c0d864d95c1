"""The training of ``compact``, fusionkit's own prior: docs/training.md."""
