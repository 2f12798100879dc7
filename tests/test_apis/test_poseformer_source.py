import json

import pytest
import torch
from torch import nn

from motionlab.apis import init_model, load_pretrained
from motionlab.apis.pretrained import convert, save_conversion
from motionlab.utils import CheckpointError, ConfigError

_WIDTH, _HEADS, _FRAMES = 16, 4, 5


class _Encoder(nn.Module):
    """A stack as AugLift's file names it, out of PyTorch's own layers; independent of the code under test."""

    def __init__(self, dim: int, depth: int, position: tuple[int, ...], inputs: int | None, blocks: dict[str, int]):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(position))
        for name, size in blocks.items():
            setattr(self, name, nn.Linear(size, 16))
        if inputs is not None:
            self.embed_in = nn.Linear(inputs, dim)
        self.blocks = nn.ModuleList(nn.ModuleDict({'core': nn.TransformerEncoderLayer(
            dim, _HEADS, 4 * dim, dropout=0.0, activation='relu', batch_first=True)}) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block['core'](x)
        return self.norm(x)


class _AugLift(nn.Module):
    """Spec: split, project, embed, mix joints, mix frames, pool over the frames, regress."""

    def __init__(self, base: int, blocks: dict[str, int], depth: int = 2):
        super().__init__()
        torch.manual_seed(0)
        self.base, self.sizes = base, blocks
        joints = 17 * _WIDTH
        self.backbone = nn.ModuleDict({
            'spatial_encoder': _Encoder(_WIDTH, depth, (1, 1, 17, _WIDTH), base + 16 * len(blocks), blocks),
            'temporal_encoder': _Encoder(joints, depth, (1, _FRAMES, 1, joints), None, {}),
            'weighted_mean': nn.Conv1d(_FRAMES, 1, 1)})
        self.head = nn.ModuleDict({'fc': nn.Linear(joints, 51)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spatial, temporal = self.backbone['spatial_encoder'], self.backbone['temporal_encoder']
        parts = [x[..., :self.base]]
        first = self.base
        for name, size in self.sizes.items():
            parts.append(getattr(spatial, name)(x[..., first:first + size]))
            first += size
        x = spatial.embed_in(torch.cat(parts, dim=-1)) + spatial.pos_embed                 # (B, F, 17, W)
        x = spatial.encode(x.flatten(0, 1)).reshape(len(x), _FRAMES, -1)                   # (B, F, 17W)
        x = temporal.encode(x + temporal.pos_embed[:, :, 0])
        return self.head['fc'](self.backbone['weighted_mean'](x)).reshape(len(x), 17, 3)


def _auglift(base: int = 4, **blocks: int) -> _AugLift:
    net = _AugLift(base, blocks)
    for name, parameter in net.named_parameters():            # PyTorch starts biases at 0 and norms at 1
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=float('norm' in name and 'weight' in name), std=0.2)
    return net.eval()


def _original(shared_dir) -> dict:
    return torch.load(shared_dir / 'reference/auglift/poseformer_original_f9.pt', weights_only=True)


@pytest.mark.parametrize('published', [True, False], ids=['published', 'bare'])
def test_the_original_answers_as_recorded(shared_dir, tmp_path, published):
    reference = _original(shared_dir)
    state = reference['state_dict']
    torch.save({'epoch': 9, 'lr': 1e-4, 'model_pos': {f'module.{key}': value for key, value in state.items()}}
               if published else state, tmp_path / 'file.bin')
    net = load_pretrained('poseformer', tmp_path / 'file.bin', num_heads=reference['config']['num_heads'])
    assert not net.training
    x = reference['input']
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference['out'][:, 0], atol=1e-5, rtol=0)
        torch.testing.assert_close(net.backbone.mix_joints(x), reference['out_spatial'], atol=1e-5, rtol=0)
        torch.testing.assert_close(net.backbone(x), reference['out_pooled'], atol=1e-5, rtol=0)
        net.test_flip = True
        mean = net.merge_mirrored(net(net.with_mirrored(x)))
        torch.testing.assert_close(mean, reference['out_flip_tta'][:, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize('blocks', [{}, dict(img_proj=24, depth_proj=8), dict(depth_proj=8), dict(img_proj=24)],
                         ids=['base', 'both', 'depth', 'image'])
@pytest.mark.parametrize('base', [2, 4, 6, 10])
def test_auglift_answers_as_the_spec_built_from_pytorch(tmp_path, base, blocks):
    reference = _auglift(base, **blocks)
    torch.save({'meta': {'epoch': 3}, 'state_dict': reference.state_dict()}, tmp_path / 'file.pth')
    net = load_pretrained('auglift-poseformer', tmp_path / 'file.pth', num_heads=_HEADS)
    x = torch.randn(3, _FRAMES, 17, base + sum(blocks.values()))
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(x), atol=1e-5, rtol=0)
    assert net.codec.in_channels == x.shape[-1] and net.codec.feature_channels == tuple(blocks.values())


@pytest.mark.parametrize(('source', 'case', 'parameters'), [
    ('auglift-poseformer', 'auglift_poseformer_xycd_f27', 14_328_399),
    ('auglift-poseformer', 'auglift_poseformer_casp6_rtm_dav2_f1', None),
    ('poseformer', 'poseformer_original_f81', 9_602_885)])
def test_every_published_key_and_shape_is_matched(shared_dir, tmp_path, source, case, parameters):
    cases = json.loads((shared_dir / 'reference/auglift/checkpoint_keys.json').read_text())
    shapes = next(value for key, value in cases.items() if key.startswith(case))
    torch.save({key: torch.zeros(shape, dtype=torch.half) for key, shape in shapes.items()}, tmp_path / 'file.pth')
    conversion = convert(source, tmp_path / 'file.pth')
    assert (len(conversion.matched), conversion.dropped, conversion.missing) == (len(shapes), [], [])
    count = sum(p.numel() for p in conversion.model.parameters())
    assert count == sum(torch.Size(shape).numel() for shape in shapes.values())
    assert parameters in (None, count)


def test_sizes_are_inferred_and_hints_say_the_rest(tmp_path):
    torch.save(_auglift(3).state_dict(), tmp_path / 'file.pth')
    net = load_pretrained('auglift-poseformer', tmp_path / 'file.pth', num_heads=2, causal=True, third_is_depth=True)
    backbone = net.backbone
    assert (backbone.receptive_field, backbone.out_channels, backbone.causal) == (_FRAMES, 17 * _WIDTH, True)
    assert [layer.attention.num_heads for layer in (*backbone.spatial, *backbone.temporal)] == [2] * 4
    assert net.codec.channels == ('x', 'y', 'd')
    eight = load_pretrained('auglift-poseformer', tmp_path / 'file.pth')
    assert eight.codec.channels == ('x', 'y', 'c') and eight.backbone.temporal[0].attention.num_heads == 8
    for heads in (3, 0):
        with pytest.raises(ConfigError, match=f'num_heads={heads}'):
            load_pretrained('auglift-poseformer', tmp_path / 'file.pth', num_heads=heads)
    torch.save({'model_pos': _auglift(3).state_dict()}, tmp_path / 'other.pth')
    assert load_pretrained('auglift-poseformer', tmp_path / 'other.pth', num_heads=2).codec.in_channels == 3


@pytest.mark.parametrize('source', ['poseformer', 'auglift-poseformer'])
@pytest.mark.parametrize(('change', 'message'), [
    (lambda state: {'other': torch.ones(2)}, 'no key matches.*other'),
    (lambda state: {key: value for key, value in state.items() if 'bias' not in key}, 'weights are missing'),
    (lambda state: state | {key: value[:3] for key, value in state.items() if key.endswith('norm.weight')},
     'shapes differ'),
    (lambda state: state | {key: value[:40] for key, value in state.items() if value.shape[:1] == (51,)},
     '40 outputs for 17 joints'),
    (lambda state: state | {key: value.repeat(1, 4)[:, :5] for key, value in state.items()
                            if key.endswith(('embed_in.weight', 'patch_to_embedding.weight'))}, '5 base channels')])
def test_files_that_do_not_fit_are_refused(shared_dir, tmp_path, source, change, message):
    state = _auglift().state_dict() if source.startswith('auglift') else _original(shared_dir)['state_dict']
    torch.save(change(dict(state)), tmp_path / 'odd.pth')
    with pytest.raises(CheckpointError, match=rf'(?s)odd\.pth.*{message}'):
        load_pretrained(source, tmp_path / 'odd.pth', num_heads=_HEADS)


def test_options_of_the_original(shared_dir, tmp_path):
    reference = _original(shared_dir)
    state, heads, x = reference['state_dict'], reference['config']['num_heads'], reference['input']

    def answer(weights):
        torch.save(weights, tmp_path / 'file.pth')
        return load_pretrained('poseformer', tmp_path / 'file.pth', num_heads=heads)(x)

    with torch.no_grad():
        silent = {key: torch.zeros_like(value) if key.endswith('qkv.bias') else value for key, value in state.items()}
        without = {key: value for key, value in state.items() if not key.endswith('qkv.bias')}
        torch.testing.assert_close(answer(without), answer(silent), atol=0, rtol=0)
        # A ratio of 1.3: both hidden layers are rounded down on their own, here to 1.28 and 1.299 times their width.
        cut = {key: value[:int(1.3 * value.shape[1])] if key.endswith('fc1.weight') else value
               for key, value in state.items()}
        hidden = {key.removesuffix('fc1.weight'): len(value) for key, value in cut.items()
                  if key.endswith('fc1.weight')}
        cut.update({f'{name}fc1.bias': state[f'{name}fc1.bias'][:size] for name, size in hidden.items()})
        cut.update({f'{name}fc2.weight': state[f'{name}fc2.weight'][:, :size] for name, size in hidden.items()})
        nulled = {key: value.clone() for key, value in state.items()}
        for name, size in hidden.items():
            nulled[f'{name}fc2.weight'][:, size:] = 0
        torch.testing.assert_close(answer(cut), answer(nulled), atol=1e-6, rtol=0)


def test_one_form_is_not_taken_for_the_other(shared_dir, tmp_path):
    torch.save(_auglift().state_dict(), tmp_path / 'post.pth')
    torch.save(_original(shared_dir)['state_dict'], tmp_path / 'pre.pth')
    for source, name in (('poseformer', 'post.pth'), ('auglift-poseformer', 'pre.pth')):
        with pytest.raises(CheckpointError, match='no key matches'):
            load_pretrained(source, tmp_path / name, num_heads=_HEADS)


def test_conversions_load_with_their_config(tmp_path):
    reference = _auglift(4, depth_proj=8)
    torch.save(reference.state_dict(), tmp_path / 'file.pth')
    conversion = convert('auglift-poseformer', tmp_path / 'file.pth', num_heads=_HEADS)
    save_conversion(conversion, tmp_path / 'ours.pth')
    net = init_model(dict(model=conversion.config), tmp_path / 'ours.pth')
    x = torch.randn(2, _FRAMES, 17, 12)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(x), atol=1e-5, rtol=0)
