"""What numbers of a pose prior tell."""

UNTRAINED_KL, UNTRAINED_GEO = 5.0, 1.8  # nats; radians


def looks_untrained(kl: float, geo: float) -> bool:
    """Whether a VPoser with these means was probably never trained.

    Fresh weights give a KL of 3.2 to 3.9 (32 latent dimensions of scale ln 2) and rotations that have nothing to do
    with their targets, 1.9 to 2.4 radians apart; the published weights about 30 and 0.1.

    Args:
        kl: Nats, summed over the latent dimensions.
        geo: Mean angle between joint rotations, radians.
    """
    return kl < UNTRAINED_KL and geo > UNTRAINED_GEO
