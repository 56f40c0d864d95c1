"""Draw the training curve of the model card: ``python docs/curve.py LOG.csv... CURVE.png``.

Several logs are trainings of which each began with the weights of the one before.
"""

from __future__ import annotations

import csv
import sys

from matplotlib.figure import Figure


def main(*files: str) -> None:
    """Read the logs that ``fusionkit train compact`` keeps, and draw PSNR against hours."""
    *logs, picture = files
    rows: list[dict[str, float]] = []
    hours: list[float] = []
    for log in logs:
        before = hours[-1] if hours else 0.0
        with open(log, newline="", encoding="utf-8") as file:
            found = [
                {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)
            ]
        rows += found
        hours += [before + row["minutes"] / 60 for row in found]
    figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for sigma, colour in ((15, "#1b6ca8"), (25, "#2a9d5c"), (50, "#c8553d")):
        values = [row[f"psnr_{sigma}"] for row in rows]
        axes.plot(hours, values, ".-", color=colour)
        axes.annotate(
            f"sigma {sigma}: {values[-1]:.2f}",
            (hours[-1], values[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
        )
    axes.set_xlabel("hours on one CPU core")
    axes.set_ylabel("PSNR, dB (photographs held out)")
    axes.set_xlim(0, hours[-1] * 1.22)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
