import pytest
import torch

from motionlab.apis import load_pretrained, widen_inputs
from tests.test_apis.test_poseformer_source import _HEADS, _auglift
from tests.test_apis.test_pretrained import _published

_TCN_CASES = ('sym_333_xy', 'causal_333_xy', 'sym_333_xycd', 'sb_111_xycd_remove_root', 'sym_353_xy')


@pytest.fixture
def reference(shared_dir):
    return lambda name: torch.load(shared_dir / 'reference/auglift' / name, weights_only=True)


def _to_mmpose(key: str) -> str:
    """VideoPose3D's name -> mmpose's, by the table of the two."""
    if key.startswith('shrink.'):
        return key.replace('shrink.', 'head.conv.')
    layer, rest = key.split('.', 1)
    kind = 'conv' if layer.endswith('conv') else 'bn'
    if layer.startswith('expand'):
        return f'backbone.expand_conv.{kind}.{rest}'
    number, rest = rest.split('.', 1)
    return f'backbone.tcn_blocks.{int(number) // 2}.conv{int(number) % 2 + 1}.0.{kind}.{rest}'


@torch.no_grad()
def test_auglift_01_published_weights(reference, tmp_path):
    """Converted AugLift and original PoseFormer, VideoPose3D and mmpose TCN weights reproduce upstream outputs: max abs
    diff <= 1e-5 (fp32), strided = dilated, XY -> XYCD widening exact."""
    def agree(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)

    original = reference('poseformer_original_f9.pt')
    path = _published(tmp_path / 'poseformer.bin', {f'module.{k}': v for k, v in original['state_dict'].items()})
    poseformer = load_pretrained('poseformer', path, num_heads=original['config']['num_heads'])
    agree(poseformer(original['input']), original['out'][:, 0])

    # No output of the published AugLift model is on record: its specification, out of PyTorch's own layers, stands in.
    auglift = _auglift(4, img_proj=24, depth_proj=8)
    torch.save({'state_dict': auglift.state_dict()}, tmp_path / 'auglift.pth')
    inputs = torch.randn(3, 5, 17, 4 + 24 + 8)
    agree(load_pretrained('auglift-poseformer', tmp_path / 'auglift.pth', num_heads=_HEADS)(inputs), auglift(inputs))

    for name in _TCN_CASES:
        case = reference('tcn_videopose3d.pt')[name]
        weights, window = case['state_dict_videopose3d'], case['input'][:, :case['config']['receptive_field']]
        torch.save({'state_dict': {_to_mmpose(key): value for key, value in weights.items()}}, tmp_path / 'mmpose.pth')
        paths = {'videopose3d': _published(tmp_path / 'tcn.bin', weights), 'mmpose-tcn': tmp_path / 'mmpose.pth'}
        for source, path in paths.items():
            tcn = load_pretrained(source, path, causal=case['config']['causal'])
            agree(tcn(case['input']), case['out'])                       # dilated
            agree(tcn(window), case['out_single_frame_strided'])         # strided
            agree(tcn(window), tcn(case['input'])[:, :1])

    lifters = {'pool': (poseformer, original['input'])}
    case = reference('tcn_videopose3d.pt')['sym_333_xy']
    lifters['tcn'] = (load_pretrained('videopose3d', _published(tmp_path / 'xy.bin', case['state_dict_videopose3d'])),
                      case['input'])
    for narrow, inputs in lifters.values():
        backbone = _config_of(narrow)
        wide = widen_inputs(narrow, backbone).model
        agree(wide(torch.cat([inputs, torch.randn_like(inputs)], dim=-1)), narrow(inputs), tolerance=1e-6)


def _config_of(lifter: torch.nn.Module) -> dict:
    """The lifter's own config with confidence and depth."""
    net = lifter.backbone
    if net.pools_window:
        backbone = dict(type='PoseFormer', norm=net.norm, num_frames=net.receptive_field,
                        embed_dim=net.out_channels // 17, spatial_depth=len(net.spatial),
                        temporal_depth=len(net.temporal), num_heads=net.spatial[0].attention.num_heads)
    else:
        kernels = [net.expand.conv.kernel_size[0], *(block.kernel_size for block in net.blocks)]
        backbone = dict(type='TCN', channels=net.out_channels, kernel_sizes=kernels, causal=net.causal)
    return dict(type='PoseLifter', codec=dict(type='ImagePoseLifting', num_input_channels=4), backbone=backbone,
                head=dict(type='PoseRegressionHead', norm=net.pools_window and net.norm == 'pre'))
