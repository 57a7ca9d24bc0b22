"""Words from their characters: what a tagger knows of a word that it has never seen."""

from flax import nnx

from rnn_jax.cells import LSTM
from rnn_jax.dropout import dropout
from rnn_jax.layers import Bidirectional
from rnn_jax.layers.pooling import max_pool
from rnn_jax.models.tagger_config import CHARACTER_ENCODERS
from rnn_jax.modules import RNN, Embedding, NGramConvolution
from rnn_jax.types import Array, Float, Int, Key


class CharacterEncoder(nnx.Module):
    """A vector for each word: of its characters, padded with 0.

    cnn: max over the word of relu(W · window of characters + b)   (dos Santos & Zadrozny 2014; Ma & Hovy 2016)
    bilstm: the last state of either direction                      (Ling et al. 2015; Lample et al. 2016)

    Raises:
      ValueError: an unknown kind.
    """

    def __init__(
        self,
        kind: str,
        *,
        num_characters: int,
        embedding_size: int,
        size: int,
        width: int = 3,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        if kind not in CHARACTER_ENCODERS or kind == "none":
            raise ValueError(f"No character encoder {kind!r}; there are: {', '.join(CHARACTER_ENCODERS[1:])}.")
        self.kind, self.size, self.dropout = kind, size, dropout
        self.embedding = Embedding(num_characters, embedding_size, rngs=rngs)
        # nnx.data: NNX takes an attribute for a constant if its first value holds no arrays, as None does.
        self.convolution: NGramConvolution | None = nnx.data(None)
        self.rnn: RNN | None = nnx.data(None)
        if kind == "cnn":
            self.convolution = NGramConvolution(embedding_size, size, width, rngs=rngs)
        else:
            if size % 2:
                raise ValueError(f"Both directions of a character BiLSTM share its size: {size} is odd.")
            self.rnn = RNN(Bidirectional(LSTM(size // 2)), embedding_size, rngs=rngs)

    def __call__(
        self, characters: Int[Array, "B T C"], *, dtype: str = "float32", key: Key | None = None
    ) -> Float[Array, "B T F"]:
        """characters (B, T, C) → vectors (B, T, F); zeros for a word without characters, as padding is."""
        flat = characters.reshape(-1, characters.shape[-1])  # a word is a sequence of its own, wherever it stands
        mask = flat > 0
        xs = dropout(self.embedding(flat).astype(dtype), self.dropout, key)
        if self.convolution is not None:
            vectors = max_pool(self.convolution(xs, mask=mask), mask)
        else:
            assert self.rnn is not None
            vectors = self.rnn.apply(xs, mask=mask).last
        return vectors.reshape(*characters.shape[:-1], self.size)
