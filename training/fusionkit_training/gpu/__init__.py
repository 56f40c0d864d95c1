"""What a lent GPU is for: checks against the CPU, timings, and short trainings (docs/training.md).

Each stage is a process of its own, so that none takes another with it, and writes what it finds as
it goes. Nothing need be installed: plugins are those of the checkout.
"""
