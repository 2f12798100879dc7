"""Inputs of a pose prior that never changed while it was trained."""

from torch import Tensor

from motionlab.body.skeletons import SMPLX_22

CONSTANT_BELOW = 1e-6  # Running variance; angles in radians.


def describe_constant_inputs(running_var: Tensor, eps: float = 1e-5) -> str | None:
    """What to know about constant inputs of the 21 body joints; None if there are none.

    The motion capture behind AMASS leaves the toes (joints ``left_foot``, ``right_foot``) at zero in most sets, so the
    first batch norm of a trained VPoser sees no variance there and multiplies any other angle by up to 1 / sqrt(eps).

    Args:
        running_var: (63,) running variances of the first batch norm, axis-angle of the body joints.
        eps: Of that batch norm.
    """
    found = (running_var < CONSTANT_BELOW).nonzero().flatten().tolist()                    # (K,)
    if not found:
        return None
    names = [f'{SMPLX_22.joint_names[1 + index // 3]}.{"xyz"[index % 3]}' for index in found]
    return (f'{len(found)} of {len(running_var)} inputs had no variance in training (running_var < '
            f'{CONSTANT_BELOW:g}): {", ".join(names)}. Other values than those of training are multiplied there by up '
            f'to {eps ** -0.5:.0f}; zero_constant_inputs=True sets them to zero in encode.')
