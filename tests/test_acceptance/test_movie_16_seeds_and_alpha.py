import torch

from motionlab.codecs import layout_batch as keys
from motionlab.models.layout_sampling import LayoutOptions, generate_images
from tests.layout_models import make_batch, make_model

SIDE = 32  # px


def test_movie_16_seeds_and_alpha():
    """Same seed same image; batch == singles; alpha override 0/1 switches paths."""
    model, counts = make_model(3), [3, 0, 1, 2]
    batch = make_batch(4)
    batch[keys.REF_MASK] = torch.arange(3) < torch.tensor(counts)[:, None]

    def generate(rows=slice(None), override=None, seeds=(5, 6, 7, 8), **options):
        own = {key: value[rows] for key, value in batch.items()}
        if override is not None:
            own[keys.ALPHA_OVERRIDE] = torch.full(own[keys.REF_MASK].shape, override)
        return generate_images(model, own, own[keys.TEXT], own[keys.POOLED], SIDE, SIDE, LayoutOptions(**options),
                               list(seeds[rows]))

    together, again = generate(), generate()
    assert torch.equal(together.images, again.images) and torch.equal(together.latents, again.latents)
    assert (generate(seeds=(6, 7, 8, 9)).latents - together.latents).abs().amax((1, 2, 3)).min() > 0.1
    for row, count in enumerate(counts):
        single = generate(slice(row, row + 1))
        torch.testing.assert_close(single.latents[0], together.latents[row], rtol=0, atol=1e-4)
        narrow = {key: value[row:row + 1, :max(count, 1)] for key, value in batch.items() if key in keys.REFERENCE_KEYS}
        alone = generate_images(model, narrow, batch[keys.TEXT][row:row + 1], batch[keys.POOLED][row:row + 1], SIDE,
                                SIDE, seeds=[5 + row])
        torch.testing.assert_close(alone.latents[0], together.latents[row], rtol=0, atol=1e-4)

    # Alpha 1 leaves the layout path without weight, alpha 0 modulation, and the other path alone stays.
    paths = ('layout_scale', 'modulation_scale')
    for override, (unused, used) in ((1.0, paths), (0.0, paths[::-1])):
        routed = generate(override=override)
        assert (routed.alpha[batch[keys.REF_MASK]] == override).all()
        torch.testing.assert_close(generate(override=override, **{unused: 0.0}).latents, routed.latents, rtol=0,
                                   atol=1e-5)
        changed = (generate(override=override, **{used: 0.0}).latents - routed.latents).abs().amax((1, 2, 3))
        assert changed[1] < 1e-5 and changed[[0, 2, 3]].min() > 1e-3
    assert torch.equal(generate(override=float('nan')).latents, together.latents)
