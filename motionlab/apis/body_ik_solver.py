"""Optimisers of a fit: the published settings, stages that share one optimiser, a history of every evaluation."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motionlab.apis.body_ik_objective import TERMS, Objective
from motionlab.utils import ConfigError

DEFAULT_STAGES: tuple[Mapping[str, float], ...] = ({'data': 10.0, 'poZ': 0.01, 'betas': 0.5},)
Closure = Callable[[], Tensor]


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with a strong Wolfe line search; the defaults are those of the published tutorials.

    Args:
        lr: First step length of a line search.
        max_iter: Iterations of one stage.
        tolerance_change: A stage ends when loss or step change by less.
        history_size: Steps remembered.
    """

    lr: float = 1.0
    max_iter: int = 300
    tolerance_change: float = 1e-4
    history_size: int = 200

    def stepper(self, parameters: list[Tensor]) -> Callable[[Closure], None]:
        """One call runs one stage; what it learnt about the curvature stays for the next."""
        return torch.optim.LBFGS(parameters, self.lr, self.max_iter, tolerance_change=self.tolerance_change,
                                 history_size=self.history_size, line_search_fn='strong_wolfe').step


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, 2015).

    Args:
        lr: Learning rate.
        max_iter: Iterations of one stage.
        tolerance: A stage ends when the loss differs from the *previous* one by less (the published code compares with
            the first).
    """

    lr: float = 1e-3
    max_iter: int = 100
    tolerance: float = 1e-5

    def stepper(self, parameters: list[Tensor]) -> Callable[[Closure], None]:
        """One call runs one stage; moments stay for the next."""
        optimizer = torch.optim.Adam(parameters, self.lr)

        def run(closure: Closure) -> None:
            previous = None
            for _ in range(self.max_iter):
                loss = optimizer.step(closure).item()
                if previous is not None and abs(loss - previous) < self.tolerance:
                    return
                previous = loss

        return run


def minimise(objective: Objective, variables: dict[str, Tensor], stages: Sequence[Mapping[str, float]],
             optimizer: LBFGS | Adam) -> list[list[dict[str, float]]]:
    """Change ``variables`` in place until every stage has ended.

    Gradients are taken for the variables alone: those of the network stay as they are.

    Returns:
        One list per stage, with the weighted terms and their ``total`` at every evaluation.
    """
    parameters = list(variables.values())
    step = optimizer.stepper(parameters)
    history: list[list[dict[str, float]]] = []
    for weights in stages:
        evaluations: list[dict[str, Tensor]] = []

        def closure(weights=weights, evaluations=evaluations) -> Tensor:
            with torch.enable_grad():
                terms = objective(variables, weights)
                total = torch.stack(list(terms.values())).sum()
                gradients = torch.autograd.grad(total, parameters, materialize_grads=True)
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = gradient.contiguous()  # LBFGS views gradients as one line.
            evaluations.append({name: term.detach() for name, term in terms.items()} | {'total': total.detach()})
            return total.detach()

        step(closure)
        history.append([{name: value.item() for name, value in each.items()} for each in evaluations])
    return history


def check_stages(stages: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """A copy of the stages; ConfigError for none, unknown terms, weights below 0, or a stage without data."""
    if isinstance(stages, Mapping) or not stages:
        raise ConfigError(f'stages: found {stages!r}, expected a list of dicts of weights.')
    for number, weights in enumerate(stages):
        unknown = sorted(set(weights) - set(TERMS))
        if unknown or 'data' not in weights:
            raise ConfigError(f'stages[{number}]: found {sorted(weights)}, expected data and any of {TERMS[1:]}.')
        wrong = {name: weight for name, weight in weights.items() if not 0 <= weight < math.inf}
        if wrong:
            raise ConfigError(f'stages[{number}]: found {wrong}, expected finite weights of at least 0.')
    return [dict(weights) for weights in stages]
