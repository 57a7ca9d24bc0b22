"""From the knobs of a text classifier and its vocabulary to the network."""

from flax import nnx

from rnn_jax.models.classifier_config import ClassifierConfig
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.sentiment import SentimentClassifier
from rnn_jax.models.stack import make_stack
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.text.text_codec import TextCodec
from rnn_jax.text.vocabulary import UNKNOWN_ID


def make_classifier(
    encoder: RecurrentConfig, model: TextModelConfig, classifier: ClassifierConfig, codec: TextCodec, rngs: nnx.Rngs
) -> SentimentClassifier:
    """The network.

    Raises:
      UserError: no stack can be made of the knobs.
    """
    return SentimentClassifier(
        make_stack(encoder),
        vocabulary_size=codec.tokenizer.get_vocab_size(),
        num_classes=len(codec.label_names),
        ngram_vocabulary_size=codec.ngrams.size if codec.ngrams else 0,
        unknown_id=UNKNOWN_ID,
        rngs=rngs,
        **model.arguments(),
        **classifier.arguments(),
    )
