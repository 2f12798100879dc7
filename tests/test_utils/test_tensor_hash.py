"""A checksum that changes with names, values and types."""

import torch

from motionlab.utils.tensor_hash import tensors_hash


def test_names_values_types_and_header_count():
    weight = torch.arange(6.0).reshape(2, 3)
    found = [tensors_hash([('a', weight)]), tensors_hash([('b', weight)]), tensors_hash([('a', weight + 1)]),
             tensors_hash([('a', weight.bfloat16())]), tensors_hash([('a', weight)], 'head'),
             tensors_hash([('a', torch.tensor(1))]), tensors_hash([])]
    assert len(set(found)) == len(found) and all(len(each) == 16 for each in found)


def test_how_it_lies_in_memory_does_not_count():
    weight = torch.arange(6.0).reshape(2, 3)
    assert tensors_hash([('a', weight.T.contiguous().T)]) == tensors_hash([('a', weight.requires_grad_())])
