import pytest
import torch
from mmengine.optim import OptimWrapper

from motionlab.codecs.lifting_batch import check_lifting_batch
from motionlab.registry import BACKBONES, LOSSES, MODELS
from motionlab.utils import ConfigError, DataError
from motionlab.utils.random import seed_iteration


def _config(**overrides) -> dict:
    config = dict(type='PoseLifter', data_preprocessor=dict(type='BatchPreprocessor'),
                  codec=dict(type='ImagePoseLifting', num_input_channels=4),
                  backbone=dict(type='TCN', channels=16, kernel_sizes=(3, 3)),
                  head=dict(type='PoseRegressionHead', loss=dict(type='MPJPELoss')))
    for key, value in overrides.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    return config


def _lifter(**overrides) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build(_config(**overrides))


_POSEFORMER = dict(type='PoseFormer', num_frames=9, embed_dim=8, spatial_depth=1, temporal_depth=2)


def _with_backbone(backbone: dict, **overrides) -> torch.nn.Module:
    """A lifter with this backbone; TCN where it names none."""
    if 'type' not in backbone:
        return _lifter(backbone=backbone, **overrides)
    torch.manual_seed(0)
    return MODELS.build({**_config(**overrides), 'backbone': backbone})


def _batch(samples: int = 4, frames: int = 9, targets: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    batch = dict(
        keypoints_px=1000 * torch.rand(samples, frames, 17, 2, generator=rng),
        confidence=torch.rand(samples, frames, 17, generator=rng),
        depth_m=4 + torch.rand(samples, frames, 17, generator=rng),
        keypoints_valid=torch.rand(samples, frames, 17, generator=rng) > 0.05,
        image_size_px=torch.tensor([[1000.0, 1002.0]]).repeat(samples, 1),
        target_m=0.3 * torch.randn(samples, targets, 17, 3, generator=rng) + torch.tensor([0, 0, 5.0]),
        target_visible=torch.rand(samples, targets, 17, generator=rng) > 0.05,
        sample_index=torch.arange(samples), clip_index=torch.zeros(samples, dtype=torch.long),
        frame_index=torch.arange(samples * targets).view(samples, targets))
    check_lifting_batch(batch)
    return batch


@BACKBONES.register_module(force=True)
class _MirrorSymmetric(torch.nn.Module):
    """Returns the middle frame's x of every joint, which a mirrored input turns into its mirrored answer."""

    out_channels, receptive_field, causal, pools_window = 17, 9, False, False

    def __init__(self, in_channels: int):
        super().__init__()
        self.in_channels = in_channels

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.unfold(1, 9, 1)[..., 4][..., 0]  # (B, T', K)


@pytest.mark.parametrize('channels', [2, 4])
def test_sizes_are_derived_from_the_codec(channels):
    lifter = _lifter(codec=dict(num_input_channels=channels, remove_root=True))
    assert lifter.backbone.in_channels == channels
    assert lifter.head.in_channels == 16 and lifter.head.num_joints == 16


@pytest.mark.parametrize(('overrides', 'numbers'), [
    (dict(backbone=dict(in_channels=2)), ['backbone TCN has in_channels=2', 'codec ImagePoseLifting needs 4']),
    (dict(head=dict(in_channels=24)), ['in_channels=24', 'needs 16']),
    (dict(head=dict(num_joints=16)), ['num_joints=16', 'needs 17']),
    (dict(compile=['backbnoe']), ['backbnoe']),
    (dict(flip_prob=1.5), ['flip_prob=1.5'])])
def test_parts_that_do_not_fit_are_refused_at_build(overrides, numbers):
    with pytest.raises(ConfigError) as error:
        _lifter(**overrides)
    assert all(number in str(error.value) for number in numbers)


def test_loss_trains():
    lifter, batch = _lifter(flip_prob=0.5), _batch()
    wrapper = OptimWrapper(torch.optim.Adam(lifter.parameters(), 1e-2))
    logged = [lifter.train_step(batch, wrapper) for _ in range(30)]
    assert set(logged[0]) == {'loss', 'loss_mpjpe'}
    assert logged[-1]['loss_mpjpe'] < 0.7 * logged[0]['loss_mpjpe']


def test_predict_carries_indices_and_is_root_relative_metres():
    lifter, batch = _lifter(codec=dict(remove_root=True)).eval(), _batch(frames=12, targets=4)
    predictions = lifter.val_step(batch)
    assert set(predictions) == {'sample_index', 'clip_index', 'frame_index', 'target_m', 'target_visible',
                                'target_confidence', 'pred_m'}
    assert predictions['pred_m'].shape == (4, 4, 17, 3) and (predictions['pred_m'][:, :, 0] == 0).all()
    raw = lifter(lifter.codec.encode(batch)['inputs'])
    torch.testing.assert_close(predictions['pred_m'][:, :, 1:], raw)
    without_target = {key: batch[key] for key in ('keypoints_px', 'confidence', 'depth_m', 'image_size_px')}
    assert set(lifter(without_target, mode='predict')) == {'target_confidence', 'pred_m'}


@pytest.mark.parametrize(('backbone', 'first'), [({}, 4), (dict(causal=True), 8)])
def test_predict_carries_the_confidence_and_pixels_of_the_target_frames(backbone, first):
    lifter, batch = _lifter(backbone=backbone, codec=dict(remove_root=True)).eval(), _batch(frames=12, targets=4)
    batch['target_px'] = 1000 * torch.rand(4, 4, 17, 2)
    batch['confidence'][0, first, 3] = torch.nan
    predictions = lifter.val_step(batch)
    expected = torch.where(batch['keypoints_valid'], batch['confidence'].nan_to_num(nan=0), 0)[:, first:first + 4]
    torch.testing.assert_close(predictions['target_confidence'], expected)
    torch.testing.assert_close(predictions['target_px'], batch['target_px'])


def test_masked_joints_and_missing_detections_do_not_reach_the_loss():
    lifter, batch = _lifter(backbone=dict(dropout=0.0)), _batch()
    expected = lifter(batch, mode='loss')['loss_mpjpe']
    batch['target_m'] = torch.where(batch['target_visible'][..., None], batch['target_m'],
                                    torch.where(torch.arange(17)[:, None] == 0, batch['target_m'], torch.nan))
    for key in ('confidence', 'depth_m'):
        batch[key] = torch.where(batch['keypoints_valid'], batch[key], torch.nan)
    loss = lifter(batch, mode='loss')['loss_mpjpe']
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in lifter.parameters())


