"""Measuring fused images: metrics over scenes and methods, statistics, tables."""
