"""Two processes with half a batch each must do what one process does with the whole batch."""

import os
import socket

import pytest
import torch
from torch import distributed as torch_dist
from torch import nn
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel

from motionlab.engine.sync_bn import CpuSyncBatchNorm, convert_sync_batchnorm

STEPS = 3


def make_net(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(5, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 6, 1, bias=False),
        nn.BatchNorm1d(6, momentum=None), nn.Flatten(), nn.Linear(6 * 7, 4), nn.BatchNorm1d(4, affine=False),
        nn.Linear(4, 2)).to(dtype)


def make_batches(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    # float64 compares the algebra; float32 far from zero would lose its digits in a difference of squares.
    generator = torch.Generator().manual_seed(1)
    return 50 + torch.randn(STEPS, 12, 5, 9, generator=generator, dtype=torch.float64).to(dtype)  # (S, B, C, T)


def train(net: nn.Module, batches: torch.Tensor, rows: slice) -> dict[str, torch.Tensor]:
    inner = net.module if isinstance(net, DistributedDataParallel) else net
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    record = {}
    for step, batch in enumerate(batches):
        x = batch[rows].clone().requires_grad_()  # (B, C, T)
        out = net(x)  # (B, 2)
        optimizer.zero_grad()
        (out.sin() * out.new_tensor([1.0, -2.0])).sum(1).mean().backward()
        record[f'out{step}'], record[f'x_grad{step}'] = out.detach(), x.grad
        for name, p in inner.named_parameters():
            record[f'{name}.grad{step}'] = p.grad.clone()
        optimizer.step()
    record.update({f'state.{k}': v.clone() for k, v in inner.state_dict().items()})
    net.eval()
    record['eval'] = net(batches[0][rows]).detach()
    return record


def worker(rank: int, world: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch_dist.init_process_group('gloo', rank=rank, world_size=world)
    net = DistributedDataParallel(convert_sync_batchnorm(make_net()), broadcast_buffers=False)
    torch.save(train(net, make_batches(), slice(rank, None, world)), f'{folder}/strided{rank}.pt')
    # DDP must not hold the last reference to the group: it would wait for gloo's threads with the GIL, and they for it.
    del net
    # Batches of different size: without the affine gradients, which DDP averages by process and not by row.
    bn = convert_sync_batchnorm(nn.BatchNorm1d(5))
    x = make_batches(torch.float32)[0][slice(0, 9) if rank == 0 else slice(9, 12)].requires_grad_()
    bn(x).pow(3).sum().backward()
    torch.save({'x_grad': x.grad, 'var': bn.running_var}, f'{folder}/uneven{rank}.pt')
    half = convert_sync_batchnorm(nn.BatchNorm1d(5))(make_batches()[0].bfloat16())
    assert half.dtype is torch.bfloat16
    try:
        convert_sync_batchnorm(nn.BatchNorm1d(5))(torch.zeros(1 - rank, 5))
    except ValueError as error:
        assert 'more than one value' in str(error)
    else:
        raise AssertionError('one value per channel over all ranks was accepted')
    torch_dist.destroy_process_group()


@pytest.fixture(scope='module')
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sync_bn')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    spawn(worker, args=(2, port, str(folder)), nprocs=2)
    return {p.stem: torch.load(p) for p in folder.iterdir()}


def test_two_halves_equal_the_whole(two_ranks):
    whole = train(make_net(), make_batches(), slice(None))
    for rank in range(2):
        part = two_ranks[f'strided{rank}']
        assert part.keys() == whole.keys()
        for key, found in part.items():
            expected = whole[key]
            if key.startswith(('out', 'x_grad', 'eval')):
                expected = expected[rank::2]
            if key.startswith('x_grad'):
                expected = expected * 2  # The mean loss of half the rows weighs each row twice.
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9, msg=lambda m, k=key: f'{k}: {m}')


def test_ranks_hold_identical_statistics(two_ranks):
    for key, value in two_ranks['strided0'].items():
        if 'running' in key:
            assert torch.equal(value, two_ranks['strided1'][key]), key


def test_uneven_batches(two_ranks):
    bn = nn.BatchNorm1d(5).double()
    x = make_batches(torch.float32)[0].double().requires_grad_()
    bn(x).pow(3).sum().backward()
    found = torch.cat([two_ranks['uneven0']['x_grad'], two_ranks['uneven1']['x_grad']])
    torch.testing.assert_close(found.double(), x.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(two_ranks['uneven0']['var'].double(), bn.running_var, rtol=1e-6, atol=0)


def test_conversion_keeps_keys_parameters_and_sharing():
    net = make_net()
    shared = nn.BatchNorm2d(3)
    net.extra = nn.ModuleDict({'a': shared, 'b': shared})
    before = dict(net.named_parameters())
    keys = list(net.state_dict())
    net[1].eval()
    converted = convert_sync_batchnorm(net)
    assert converted is net
    assert list(net.state_dict()) == keys
    assert all(p is before[name] for name, p in net.named_parameters())
    assert net.extra['a'] is net.extra['b']
    assert isinstance(net.extra['a'], CpuSyncBatchNorm)
    assert not net[1].training
    assert net[4].momentum is None


def test_one_process_equals_plain_batchnorm():
    plain, batches = make_net(), make_batches()
    expected = train(plain, batches, slice(None))
    found = train(convert_sync_batchnorm(make_net()), batches, slice(None))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-12, atol=1e-12, msg=lambda m, k=key: f'{k}: {m}')
