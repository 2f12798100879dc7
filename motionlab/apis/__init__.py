"""What a user imports."""

from motionlab.apis.pretrained import init_model, load_pretrained

__all__ = ['init_model', 'load_pretrained']
