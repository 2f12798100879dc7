"""Control of a trained motion denoiser: what is wanted as a vector, and branches that bring it in."""

import copy
from collections.abc import Callable, MutableMapping, Sequence

import torch
from torch import Tensor, nn

from motionlab.models.layers import fused_layers
from motionlab.utils import ConfigError

KINDS = ('controlnet1', 'controlnet2', 'finetune')
CONTROLS = ('action', 'goal')
ADAPTER_OPTIONS = ('kind', 'control', 'num_actions', 'goal_dim')  # What a config may say.


class GoalEmbedding(nn.Linear):
    """A place relative to the body -> a vector: ``Linear(2 (1 - e^{-|g|}) g / |g|)``, 0 at the body itself.

    Args:
        goal_dim: 3 for the pelvis in the canonical frame, 2 for its x and z.
        dim: Width D.
    """

    def __init__(self, goal_dim: int, dim: int):
        super().__init__(goal_dim, dim)

    def forward(self, input: Tensor) -> Tensor:
        """Metres (..., goal_dim) -> (..., D)."""
        # The gradient of the plain norm at 0 is not a number.
        square = input.square().sum(-1, keepdim=True)                                      # (..., 1)
        distance = torch.where(square > 0, square, 1).sqrt()                               # (..., 1)
        return super().forward(2 * -torch.expm1(-distance) / distance * input)


class MotionAdapter(nn.Module):
    """Control branch of :class:`MotionDiT` with the embedding of what is wanted.

    ``'controlnet2'`` (PRIMAL, arXiv 2503.17544): every layer L_i of the base gets a copy C_i and a linear map Z_i;
    with a control vector u of weight w, ``x <- L_i(x) + w Z_i(C_i(x + w u))``. ``'controlnet1'`` (as OmniControl, Xie
    et al., ICLR 2024): the copies form a branch of their own that reads frames plus u, and
    ``x <- L_i(x) + w Z_i(branch_i)``. Z_i starts at zero, so a fresh adapter changes nothing. ``'finetune'``: no
    copies; w u is added to the condition, and the whole network is trained.

    Args:
        layers: Those of the base, to copy; the copies are made here and, where weights of a base without adapter are
            loaded, from these.
        dim: Width D.
        kind: ``'controlnet2'``, ``'controlnet1'`` or ``'finetune'``.
        control: ``'action'``: one of ``num_actions`` labels. ``'goal'``: where the pelvis is wanted, in metres.
        num_actions: Labels there are.
        goal_dim: 3, or 2 for x and z.

    Raises:
        ConfigError: an unknown kind or control, or sizes that are none.
    """

    def __init__(self, layers: nn.ModuleList, dim: int, kind: str = 'controlnet2', control: str = 'action',
                 num_actions: int = 10, goal_dim: int = 3):
        super().__init__()
        found = {'kind': (kind, KINDS), 'control': (control, CONTROLS), 'goal_dim': (goal_dim, (2, 3))}
        for name, (value, known) in found.items():
            if value not in known:
                raise ConfigError(f'MotionDiT: found adapter.{name}={value!r}, expected one of {known}.')
        if num_actions < 1:
            raise ConfigError(f'MotionDiT: found adapter.num_actions={num_actions}, expected at least 1.')
        self.kind, self.control = kind, control
        self.embedding = nn.Embedding(num_actions, dim) if control == 'action' else GoalEmbedding(goal_dim, dim)
        if kind == 'finetune':
            return
        self.layers = copy.deepcopy(layers)
        self.outputs = nn.ModuleList(nn.Linear(dim, dim) for _ in layers)
        for output in self.outputs:
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)

    @property
    def freezes_base(self) -> bool:
        """Whether the base is not trained."""
        return self.kind != 'finetune'

    def embed(self, wanted: Tensor) -> Tensor:
        """Labels (B,), or goals (B, goal_dim) in metres, canonical frame -> u (B, 1, D)."""
        return self.embedding(wanted)[:, None]

    def run(self, layers: Sequence[Callable[[Tensor], Tensor]], x: Tensor, control: Tensor, weight: float | Tensor,
            branch: Callable[[], Tensor]) -> Tensor:
        """Tokens through the layers of the base and this branch.

        Args:
            layers: Of the base.
            x: (B, L, D).
            control: (B, 1, D), as :meth:`embed` gives it.
            weight: Number, or (B, 1, 1) for one of each sequence.
            branch: Gives the tokens (B, L, D) that the branch of ``'controlnet1'`` starts from.

        Returns:
            (B, L, D).
        """
        own = branch() if self.kind == 'controlnet1' else None
        offset = weight * control                                                          # (B, 1, D)
        for layer, copied, output in zip(layers, fused_layers(self.layers, x), self.outputs):
            own = copied(x + offset if self.kind == 'controlnet2' else own)                # (B, L, D)
            x = layer(x) + weight * output(own)
        return x

    def add_missing(self, state: MutableMapping[str, Tensor], base: str, prefix: str) -> None:
        """Where ``state`` holds layers of a base but none of this branch, add what a fresh branch on it is.

        Args:
            state: Weights about to be loaded.
            base: Start of the names of the base's layers.
            prefix: Start of this module's names.
        """
        if self.kind == 'finetune' or any(name.startswith((f'{prefix}layers.', f'{prefix}outputs.')) for name in state):
            return
        found = {name: value for name, value in state.items() if name.startswith(base)}
        if found:
            state.update({f'{prefix}layers.{name.removeprefix(base)}': value for name, value in found.items()})
            state.update({f'{prefix}outputs.{name}': torch.zeros_like(value)
                          for name, value in self.outputs.state_dict().items()})
