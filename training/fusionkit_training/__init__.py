"""How the weights that fusionkit ships were trained, and what any such training needs.

``plan`` says how much of it there is, ``photographs`` what is learned from, ``rounds`` stops and
resumes, ``state`` is saved whole or not at all. ``compact`` and ``learned`` are a training each.
"""
