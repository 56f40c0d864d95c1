"""Benchmarks of fusionkit: ``fusionkit bench quality``, ``fusionkit bench speed``, and studies.

``truth`` makes scenes with a known answer; ``quality`` and ``speed`` are a subcommand each;
``studies`` are scripts that remake one page's tables each.
"""
