"""Distances of two vectors, written from their formulas."""

import math


def cosine(v, w):
    """None for a zero vector, which has no angle."""
    norms = math.hypot(*v), math.hypot(*w)
    if 0 in norms:
        return None
    return (1 - sum(a * b for a, b in zip(v, w, strict=True)) / math.prod(norms)) / 2


def jensen_shannon(v, w):
    pairs = [(a, b) for v, w in ((v, w), (w, v)) for a, b in zip(v, w, strict=True)]
    return sum(a * math.log(2 * a / (a + b)) for a, b in pairs if a) / 2
