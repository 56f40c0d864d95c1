"""Photographs moved by known motions."""

import numpy as np
from fusionkit_alignment.motion import grid, moved, turned
from scipy.ndimage import map_coordinates
from skimage import color, data

SIZE = (208, 240)


def photograph(name):
    """A photograph, values from 0 to 1."""
    image = getattr(data, name)()
    grey = color.rgb2gray(image) if image.ndim == 3 else image / 255
    return grey.astype(np.float32)


def seen(photo, matrix, size=SIZE):
    """What lies in the middle of a photograph, as a camera that has moved so sees it."""
    x, y = moved(np.linalg.inv(matrix), grid(size, size))
    height, width = photo.shape
    places = [y + (height - 1) / 2, x + (width - 1) / 2]
    return map_coordinates(photo.astype(float), places, order=3, mode="nearest").clip(0, 1)


def motion(seed, shift=40, degrees=3, growth=0.03):
    """A similarity of at most so much."""
    random = np.random.default_rng(seed)
    turn, scale = np.radians(random.uniform(-degrees, degrees)), random.uniform(-growth, growth)
    matrix = turned(turn, 1 + scale)
    angle, far = random.uniform(0, 2 * np.pi), shift * np.sqrt(random.uniform())
    matrix[:2, 2] = far * np.cos(angle), far * np.sin(angle)
    return matrix


def error(matrix, truth, size=SIZE):
    """The median distance in pixels over a grid of points."""
    points = np.meshgrid(*(np.linspace(-side / 2, side / 2, 9) for side in reversed(size)))
    (ax, ay), (bx, by) = moved(matrix, points), moved(truth, points)
    return float(np.median(np.hypot(ax - bx, ay - by)))


def eight_bit(image, noise=0.0, seed=0):
    """As a camera of 8 bits stores it, noise of 255."""
    random = np.random.default_rng(seed)
    return np.clip(np.rint(image * 255 + noise * random.standard_normal(image.shape)), 0, 255) / 255
