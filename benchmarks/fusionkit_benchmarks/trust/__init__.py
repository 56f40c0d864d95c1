"""``fusionkit bench trust``: which metrics of fusion rank results as the truth does.

Scenes whose answer is known are fused by the methods of ``fusionkit bench quality``, and measured
twice: against the sources alone, as where nobody knows the answer, and against the truth.
"""
