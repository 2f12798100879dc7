"""2D keypoints made wrong the way detectors are wrong, with the confidences that go with it.

Sizes, relative to the person: s = sqrt(0.53 box area) is COCO's object scale, sigma_j its per-keypoint constant.

- jitter: 0.27 sigma_j s on each axis for visible joints, i.e. about 5 px for a person of 430 px. On Human3.6M a
  fine-tuned CPN is off by 5.4 px and an HRNet by 4.4 px on average (Li et al., CVPR 2020, Table of the released code).
  70 % of its variance drifts with a time constant of half a second, 30 % is new in every frame: detectors on video
  show both long-lasting offsets and shaking (Zeng et al., SmoothNet, ECCV 2022; shares are our estimate);
- occlusion: 2.5 times the jitter and Student-t tails with 3 degrees of freedom (visible: 10);
- left-right swaps ("inversion"), misses: classes of Ronchi & Perona (ICCV 2017). PoseFix (Moon et al., CVPR 2019)
  models their frequencies on COCO as: inversion 3 % for arms, 6 % for legs; misses 2 to 10 % when most of a person is
  seen, 10 to 25 % otherwise. COCO is harder than one person in a studio: occluded limbs get these rates (misses 10 %),
  visible ones a third (misses 0.5 %). A miss lands where COCO's similarity of the keypoint is between 0.5 and 0.1;
- confidence: falls with the error and with occlusion, and has noise of its own, so that it ranks errors imperfectly.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from motionlab.body import H36M_17
from motionlab.datasets.simulation.temporal_noise import correlated_normal, lasting_events

# COCO's constants in Human3.6M order; means of two joints have 1 / sqrt 2 of theirs, the head is taken as an ear.
SIGMAS = np.array([0.076, 0.107, 0.087, 0.089, 0.107, 0.087, 0.089, 0.060, 0.056, 0.026, 0.035, 0.079, 0.072, 0.062,
                   0.079, 0.072, 0.062])
_ARMS, _LEGS = (11, 12, 13, 14, 15, 16), (1, 2, 3, 4, 5, 6)
_AREA_OF_BOX = 0.53
_TYPICAL_JITTER = 0.27
_QUANTILES = np.linspace(-4.5, 4.5, 181)  # Of the normal that is turned into Student-t scales.


@dataclass(frozen=True)
class DetectionConfig:
    """Which errors a simulated detector makes; ``False`` or 0 switches one off.

    Args:
        jitter: Deviation per axis of visible joints, in sigma_j s.
        occlusion: Larger, heavy-tailed errors (and lower confidence) of occluded joints.
        swap: Left-right swaps of arms and legs.
        miss: Joints that are lost: far off, low confidence, invalid.
        confidence: Confidence that depends on the error; without it every confidence is 1.
    """

    jitter: float = _TYPICAL_JITTER
    occlusion: bool = True
    swap: bool = True
    miss: bool = True
    confidence: bool = True


@dataclass(frozen=True)
class Detections:
    """Simulated detector output: keypoints (F, 17, 2) px, confidence (F, 17) in [0, 1], valid (F, 17) bool."""

    keypoints_px: np.ndarray
    confidence: np.ndarray
    valid: np.ndarray


def person_scale(keypoints_px: np.ndarray) -> np.ndarray:
    """(F,) COCO's object scale in pixels, from the box of (F, 17, 2) joints."""
    box = np.ptp(keypoints_px, axis=1)
    return np.sqrt(_AREA_OF_BOX * np.maximum(box, 1).prod(-1))


def simulate_detections(rng: np.random.Generator, keypoints_px: np.ndarray, occluded: np.ndarray,
                        outside: np.ndarray, fps: float, config: DetectionConfig | None = None) -> Detections:
    """What a detector would report for one clip in one camera.

    Args:
        rng: Source; the draws do not depend on which effects are on.
        keypoints_px: (F, 17, 2) true joints, Human3.6M order.
        occluded: (F, 17) bool, hidden by the body.
        outside: (F, 17) bool, outside the image: never valid, whatever is switched on.
        fps: Frames per second, for time constants.
        config: Effects; None for all.

    Returns:
        :class:`Detections`; with everything off the true joints with confidence 1.
    """
    config = DetectionConfig() if config is None else config
    frames = len(keypoints_px)
    unit = SIGMAS * person_scale(keypoints_px)[:, None]  # (F, 17) px
    hidden = (occluded | outside) & config.occlusion

    drift = correlated_normal(rng, (frames, 17, 2), 0.5 * fps)
    shake = rng.standard_normal((frames, 17, 2))
    tails = correlated_normal(rng, (frames, 17), 0.5 * fps)
    spread = np.where(hidden, 2.5 * _student_scale(tails, 3), _student_scale(tails, 10))
    error = config.jitter * (unit * spread)[..., None] * (np.sqrt(0.7) * drift + np.sqrt(0.3) * shake)

    detected = keypoints_px + _limit(error, 2 * 2.15 * unit)
    swapped = _swaps(rng, occluded, fps) & config.swap
    partner = list(H36M_17.flip_indices)
    detected = np.where(swapped[..., None], detected[:, partner], detected)

    lost = lasting_events(rng, np.where(occluded, 0.10, 0.005), 0.1 * fps) & config.miss
    direction = correlated_normal(rng, (frames, 17, 2), 0.3 * fps)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    # Similarity exp(-d^2 / (2 (2 sigma s)^2)) between 0.5 and 0.1.
    distance = 2 * unit * rng.uniform(np.sqrt(2 * np.log(2)), np.sqrt(2 * np.log(10)), (frames, 17))
    detected = np.where(lost[..., None], keypoints_px + distance[..., None] * direction, detected)

    logit_noise = correlated_normal(rng, (frames, 17), 0.2 * fps)
    confidence = np.ones((frames, 17))
    if config.confidence:
        off = np.linalg.norm(detected - keypoints_px, axis=-1) / (_TYPICAL_JITTER * unit)
        # A swapped joint sits on its partner: the detector sees a good joint, only of the wrong side.
        off = np.where(swapped & ~lost, 2.0, np.minimum(off, 6.0))
        logit = 3.2 - 0.5 * off - 1.3 * hidden - 1.5 * lost + 0.8 * logit_noise
        confidence = 1 / (1 + np.exp(-logit))
    return Detections(detected.astype(np.float32), confidence.astype(np.float32), ~(lost | outside))


def _student_scale(normal: np.ndarray, freedom: int) -> np.ndarray:
    """Scales sqrt(nu / chi^2_nu) that make a normal a Student-t, from (correlated) standard normals."""
    table = np.sqrt(freedom / stats.chi2.ppf(stats.norm.sf(_QUANTILES), freedom))
    return np.interp(normal, _QUANTILES, table)


def _swaps(rng: np.random.Generator, occluded: np.ndarray, fps: float) -> np.ndarray:
    """(F, 17) bool: arms or legs whose sides are exchanged, for a few frames at a time."""
    swapped = np.zeros(occluded.shape, bool)
    for limbs, rate in ((_ARMS, 0.03), (_LEGS, 0.06)):
        chance = np.where(occluded[:, limbs].any(1), rate, rate / 3)
        swapped[:, limbs] = lasting_events(rng, chance, 0.1 * fps)[:, None]
    return swapped


def _limit(error: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Shorten (F, 17, 2) errors to (F, 17) at most: beyond that a detector would have missed."""
    length = np.maximum(np.linalg.norm(error, axis=-1), 1e-9)
    return error * np.minimum(1, limit / length)[..., None]
