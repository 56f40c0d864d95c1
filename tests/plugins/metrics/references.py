"""Slow references in numpy and scipy, from the definitions: window by window, pixel by pixel.

Each takes a fused image and a list of sources, (H, W) float64, 0-255.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate, sobel
from scipy.signal import convolve2d

Image = NDArray[np.float64]


def gaussian2d(size: int, sigma: float) -> Image:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    window = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return window / window.sum()


def windows(size: int, *images: Image) -> Iterator[list[Image]]:
    height, width = images[0].shape[:2]
    for y in range(height - size + 1):
        for x in range(width - size + 1):
            yield [image[y : y + size, x : x + size] for image in images]


def clean(derivative: Image) -> Image:
    return np.where(abs(derivative) < 1e-6, 0, derivative)


def qabf(fused: Image, sources: list[Image], wrapped: bool = False) -> float:
    def edges(image: Image) -> tuple[Image, Image]:
        x = clean(sobel(image, 1, mode="constant"))
        up = clean(-sobel(image, 0, mode="constant"))
        with np.errstate(all="ignore"):
            return np.hypot(x, up), np.where(x == 0, math.pi / 2, np.arctan(up / x))

    g_f, a_f = edges(fused)
    top = bottom = 0.0
    for source in sources:
        g, a = edges(source)
        for gs, gf, d in zip(g.flat, g_f.flat, abs(a - a_f).flat, strict=True):
            G = 1.0 if gs == gf else min(gs, gf) / max(gs, gf)
            A = abs(d - math.pi / 2) * 2 / math.pi if wrapped else 1 - d / (math.pi / 2)
            Q = 0.9994 / (1 + math.exp(-15 * (G - 0.5))) * 0.9879 / (1 + math.exp(-22 * (A - 0.8)))
            top, bottom = top + Q * gs, bottom + gs
    return top / bottom


def nabf(fused: Image, sources: list[Image]) -> float:
    def edges(image: Image) -> tuple[Image, Image]:
        x = clean(sobel(image, 1, mode="mirror") / 8)
        up = clean(-sobel(image, 0, mode="mirror") / 8)
        with np.errstate(all="ignore"):
            return np.hypot(x, up), np.where(x == 0, math.pi / 2, np.arctan(up / x))

    g_f, a_f = edges(fused)
    pairs = [edges(source) for source in sources]
    top = bottom = 0.0
    for index in np.ndindex(fused.shape):
        added = g_f[index] > max(g[index] for g, _ in pairs)
        for g, a in pairs:
            low, high = sorted((g[index], g_f[index]))
            G = low / high if low > 0 else 0.0
            A = abs(abs(a[index] - a_f[index]) - math.pi / 2) * 2 / math.pi
            Q = 0.9999 / (1 + math.exp(-19 * (G - 0.5))) * 0.9995 / (1 + math.exp(-22 * (A - 0.5)))
            w = g[index] ** 1.5 if g[index] >= 2 else 0.001
            top += added * (1 - math.sqrt(Q)) * w
            bottom += w
    return top / bottom


def vif(fused: Image, sources: list[Image]) -> float:
    total = 0.0
    for source in sources:
        top = bottom = 0.0
        s, f = source, fused
        for scale in range(1, 5):
            size = 2 ** (5 - scale) + 1
            w = gaussian2d(size, size / 5)
            if scale > 1:
                s, f = (convolve2d(image, w, "valid")[::2, ::2] for image in (s, f))
            m_s, m_f = convolve2d(s, w, "valid"), convolve2d(f, w, "valid")
            v_s = convolve2d(s * s, w, "valid") - m_s**2
            v_f = convolve2d(f * f, w, "valid") - m_f**2
            c = convolve2d(s * f, w, "valid") - m_s * m_f
            for ss, ff, sf in zip(v_s.flat, v_f.flat, c.flat, strict=True):
                flat_s, flat_f = ss < 1e-10, ff < 1e-10
                g = 0.0 if flat_s or flat_f else sf / (ss + 1e-10)
                v = ff if flat_s else ff - g * sf
                if g < 0:
                    g, v = 0.0, ff
                v = 0.0 if flat_f else v
                ss = 0.0 if flat_s else ss
                top += math.log10(1 + g * g * ss / (max(v, 1e-10) + 2))
                bottom += math.log10(1 + ss / 2)
        total += top / bottom
    return total


def mef_ssim(fused: Image, sources: list[Image]) -> float:
    weights = np.array([0.0448, 0.2856, 0.3001])
    product = 1.0
    for scale, beta in enumerate(weights / weights.sum()):
        if scale:
            fused, *sources = (halve(image) for image in (fused, *sources))
        product *= mef_scale(fused, sources) ** beta
    return product


def halve(image: Image) -> Image:
    image = np.pad(image, [(0, n % 2) for n in image.shape], "edge")
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


def mef_scale(fused: Image, sources: list[Image]) -> float:
    w, C, qualities = gaussian2d(11, 1.5), (0.03 * 255) ** 2, []
    for f, *patches in windows(11, fused, *sources):
        centred = [p - p.mean() for p in patches]
        lengths = [float(np.linalg.norm(c)) for c in centred]
        R = (np.linalg.norm(sum(centred)) + 1e-12) / (sum(lengths) + 1e-12)
        power = min(math.tan(math.pi / 2 * min(R, 1 - 1e-9)), 10)
        shares = [((n + 0.001) / 11) ** power for n in lengths]
        r = sum(
            s / sum(shares) * c / (n + 0.001)
            for s, c, n in zip(shares, centred, lengths, strict=True)
        )
        norm = np.linalg.norm(r)
        r = r / norm * (max(lengths) + 0.001) if norm > 1e-6 and max(lengths) > 0.001 else r * 0
        m_r, m_f = (w * r).sum(), (w * f).sum()
        v_r, v_f = (w * (r - m_r) ** 2).sum(), (w * (f - m_f) ** 2).sum()
        c_rf = (w * (r - m_r) * (f - m_f)).sum()
        qualities.append((2 * c_rf + C) / (v_r + v_f + C))
    return float(np.mean(qualities))


def q0(x: Image, y: Image, w: Image) -> float:
    """Wang and Bovik's index of two windows, 0 / 0 being 1."""
    m_x, m_y = (w * x).sum(), (w * y).sum()
    v_x, v_y = (w * (x - m_x) ** 2).sum(), (w * (y - m_y) ** 2).sum()
    c = (w * (x - m_x) * (y - m_y)).sum()
    luminance = 2 * m_x * m_y / (m_x**2 + m_y**2) if m_x**2 + m_y**2 > 1e-8 else 1.0
    return float(luminance * (2 * c / (v_x + v_y) if v_x + v_y > 1e-8 else 1.0))