def test_number_of_target_frames_is_checked():
    for mode in ('loss', 'predict'):
        with pytest.raises(DataError, match=r'3 target frames, expected 1'):
            _lifter()(_batch(targets=3), mode=mode)
    with pytest.raises(ValueError, match='mode='):
        _lifter()(_batch(), mode='test')


def test_flip_of_an_equivariant_network_is_the_flipped_answer():
    lifter = MODELS.build({**_config(), 'backbone': dict(type='_MirrorSymmetric')}).eval()
    with torch.no_grad():                                     # X of each joint = its x'; Y, Z = 0
        lifter.head.fc.weight.zero_()
        lifter.head.fc.bias.zero_()
        lifter.head.fc.weight.view(17, 3, 17)[:, 0] = torch.eye(17)
    inputs = lifter.codec.encode(_batch())['inputs']
    straight = lifter(inputs)
    torch.testing.assert_close(lifter.codec.flip_target(lifter(lifter.codec.flip_inputs(inputs))), straight)
    plain = lifter(_batch(), mode='predict')['pred_m']
    lifter.test_flip = True
    torch.testing.assert_close(lifter(_batch(), mode='predict')['pred_m'], plain)


def test_test_flip_is_the_mean_of_two_passes_and_leaves_the_input_alone():
    lifter, batch = _lifter(test_flip=True).eval(), _batch()
    before = {key: value.clone() for key, value in batch.items()}
    with torch.no_grad():
        first, second = (lifter(batch, mode='predict')['pred_m'] for _ in range(2))
        inputs = lifter.codec.encode(batch)['inputs']
        mirrored = lifter.codec.flip_target(lifter(lifter.codec.flip_inputs(inputs)))
        expected = (lifter(inputs) + mirrored) / 2
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    torch.testing.assert_close(first, expected)
    assert (mirrored - lifter(inputs)).abs().max() > 1e-3
    for key, value in before.items():
        torch.testing.assert_close(batch[key], value, atol=0, rtol=0)


def test_training_flip_mirrors_input_target_and_weight_together():
    batch = _batch(samples=64)
    seen = {}
    lifter = _lifter(flip_prob=0.5)
    lifter.backbone.register_forward_hook(lambda _m, inputs, _out: seen.update(inputs=inputs[0]))
    head_loss = lifter.head.loss
    lifter.head.loss = lambda features, target, weight, confidence: seen.update(target=target, weight=weight) or \
        head_loss(features, target, weight)
    lifter(batch, mode='loss')
    codec, encoded = lifter.codec, lifter.codec.encode(batch)
    flipped = [(seen['inputs'][i] != encoded['inputs'][i]).any().item() for i in range(64)]
    assert 16 < sum(flipped) < 48
    for i, flip in enumerate(flipped):
        for key, mirror in dict(inputs=codec.flip_inputs, target=codec.flip_target, weight=codec.flip_weight).items():
            torch.testing.assert_close(seen[key][i], mirror(encoded[key][i]) if flip else encoded[key][i])


def test_training_flip_does_not_depend_on_the_number_of_processes():
    lifter, batch = _lifter(flip_prob=0.5), _batch(samples=8)
    seen = []
    lifter.backbone.register_forward_hook(lambda _m, inputs, _out: seen.append(inputs[0]))
    for rank, world in ((0, 1), (0, 2), (1, 2)):
        seed_iteration(seed=1, rank=rank, world_size=world, iteration=5)
        lifter({key: value[rank::world] for key, value in batch.items()}, mode='loss')
    seed_iteration(seed=0, rank=0, world_size=1, iteration=0)
    torch.testing.assert_close(torch.stack(seen[1:], dim=1).flatten(0, 1), seen[0], atol=0, rtol=0)


