"""Depth ranges (UADD6, UADD10), scale normalisation and the AugLift paper's rule."""

import numpy as np
import pytest
import torch

from motionlab.codecs.image_pose_lifting import ImagePoseLifting
from motionlab.utils import DataError

WIDTH, HEIGHT = 800.0, 600.0


def _batch(samples: int = 2, frames: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)

    def draw(*width: int) -> torch.Tensor:
        return torch.rand(samples, frames, 17, *width, generator=rng)
    depth = 4 + draw()
    return dict(keypoints_px=100 + 400 * draw(2), confidence=draw(), depth_m=depth, depth_min_m=depth - 0.5 * draw(),
                depth_max_m=depth + 1.5 * draw(), depth_min_px=100 + 400 * draw(2), depth_max_px=100 + 400 * draw(2),
                image_size_px=torch.tensor([[WIDTH, HEIGHT]]).repeat(samples, 1))


def _channel(codec: ImagePoseLifting, batch: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return codec.encode(batch)['inputs'][..., codec.channels.index(name)]


def test_same_as_the_paper(shared_dir):
    data = np.load(shared_dir / 'reference/auglift/uadd_paper_reference.npz', allow_pickle=False)
    height, width = data['depth_map'].shape
    batch = {key: torch.from_numpy(data[name])[:, None].float() for key, name in (
        ('keypoints_px', 'h36m_xy'), ('confidence', 'score'), ('depth_m', 'median'), ('depth_min_m', 'dmin'),
        ('depth_max_m', 'dmax'))}
    batch['image_size_px'] = torch.tensor([[float(width), float(height)]]).repeat(len(data['box']), 1)
    codec = ImagePoseLifting(depth_stats='range', depth_clip=float(data['clip_m']), scale_norm='box')
    codec.fit([batch])
    np.testing.assert_allclose(codec.statistics.mean_box * width / 2, data['box'].mean(), rtol=1e-6)
    codec.statistics.mean_box.fill_(2 * float(data['mean_box']) / width)
    inputs = codec.encode(batch)['inputs'][:, 0].numpy().astype(np.float64)                # (4, 17, 6)
    np.testing.assert_allclose(inputs[..., 2], data['conf_pm1'], atol=1e-6)
    np.testing.assert_allclose(inputs[..., 3:], data['root_rel_clipped_med_min_max'], atol=1e-6)
    pixels = (inputs[..., :2] + [1, height / width]) * width / 2
    np.testing.assert_allclose(pixels, data['xy_rescaled'], atol=1e-6 * width)


@pytest.mark.parametrize('preset', ['poseformer', 'tcn'])
@pytest.mark.parametrize('depth_stats', ['range', 'spatial'])
def test_presets_of_depth_ranges(preset, depth_stats):
    batch = _batch()
    codec = ImagePoseLifting(depth_stats=depth_stats, preset=preset)
    found = dict(zip(codec.channels, codec.encode(batch)['inputs'].unbind(-1)))
    depth, confidence = batch['depth_m'], batch['confidence']
    expected = dict(
        x=2 * batch['keypoints_px'][..., 0] / WIDTH - 1, y=2 * batch['keypoints_px'][..., 1] / WIDTH - HEIGHT / WIDTH,
        c=2 * confidence - 1 if preset == 'poseformer' else confidence, d=depth - depth.amin(-1, keepdim=True),
        dmin=(batch['depth_min_m'] - depth).clamp(-1, 1), dmax=(batch['depth_max_m'] - depth).clamp(-1, 1))
    for name in ('dmin', 'dmax') if depth_stats == 'spatial' else ():
        x, y = batch[f'depth_{name[1:]}_px'].unbind(-1)
        expected |= {f'x_{name}': 2 * x / WIDTH - 1, f'y_{name}': 2 * y / HEIGHT - HEIGHT / WIDTH}  # The defect.
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, atol=1e-6, rtol=0)


@pytest.mark.parametrize('depth_ref', ['root', 'min'])
def test_default_rule_of_depth_ranges(depth_ref):
    batch = _batch()
    codec = ImagePoseLifting(depth_stats='spatial', depth_ref=depth_ref, depth_clip=0.4)
    depth = batch['depth_m']
    reference = depth[..., :1] if depth_ref == 'root' else depth.amin(-1, keepdim=True)
    for name, key in (('d', 'depth_m'), ('dmin', 'depth_min_m'), ('dmax', 'depth_max_m')):
        torch.testing.assert_close(_channel(codec, batch, name), (batch[key] - reference).clamp(-0.4, 0.4))
    x, y = batch['depth_max_px'].unbind(-1)
    torch.testing.assert_close(_channel(codec, batch, 'x_dmax'), 2 * x / WIDTH - 1)
    torch.testing.assert_close(_channel(codec, batch, 'y_dmax'), 2 * y / WIDTH - HEIGHT / WIDTH)


