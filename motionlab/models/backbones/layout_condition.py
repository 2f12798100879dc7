"""What a batch of references is to the network: made once, used in all steps."""

from dataclasses import dataclass

from torch import Tensor

from motionlab.models.layers.layout_boxes import BoxTokens


@dataclass
class LayoutCondition:
    """References of a batch as tokens, with everything that does not depend on the noise level.

    The M valid references stand one after the other, by sample; padding appears in the properties only.

    Attributes:
        mask: (B, N) bool, which references exist.
        tokens: (M, D) tokens h of the references.
        logits: (M,) of alpha, before overrides.
        alphas: (M,) float32, after overrides.
        boxes: Tokens that each owns.
        rope: Cosines and sines (M, d) at the boxes' centres.
        layout: (K', M, 2 D) keys and values of the layout tokens in each layout block; or (M, D) layout tokens; None
            without layout attention.
        shared: (M, D) M(h), what modulates before feedback; None without modulation.
        deltas: (K, M, P) what modulates each block; None where feedback has its part in it.
        single_delta: (M, D) for the single-stream blocks; None without.
    """

    mask: Tensor
    tokens: Tensor
    logits: Tensor
    alphas: Tensor
    boxes: BoxTokens
    rope: tuple[Tensor, Tensor]
    layout: Tensor | None = None
    shared: Tensor | None = None
    deltas: Tensor | None = None
    single_delta: Tensor | None = None

    @property
    def alpha(self) -> Tensor:
        """(B, N) float32, 0 where no reference is."""
        return self.padded(self.alphas)

    @property
    def alpha_logits(self) -> Tensor:
        """(B, N) float32, 0 where no reference is."""
        return self.padded(self.logits)

    def padded(self, values: Tensor) -> Tensor:
        """(M,) of the references -> (B, N), 0 where none is."""
        return values.new_zeros(self.mask.shape).masked_scatter(self.mask, values)
