"""Samplers: which indices, in which order, on which rank."""

from motionlab.datasets.samplers.balanced_sampler import BalancedSampler
from motionlab.datasets.samplers.resumable_sampler import ResumableSampler
from motionlab.datasets.samplers.size_bucket_sampler import SizeBucketSampler
from motionlab.datasets.samplers.train_sampler import TrainSampler

__all__ = ['BalancedSampler', 'ResumableSampler', 'SizeBucketSampler', 'TrainSampler']
