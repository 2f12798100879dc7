"""Folders as FLUX, CLIP and DINO come in, with tiny random networks of the real classes."""

from pathlib import Path

import torch

WORDS = ('red', 'circle', 'blue', 'square', 'a')


def write_autoencoder(folder: Path, **changes: object) -> Path:
    """``vae`` of a FLUX model: 16 channels, a factor of 8."""
    from diffusers import AutoencoderKL
    torch.manual_seed(0)
    options = dict(down_block_types=('DownEncoderBlock2D',) * 4, up_block_types=('UpDecoderBlock2D',) * 4,
                   block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=16, norm_num_groups=4,
                   scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False)
    AutoencoderKL(**(options | changes)).save_pretrained(folder / 'vae')
    return folder


def write_reference_encoders(folder: Path, size: int = 28) -> tuple[Path, Path]:
    """CLIP (with both encoders, as published; 12 channels) and DINOv2 (20 channels)."""
    from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model
    torch.manual_seed(1)
    small = dict(num_hidden_layers=2, num_attention_heads=2)
    clip = CLIPConfig(projection_dim=12, vision_config=dict(projection_dim=12, hidden_size=16,
                                                            intermediate_size=24, image_size=size,
                                                            patch_size=14, **small),
                      text_config=dict(projection_dim=12, hidden_size=16, intermediate_size=24,
                                       vocab_size=20, **small))
    CLIPModel(clip).save_pretrained(folder / 'clip')
    Dinov2Model(Dinov2Config(hidden_size=20, image_size=size, patch_size=14, **small)).save_pretrained(folder / 'dino')
    return folder / 'clip', folder / 'dino'


def write_text_encoders(folder: Path) -> tuple[Path, Path]:
    """``text_encoder`` (CLIP, 16 channels), ``text_encoder_2`` (T5, 24 channels), and tokenizers of words."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel
    torch.manual_seed(2)
    ends = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    size = len(WORDS) + 4
    clip = CLIPTextConfig(vocab_size=size, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
                          num_attention_heads=2, **ends)
    CLIPTextModel(clip).save_pretrained(folder / 'text_encoder')
    T5EncoderModel(T5Config(vocab_size=size, d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
                   ).save_pretrained(folder / 'text_encoder_2')
    for name in ('tokenizer', 'tokenizer_2'):
        _word_tokenizer().save_pretrained(folder / name)
    return folder / 'text_encoder', folder / 'text_encoder_2'


def _word_tokenizer() -> object:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    names = ('<pad>', '<s>', '</s>', '<unk>', *WORDS)
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token='<unk>'))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single='<s> $A </s>',
                                                             special_tokens=[('<s>', 1), ('</s>', 2)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token='<pad>', bos_token='<s>', eos_token='</s>',
                                   unk_token='<unk>')
