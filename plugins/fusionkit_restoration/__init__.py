"""First-party plugin: sources as they were measured, restored by the prior and by one another."""