def shares_of(patches: list[Image], w: Image) -> tuple[list[float], list[float]]:
    variances = [float((w * (p - (w * p).sum()) ** 2).sum()) for p in patches]
    total = sum(variances)
    n = len(patches)
    return variances, [v / total for v in variances] if total > 1e-8 else [1 / n] * n


def qy(fused: Image, sources: list[Image]) -> float:
    w, values = gaussian2d(7, 1.5), []
    for f, a, b in windows(7, fused, *sources):
        with_a, with_b = q0(a, f, w), q0(b, f, w)
        _, (share, _) = shares_of([a, b], w)
        mixed = share * with_a + (1 - share) * with_b
        values.append(mixed if q0(a, b, w) >= 0.75 else max(with_a, with_b))
    return float(np.mean(values))


def qw(fused: Image, sources: list[Image]) -> float:
    w, top, bottom = np.full((8, 8), 1 / 64), 0.0, 0.0
    for f, *patches in windows(8, fused, *sources):
        variances, shares = shares_of(patches, w)
        quality = sum(s * q0(p, f, w) for s, p in zip(shares, patches, strict=True))
        top, bottom = top + max(variances) * quality, bottom + max(variances)
    return top / bottom


def qe(fused: Image, sources: list[Image]) -> float:
    kernel = np.array([[-1.0, 0, 1]] * 3)

    def edges(image: Image) -> Image:
        x = correlate(image, kernel, mode="nearest")
        return np.hypot(x, correlate(image, kernel.T, mode="nearest"))

    return qw(fused, sources) * qw(edges(fused), [edges(s) for s in sources])


