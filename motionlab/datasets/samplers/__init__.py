"""Samplers: which indices, in which order, on which rank."""

from motionlab.datasets.samplers.resumable_sampler import ResumableSampler

__all__ = ['ResumableSampler']
