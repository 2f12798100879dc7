"""Layers that several networks share."""

from motionlab.models.layers.dropout import BatchDropout

__all__ = ['BatchDropout']
