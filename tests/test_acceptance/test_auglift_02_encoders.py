"""The published codecs, one joint at a time in plain Python, against ours; and there and back."""

import numpy as np
import pytest
import torch

from motionlab.codecs import ImagePoseLifting

WIDTH, HEIGHT = 1000.0, 1002.0
VARIANTS = {'xy': dict(num_input_channels=2), 'xyc': dict(use_confidence=True), 'xyd': dict(use_depth=True),
            'xycd': dict(num_input_channels=4), 'uadd6': dict(num_input_channels=6),
            'uadd10': dict(num_input_channels=10)}


def _batch():
    rng = np.random.default_rng(0)
    depth = 4 + rng.uniform(0, 3, (2, 3, 17))
    raw = dict(keypoints_px=rng.uniform(0, 1000, (2, 3, 17, 2)), confidence=rng.uniform(0, 1, (2, 3, 17)),
               depth_m=depth, depth_min_m=depth - rng.uniform(0, 1.5, depth.shape),
               depth_max_m=depth + rng.uniform(0, 1.5, depth.shape), depth_min_px=rng.uniform(0, 1000, (2, 3, 17, 2)),
               depth_max_px=rng.uniform(0, 1000, (2, 3, 17, 2)), target_m=rng.normal(0, 0.5, (2, 1, 17, 3)) + [0, 0, 5])
    batch = {key: torch.from_numpy(value) for key, value in raw.items()}     # float64: 1e-6 is about the rule
    batch['image_size_px'] = torch.tensor([[WIDTH, HEIGHT]] * 2, dtype=torch.float64)
    batch['target_visible'] = torch.ones(2, 1, 17, dtype=torch.bool)
    return batch


def _published(preset, variant, joint, nearest):
    """Channels of one joint; ``joint`` maps batch keys to its numbers, ``nearest`` is min_j d of its frame."""
    x, y = joint['keypoints_px']
    c, d = joint['confidence'], joint['depth_m']
    channels = [2 * x / WIDTH - 1, 2 * y / WIDTH - HEIGHT / WIDTH]
    if variant in ('xyc', 'xycd', 'uadd6', 'uadd10'):
        channels.append(2 * c - 1 if preset == 'poseformer' else c)
    if variant in ('xyd', 'xycd'):
        channels.append(min(max(d - nearest, 0), 2) - 1 if preset == 'poseformer' else d - nearest)
    if variant.startswith('uadd'):
        channels.append(d - nearest)
        for name in ('min', 'max'):
            channels.append(min(max(joint[f'depth_{name}_m'] - d, -1), 1))
            if variant == 'uadd10':
                x, y = joint[f'depth_{name}_px']
                channels += [2 * x / WIDTH - 1, 2 * y / HEIGHT - HEIGHT / WIDTH]   # over h: theirs
    return channels


def test_auglift_02_encoders():
    """Encoders match upstream presets for XY, XYC, XYCD, UADD6, UADD10 to 1e-6; encode→decode returns the input pose
    to 1e-6."""
    batch = _batch()
    for preset in ('poseformer', 'tcn'):
        for variant, flags in VARIANTS.items():
            codec = ImagePoseLifting(preset=preset, **flags).double()
            encoded = codec.encode(batch)
            for place in np.ndindex(2, 3, 17):
                joint = {key: value[place].tolist() for key, value in batch.items() if value.shape[:3] == (2, 3, 17)}
                expected = _published(preset, variant, joint, batch['depth_m'][place[:2]].min().item())
                assert encoded['inputs'][place].tolist() == pytest.approx(expected, abs=1e-6), (preset, variant)
            decoded = codec.decode(encoded['target'], encoded['root_m'])
            torch.testing.assert_close(decoded, batch['target_m'], atol=1e-6, rtol=0)
