"""Loading plugins, composing them, fusing scenes, and the records of it."""
