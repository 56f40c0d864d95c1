"""Peers: fusions that a person can install today, side by side with fusionkit's own recipes.

``installed`` knows each peer, where it is and how it is called; ``rows`` runs whole commands, a
peer's or fusionkit's, in processes of their own; ``tables`` says on which scenes, and with which
rows; ``command`` is ``fusionkit bench peers``. Results are kept and measured as those of
``fusionkit bench quality``.
"""
