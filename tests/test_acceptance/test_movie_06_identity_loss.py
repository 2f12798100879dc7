import torch

from motionlab.codecs import layout_batch as keys
from motionlab.utils.random import seed_iteration
from tests.layout_models import make_batch, make_model

MODULES = ('alpha_predictor', 'clip_proj', 'instance_fusion_mlp', 'layout_head', 'layout_attention', 'modulation_head')


def identity(model, batch):
    seed_iteration(0, 0, 1, 0)
    return model(batch, mode='loss')['loss_identity']


def test_movie_06_identity_loss():
    """Identity loss: gradient reaches LoRA/heads, is 0 for identical crop (cos 1), decreases under optimisation, does
    not push alpha."""
    model, batch = make_model(2, identity_t_max=1.0), make_batch(4)
    before = identity(model, batch)
    before.backward()
    lora = [parameter for name, parameter in model.named_parameters() if '.lora_' in name]
    assert all(parameter.grad.any() for parameter in lora)
    for module in MODULES:
        assert all(parameter.grad.any() for parameter in model.backbone.get_submodule(module).parameters()), module

    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=1e-2)
    for _ in range(15):
        optimizer.zero_grad()
        identity(model, batch).backward()
        optimizer.step()
    assert identity(model, batch) < 0.95 * before

    # The loss as a function of what is predicted, alone: no gradient goes past it into alpha.
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    latents = model.codec.encode_images(images)
    mask, boxes = batch[keys.REF_MASK], batch[keys.BOXES]
    rows = mask.nonzero()[:, 0]
    crops = model.codec.crop_boxes(model.codec.decode_latents(latents)[rows], boxes[mask])
    other = dict(batch, dino=batch[keys.DINO].clone())
    batch[keys.DINO][mask] = model.codec.encode_dino((crops + 1) / 2)
    predicted = model.codec.pack(latents).requires_grad_()
    model.head.remove_noise = lambda *_: predicted
    gradients = []
    for references, same in ((batch, True), (other, False)):
        model.zero_grad()
        predicted.grad = None
        loss = identity(model, references)
        loss.backward()
        gradients.append(predicted.grad.abs().max().item())
        assert (loss.abs() < 1e-6) == same
        assert all(parameter.grad is None for parameter in model.backbone.parameters())
    assert gradients[0] < 1e-3 * gradients[1]
