"""OpenCV's MergeMertens as a program: ``mertens.py CONTRAST SATURATION EXPOSURE OUT IMAGE ...``.

Run by any Python that has OpenCV: it imports nothing of fusionkit.
"""

import sys

import cv2
import numpy as np


def main() -> None:
    """Fuse files of 8 bits into one."""
    *weights, output = sys.argv[1:5]
    images = [np.asarray(cv2.imread(name)) for name in sys.argv[5:]]
    fused = cv2.createMergeMertens(*map(float, weights)).process(images)
    cv2.imwrite(output, np.rint(np.clip(fused, 0, 1) * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