@pytest.mark.parametrize('kwargs', [{}, dict(preset='poseformer'), dict(scale_norm='root_depth')])
@pytest.mark.parametrize('bad', [0.0, -1.0, torch.nan, torch.inf])
def test_an_unknown_range_is_neutral_and_touches_nothing_else(kwargs, bad):
    batch = _batch()
    codec = ImagePoseLifting(depth_stats='spatial', **kwargs)
    expected = codec.encode(batch)['inputs'].clone()
    batch['depth_min_m'][0, 1, 4] = bad
    if not np.isfinite(bad):
        batch['depth_min_px'][0, 1, 4] = bad
    expected[0, 1, 4, 4:7] = 0
    torch.testing.assert_close(codec.encode(batch)['inputs'], expected, atol=0, rtol=0)
    batch['depth_max_px'][1, 0, 2, 0] = torch.nan                          # nobody knows where: nobody knows at all
    expected[1, 0, 2, 7:] = 0
    torch.testing.assert_close(codec.encode(batch)['inputs'], expected, atol=0, rtol=0)


@pytest.mark.parametrize('kwargs', [{}, dict(preset='tcn')])
def test_ranges_without_anything_to_be_relative_to(kwargs):
    batch = _batch()
    batch['depth_m'][0, 0] = 0
    batch['keypoints_px'][1, 1, 3] = torch.nan
    inputs = ImagePoseLifting(depth_stats='spatial', **kwargs).encode(batch)['inputs']
    assert (inputs[0, 0, :, 3:] == 0).all()
    assert (inputs[1, 1, 3, 3:] == 0).all()
    assert inputs.isfinite().all()


@pytest.mark.parametrize(('flags', 'key'), [
    (dict(depth_stats='range'), 'depth_min_m'), (dict(depth_stats='spatial'), 'depth_max_px'),
    (dict(scale_norm='root_depth'), 'depth_m')])
def test_a_missing_key_is_named(flags, key):
    batch = _batch()
    del batch[key]
    with pytest.raises(DataError, match=key):
        ImagePoseLifting(**flags).encode(batch)


def test_root_depth_scales_about_the_image_centre():
    batch = _batch()
    batch['depth_m'][0, 0, 0] = 9.0
    batch['depth_m'][1, 2] = 0                                             # nothing known: as it is
    plain, scaled = ImagePoseLifting(), ImagePoseLifting(scale_norm='root_depth')
    before, after = plain.encode(batch)['inputs'], scaled.encode(batch)['inputs']
    torch.testing.assert_close(after[0, 0], 2 * before[0, 0])
    torch.testing.assert_close(after[1, 2], before[1, 2])
    assert not scaled.needs_fit


def test_boxes_become_the_mean_box_and_move_with_nothing_but_valid_joints():
    codec, batch = ImagePoseLifting(depth_stats='spatial', scale_norm='box'), _batch(samples=5)
    batch['keypoints_valid'] = torch.ones(5, 3, 17, dtype=torch.bool)
    batch['keypoints_valid'][0, 1, 3:] = False
    batch['keypoints_px'][0, 1, 3:] = 1e6
    codec.fit([batch])
    inputs = codec.encode(batch)['inputs']
    plain = ImagePoseLifting(depth_stats='spatial').encode(batch)['inputs']
    seen = plain[0, 1, :3, :2]
    extent = (inputs.amax(2) - inputs.amin(2))[..., :2].mean(-1)                            # (5, 3)
    torch.testing.assert_close(extent[1:], codec.statistics.mean_box.expand(4, 3))
    factor = codec.statistics.mean_box / (seen.amax(0) - seen.amin(0)).mean()
    torch.testing.assert_close(inputs[0, 1, :3, :2], (seen - seen.mean(0)) * factor + seen.mean(0))
    assert (inputs[0, 1, 3:, :2] == 0).all()
    # What lies beside a joint in the image lies beside it afterwards.
    batch['depth_min_px'] = batch['keypoints_px'].clone()
    inputs = codec.encode(batch)['inputs']
    torch.testing.assert_close(inputs[..., 5:7], inputs[..., :2])
    batch['keypoints_px'][2, 0] = 100.0                                    # a point has no box
    assert codec.encode(batch)['inputs'].isfinite().all()
