"""Sources degraded by known operators: what restores them, and what that does for a fusion.

``scenes`` crops clean pairs and degrades their first source; ``classical`` and ``priors`` restore
it; ``measure`` compares with what is clean, and ``report`` writes the tables.
"""
