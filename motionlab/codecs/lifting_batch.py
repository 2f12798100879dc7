"""The batch of the pose-lifting family: every key, its shape and unit, in one place.

B samples, F input frames, M target frames, K joints (17, Human3.6M order). Image x points right, y down; camera axes
are x right, y down, z forward.
"""

from torch import Tensor

from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.utils import DataError

KEYPOINTS_PX = 'keypoints_px'          # (B, F, K, 2) float32, image x and y in pixels
CONFIDENCE = 'confidence'              # (B, F, K) float32, detector confidence, clipped to [0, 1]
DEPTH_M = 'depth_m'                    # (B, F, K) float32, monocular depth at the joint in metres
KEYPOINTS_VALID = 'keypoints_valid'    # (B, F, K) bool, False where the detector gave nothing; unknown depth is 0
IMAGE_SIZE_PX = 'image_size_px'        # (B, 2) float32, width and height
DEPTH_MIN_M = 'depth_min_m'            # (B, F, K) float32, nearest depth around the joint (UADD6, UADD10); 0 if unknown
DEPTH_MAX_M = 'depth_max_m'            # (B, F, K) float32, farthest depth around the joint; 0 if unknown
DEPTH_MIN_PX = 'depth_min_px'          # (B, F, K, 2) float32, where in the image the nearest depth lies (UADD10)
DEPTH_MAX_PX = 'depth_max_px'          # (B, F, K, 2) float32, where the farthest lies
IMAGE_FEATURES = 'image_features'      # (B, F, K, Ci) float16 or float32, 2D detector's feature at the joint
DEPTH_FEATURES = 'depth_features'      # (B, F, K, Cd) float16 or float32, depth network's feature at the joint
TARGET_M = 'target_m'                  # (B, M, K, 3) float32, absolute joints in camera axes, metres
TARGET_VISIBLE = 'target_visible'      # (B, M, K) bool, joints that count in losses and metrics
TARGET_PX = 'target_px'                # (B, M, K, 2) float32, true joints in the image; only where a metric needs it
CLIP_INDEX = 'clip_index'              # (B,) int64, which clip (subject, action, camera) of the dataset
FRAME_INDEX = 'frame_index'            # (B, M) int64, position of the target frames within their clip

# Predictions carry SAMPLE_INDEX, CLIP_INDEX, FRAME_INDEX, TARGET_M, TARGET_VISIBLE, TARGET_PX through, and add:
PRED_M = 'pred_m'                      # (B, M, K, 3) float32, root-relative joints in camera axes, metres
TARGET_CONFIDENCE = 'target_confidence'  # (B, M, K) float32, CONFIDENCE of the target frames, 0 without a detection

_SHAPES = {
    KEYPOINTS_PX: 'BFK2', CONFIDENCE: 'BFK', DEPTH_M: 'BFK', KEYPOINTS_VALID: 'BFK', IMAGE_SIZE_PX: 'B2',
    DEPTH_MIN_M: 'BFK', DEPTH_MAX_M: 'BFK', DEPTH_MIN_PX: 'BFK2', DEPTH_MAX_PX: 'BFK2', IMAGE_FEATURES: 'BFKI',
    DEPTH_FEATURES: 'BFKD', TARGET_PX: 'BMK2', TARGET_M: 'BMK3', TARGET_VISIBLE: 'BMK', SAMPLE_INDEX: 'B',
    CLIP_INDEX: 'B', FRAME_INDEX: 'BM',
}


def check_lifting_batch(batch: dict[str, Tensor], source: str = 'batch') -> None:
    """Raise :class:`DataError` naming the first key that is unknown or has a wrong shape.

    Letters bind at their first use, so every tensor must agree on B, F, M and K.
    """
    bound: dict[str, int] = {}
    for key, value in batch.items():
        if key not in _SHAPES:
            raise DataError(source, key, 'an unknown key', f'one of {sorted(_SHAPES)}')
        letters = _SHAPES[key]
        sizes = tuple(int(c) if c.isdigit() else bound.get(c, -1) for c in letters)
        found = tuple(value.shape)
        if len(found) != len(sizes) or any(want not in (-1, got) for want, got in zip(sizes, found)):
            expected = tuple(c if size == -1 else size for c, size in zip(letters, sizes))
            raise DataError(source, key, f'shape {found}', f'shape {expected} ({letters})')
        bound.update({c: size for c, size in zip(letters, found) if not c.isdigit()})


def middle_frames(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inputs of the middle frame of every window: (B, F, ...) -> (B, 1, ...). Targets are left out."""
    return {key: value[:, value.shape[1] // 2][:, None] if _SHAPES[key].startswith('BF') else value
            for key, value in batch.items() if not _SHAPES[key].startswith('BM')}
