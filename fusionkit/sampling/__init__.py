"""Levels, runs, the sampling loop, and the evaluation of priors."""
