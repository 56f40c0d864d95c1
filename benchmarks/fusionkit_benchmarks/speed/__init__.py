"""Where the time of a fusion goes: ``fusionkit bench speed``."""
