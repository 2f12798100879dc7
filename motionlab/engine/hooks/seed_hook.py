"""Seed every iteration from counters."""

from mmengine.hooks import Hook

from motionlab.registry import HOOKS
from motionlab.utils.random import seed_iteration


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed all generators from (seed, rank, iteration) before each iteration, so that no state has to be saved.

    Without it a resumed run would repeat the random numbers of its first iteration. Evaluation batches are seeded by
    their number, so a validation gives the same result whenever it runs.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """With gradient accumulation every backward pass is an iteration."""
        seed_iteration(runner.shared_seed, runner.rank, runner.world_size, runner.iter)

    def before_val_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Validation batches have numbers of their own."""
        seed_iteration(runner.shared_seed, runner.rank, runner.world_size, batch_idx, stage='val')

    def before_test_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Test batches have numbers of their own."""
        seed_iteration(runner.shared_seed, runner.rank, runner.world_size, batch_idx, stage='test')
