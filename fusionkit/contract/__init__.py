"""What plugins are written against: protocols, bases, options, component records, hook specs."""
