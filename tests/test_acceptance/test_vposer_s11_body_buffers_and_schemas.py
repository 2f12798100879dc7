import torch

from motionlab.apis import load_pretrained
from tests.test_apis.small_prior_run import run_tool
from tests.test_apis.vposer_files import body_buffers, logged, published_state, write_lightning
from tests.test_tools import load_tool


def test_vposer_s11_body_buffers_and_schemas(tmp_path, shared_dir, monkeypatch):
    """unexpected/missing bm_train.* keys, non-persistent buffers, outdated schema, upgrade tool -> converter handles
    all; training checkpoints of ours contain no body data."""
    state = published_state()
    torch.save(state, tmp_path / 'raw.pt')
    raw = load_pretrained('vposer', tmp_path / 'raw.pt').state_dict()
    some = dict(list(body_buffers().items())[:5]) | {'bm_train.lmk_faces_idx': torch.ones(3)}
    for schema in ('old', 'upgraded'):
        for name, body in (('all', body_buffers()), ('some', some), ('none', {})):
            file = write_lightning(tmp_path / f'{schema}-{name}.ckpt', {**state}, schema, body=body)
            with logged() as lines:
                load_tool('model_converters/convert.py').main(['vposer', str(file), str(tmp_path / 'out.pth')])
            ignored = f'; ignored {len(body)} bm_train.*' if body else ''
            assert any(f'26/26 tensors from {file} (Lightning v2 key style{ignored})' in line for line in lines)
            ours = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
            assert ours.keys() == raw.keys() and all(torch.equal(ours[key], raw[key]) for key in raw)

    run_tool('train.py', monkeypatch, tmp_path, shared_dir / 'reference/vposer/bodies/smplx/SMPLX_NEUTRAL.npz')
    for name in ('epoch_1.pth', 'best_model.pth'):
        checkpoint = torch.load(tmp_path / 'run' / name, weights_only=True)
        state = checkpoint['state_dict']
        assert len(state) == 26
        assert all(key.startswith(('backbone.encoder_net.', 'backbone.decoder_net.')) for key in state)
        weights = sum(value.numel() for value in state.values())
        # Adam keeps two numbers a weight; nothing else of size is in the file.
        assert (tmp_path / 'run' / name).stat().st_size < 3 * 4 * weights + 100_000
        assert 'SMPLX_NEUTRAL' in checkpoint['meta']['body']                   # its name only
