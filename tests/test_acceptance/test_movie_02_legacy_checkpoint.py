import pytest
import torch

from motionlab.apis import init_model, load_pretrained
from tests.test_apis.movie_files import FLUX, PlainMovie, make_checkpoint, make_flux, make_inputs, make_references
from tests.test_tools import load_tool


@pytest.mark.parametrize('rank', [0, 4], ids=['stage 3', 'stages 1 and 2'])
@torch.no_grad()
def test_movie_02_legacy_checkpoint(tmp_path, capsys, rank):
    """Legacy mode reproduces a converted upstream checkpoint (velocity within 2e-5); converter round-trips and lists
    dropped keys."""
    pytest.importorskip('diffusers')
    pytest.importorskip('peft')
    flux = make_flux(seed=rank)
    weights = make_checkpoint(flux, rank)
    (tmp_path / 'checkpoint_70000').mkdir()
    torch.save(weights, tmp_path / 'checkpoint_70000' / 'model.pt')
    flux.save_pretrained(tmp_path / 'flux')
    inputs, refs = make_inputs(), make_references()
    expected = PlainMovie(flux, weights)(inputs, refs, (6, 8))
    for given in (tmp_path / 'flux', FLUX):
        net = load_pretrained('movie', tmp_path / 'checkpoint_70000', flux=given)
        torch.testing.assert_close(net(**inputs, refs=refs), expected, atol=2e-5, rtol=0)
    ours = tmp_path / 'ours.pth'
    load_tool('model_converters/convert.py').main(
        ['movie', str(tmp_path / 'checkpoint_70000'), str(ours), '--flux', str(tmp_path / 'flux'), '--check-base'])
    base = [key for key in weights if key.startswith('flux_transformer.') and '.lora_' not in key]
    report = capsys.readouterr().out
    assert f'matched: {len(weights) - len(base) - 2} (' in report
    assert f'dropped: {len(base) + 2} (layout_head.proj.' in report
    assert 'missing: 0\n' in report
    (tmp_path / 'ours.py').write_text(torch.load(ours, weights_only=True)['meta']['cfg'])
    torch.testing.assert_close(init_model(tmp_path / 'ours.py', ours)(**inputs, refs=refs), expected, atol=2e-5, rtol=0)
