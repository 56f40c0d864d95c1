"""The quality benchmark: every table of docs/quality.md, remade by one command.

``scenes`` makes what is fused and ``published`` finds it; ``methods``, ``recipes`` and
``denoised`` fuse it, ``parts`` with one part of a recipe replaced; ``views`` measure what comes
out, ``store`` keeps it; ``runner`` goes through it all, ``parallel`` in several processes;
``tables`` says which tables there are, and ``report`` writes them.
"""