@pytest.mark.parametrize('backbone', [dict(), _POSEFORMER], ids=['tcn', 'poseformer'])
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('frames', [1, 4, 9, 30])
def test_dense_clip_equals_windows(frames, causal, backbone):
    lifter = _with_backbone(dict(causal=causal, **backbone), test_flip=True).eval()
    clip = lifter.codec.encode(_batch(samples=2, frames=frames))['inputs']
    offsets = torch.arange(-8, 1) if causal else torch.arange(-4, 5)
    with torch.no_grad():
        dense = lifter.lift_clip(clip)
        for frame in range(frames):
            window = clip[:, (frame + offsets).clamp(0, frames - 1)]
            torch.testing.assert_close(lifter.lift_clip(window)[:, 8 if causal else 4], dense[:, frame],
                                       atol=1e-5, rtol=0)
            single = lifter._run_with_test_flip(window)
            torch.testing.assert_close(lifter.codec.decode(single)[:, 0], dense[:, frame], atol=1e-5, rtol=0)


@pytest.mark.parametrize('backbone', [dict(), _POSEFORMER], ids=['tcn', 'poseformer'])
def test_causal_answers_do_not_see_the_future(backbone):
    lifter = _with_backbone(dict(causal=True, **backbone)).eval()
    clip = lifter.codec.encode(_batch(samples=1, frames=30))['inputs']
    changed = clip.clone()
    changed[:, 20:] = torch.randn(1, 10, 17, 4)
    with torch.no_grad():
        a, b = lifter.lift_clip(clip), lifter.lift_clip(changed)
    torch.testing.assert_close(a[:, :20], b[:, :20], atol=0, rtol=0)
    assert (a[:, 20] - b[:, 20]).abs().max() > 1e-3


def test_autocast_keeps_head_and_loss_in_float32():
    lifter, batch = _lifter(backbone=dict(dropout=0.0)), _batch()
    expected = lifter(batch, mode='loss')['loss_mpjpe']
    dtypes = []
    lifter.backbone.register_forward_hook(lambda _m, _i, output: dtypes.append(output.dtype))
    with torch.autocast('cpu', torch.bfloat16):
        found = lifter(batch, mode='loss')['loss_mpjpe']
        assert lifter(batch, mode='predict')['pred_m'].dtype is torch.float32
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)


def test_compile_keeps_checkpoint_keys(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, 'compile', lambda function, *_args, **_kwargs: compiled.append(1) or function)
    lifter = _lifter(compile=['backbone'])
    assert set(lifter.state_dict()) == set(_lifter().state_dict()) and compiled == [1]


@LOSSES.register_module(force=True)
class _RecordConfidence(torch.nn.Module):
    name, needs_confidence = 'recorded', True

    def forward(self, pred: torch.Tensor, target: torch.Tensor, weight: torch.Tensor,
                confidence: torch.Tensor) -> torch.Tensor:
        self.seen = (confidence, weight)
        return pred.sum() * 0


@pytest.mark.parametrize('causal', [False, True])
def test_losses_that_need_it_get_the_confidence_of_the_target_frames(causal):
    losses = [dict(type='_RecordConfidence'), dict(type='MPJPELoss')]
    lifter = _lifter(codec=dict(remove_root=True), backbone=dict(causal=causal), head=dict(loss=losses))
    batch = _batch(frames=12, targets=4)
    batch['confidence'][0] = torch.nan
    assert set(lifter(batch, mode='loss')) == {'loss_recorded', 'loss_mpjpe'}
    confidence, weight = lifter.head.losses[0].seen
    first = 8 if causal else 4
    expected = (batch['confidence'].nan_to_num() * batch['keypoints_valid'])[:, first:first + 4, 1:]
    torch.testing.assert_close(confidence, expected)
    assert confidence.shape == weight.shape
    lifter.flip_prob = 1.0
    lifter(batch, mode='loss')
    torch.testing.assert_close(lifter.head.losses[0].seen[0], lifter.codec.flip_weight(expected))
    xy = _lifter(codec=dict(num_input_channels=2), head=dict(loss=losses))
    with pytest.raises(DataError, match='confidence'):
        xy({key: value for key, value in _batch().items() if key != 'confidence'}, mode='loss')


def test_a_pooling_backbone_answers_a_window_without_time():
    lifter = _with_backbone(_POSEFORMER).eval()
    clip = torch.randn(2, 12, 17, 4)
    assert lifter(clip[:, :9]).shape == (2, 17, 3) and lifter(clip).shape == (2, 4, 17, 3)
    torch.testing.assert_close(lifter(clip)[:, 0], lifter(clip[:, :9]))
    assert lifter(_batch(), mode='predict')['pred_m'].shape == (4, 1, 17, 3)
    assert lifter(_batch(), mode='loss')['loss_mpjpe'] > 0
