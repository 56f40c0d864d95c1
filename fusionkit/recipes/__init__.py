"""Settings, recipes, and how they are laid over one another."""
