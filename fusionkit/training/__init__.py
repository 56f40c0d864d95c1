"""For plugins that train a network of their own: what such a training has to do anyway.

A plan over several rounds, each of which may be stopped by a signal and resumed; a state that is
saved whole or not at all; a log; photographs to learn from. What is learned, and from which
loss, is the plugin's: :mod:`fusionkit_learned.train` and :mod:`fusionkit_diffusion.train` are
examples, of weights for sources and of a diffusion prior.
"""

from .plan import Plan, Progress, add_arguments, chosen_plan, find_photographs, split
from .rounds import CHECKPOINT, LOG, Log, Round, Trainer, stop_requested, training_speed
from .state import by_part, check_same, follow, generator_for, training_state

__all__ = [
    "CHECKPOINT",
    "LOG",
    "Log",
    "Plan",
    "Progress",
    "Round",
    "Trainer",
    "add_arguments",
    "by_part",
    "check_same",
    "chosen_plan",
    "find_photographs",
    "follow",
    "generator_for",
    "split",
    "stop_requested",
    "training_speed",
    "training_state",
]
