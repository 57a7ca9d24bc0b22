"""The knobs of a language model beside its embeddings and its recurrent stack."""

import dataclasses

from rnn_jax.config import ABOVE_ZERO, NETWORK, knob, when

HEADS = ("softmax", "adaptive", "mixture")
SOFTMAX, ADAPTIVE, MIXTURE = (when(head=head) for head in HEADS)


@dataclasses.dataclass(frozen=True)
class LanguageModelConfig:
    """How outputs become probabilities of the next token, and what keeps them small."""

    head: str = knob(
        "softmax",
        "probabilities of the next token: a softmax over all; adaptive: rare tokens in clusters of fewer features "
        "(Grave et al. 2017); mixture: of several softmaxes (Yang et al. 2018)",
        choices=HEADS,
        short=True,
        inherited=NETWORK,
    )
    tie_output: bool = knob(
        True, "the output weights are the embeddings", only_if=when(head=("softmax", "mixture")), inherited=NETWORK
    )
    num_sampled: int = knob(
        0,
        "training compares the next token with so many drawn ones, not with all (0 = off)",
        minimum=0,
        only_if=SOFTMAX,
    )
    cutoffs: tuple[int, ...] = knob(
        (),
        "first ids of the clusters, rising (default: a tenth and a third of the vocabulary)",
        minimum=1,
        only_if=ADAPTIVE,
        inherited=NETWORK,
    )
    num_mixtures: int = knob(4, "softmaxes in the mixture", minimum=1, only_if=MIXTURE, inherited=NETWORK)
    variational_output: bool = knob(
        False, "output dropout drops the same units at every step", only_if=when(output_dropout=ABOVE_ZERO)
    )
    activation_penalty: float = knob(0.0, "AR: times the mean square of the outputs (Merity et al. 2018)", minimum=0.0)
    temporal_penalty: float = knob(0.0, "TAR: times the mean square of the outputs' change in a step", minimum=0.0)