def spectrum(image: Image, degrees: float) -> tuple[NDArray[np.complex128], Image]:
    """The centred spectrum of an image, and cycles per degree."""
    height, width = image.shape
    y = (np.arange(height) - height // 2)[:, None] / degrees
    x = (np.arange(width) - width // 2)[None] / degrees
    return np.fft.fftshift(np.fft.fft2(image)), np.sqrt(x**2 + y**2)


def qcv(fused: Image, sources: list[Image]) -> float:
    top = bottom = 0.0
    height, width = fused.shape
    for source in sources:
        transformed, r = spectrum(source - fused, 4)
        transformed = transformed * 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))
        seen = np.fft.ifft2(np.fft.ifftshift(transformed)).real
        g = np.hypot(sobel(source, 0, mode="nearest"), sobel(source, 1, mode="nearest"))
        for y in range(0, height, 16):
            for x in range(0, width, 16):
                block = np.s_[y : y + 16, x : x + 16]
                saliency = (g[block] ** 5).sum()
                top += saliency * (seen[block] ** 2).sum() / 256
                bottom += saliency
    return top / bottom


def qcb(fused: Image, sources: list[Image]) -> float:
    y, x = np.mgrid[-15:16, -15:16]

    def contrast(image: Image) -> Image:
        transformed, r = spectrum(image, 15)
        transformed = transformed * (
            np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))
        )
        seen = np.fft.ifft2(np.fft.ifftshift(transformed)).real
        blurred = [
            convolve2d(seen, np.exp(-(x**2 + y**2) / (2 * s * s)) / (2 * np.pi * s * s), "same")
            for s in (2, 4)
        ]
        c = abs(blurred[0] / blurred[1] - 1)
        return c**3 / (c**2 + 1e-4) + 1e-12

    f, a, b = (contrast(image) for image in (fused, *sources))
    share = a**2 / (a**2 + b**2)
    kept = [np.minimum(s, f) / np.maximum(s, f) for s in (a, b)]
    return float((share * kept[0] + (1 - share) * kept[1]).mean())


def fmi(fused: Image, sources: list[Image]) -> float:
    values = []
    for f, *patches in windows(3, fused, *sources):
        values += [fmi_window(p.T.ravel(), f.T.ravel()) for p in patches]
    return float(np.mean(values))


def fmi_window(a: Image, f: Image) -> float:
    if np.allclose(a, f, rtol=0, atol=1e-6):
        return 1.0
    p, q = ((v - v.min() if np.ptp(v) > 1e-6 else np.ones(9)) for v in (a, f))
    p, q = p / p.sum(), q / q.sum()
    P, Q, places = np.cumsum(p), np.cumsum(q), np.arange(9)
    c = np.corrcoef(p, q)[0, 1] if np.ptp(p) > 1e-12 and np.ptp(q) > 1e-12 else 0.0

    def bound(i: int, j: int) -> float:
        if i < 0 or j < 0:
            return 0.0
        return min(P[i], Q[j]) if c >= 0 else max(P[i] + Q[j] - 1, 0)

    b = np.array(
        [
            [bound(i, j) - bound(i - 1, j) - bound(i, j - 1) + bound(i - 1, j - 1) for j in places]
            for i in places
        ]
    )
    # The covariance under b, from b itself.
    covariance = places @ b @ places - (places @ p) * (places @ q)
    spread = math.sqrt(
        max(places**2 @ p - (places @ p) ** 2, 0) * max(places**2 @ q - (places @ q) ** 2, 0)
    )
    phi = min(max(c * spread / covariance, 0), 1) if spread > 1e-9 else 0.0
    joint = phi * b + (1 - phi) * np.outer(p, q)

    def entropy(values: Image) -> float:
        positive = values[values > 0]
        return float(-(positive * np.log2(positive)).sum())

    total = entropy(p) + entropy(q)
    return 2 * (total - entropy(joint)) / total if total > 1e-6 else 0.0
