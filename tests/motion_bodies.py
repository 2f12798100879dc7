"""Joints of made-up bodies."""

import numpy as np

# (22, 3) a person who stands with the arms out, faces +z, left side at +x.
STANDING = np.array([
    [0, 0.95, 0], [0.08, 0.88, 0], [-0.08, 0.88, 0], [0, 1.05, 0], [0.1, 0.48, 0], [-0.1, 0.48, 0], [0, 1.18, 0],
    [0.1, 0.08, 0], [-0.1, 0.08, 0], [0, 1.25, 0], [0.1, 0.02, 0.12], [-0.1, 0.02, 0.12], [0, 1.45, 0],
    [0.06, 1.38, 0], [-0.06, 1.38, 0], [0, 1.6, 0], [0.17, 1.4, 0], [-0.17, 1.4, 0], [0.43, 1.4, 0], [-0.43, 1.4, 0],
    [0.68, 1.4, 0], [-0.68, 1.4, 0]])


def standing_motion(frames: int) -> np.ndarray:
    """(T, 22, 3) metres, y up."""
    return np.tile(STANDING, (frames, 1, 1))
