"""The classifier of signals: its front ends against loops, its masks, and streams against whole signals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnn_jax.cells import GRU
from rnn_jax.data.signals.codec import SignalCodec
from rnn_jax.data.signals.parts import SignalPart
from rnn_jax.data.signals.sequences import Sequences
from rnn_jax.data.signals.signals import Form, Signals
from rnn_jax.errors import UserError
from rnn_jax.layers import Bidirectional
from rnn_jax.models.signal_front_ends import Convolutions, Flat, FrameConvolutions, ImageSteps, Spectrogram
from rnn_jax.models.signal_stream import labels_as_it_comes
from rnn_jax.models.signals import SignalClassifier, statistics
from rnn_jax.spectrogram import LogMel

RNG = np.random.default_rng(0)
WIDTHS, STRIDES = (3, 4), (2, 3)


def test_convolutions_look_back_only_as_a_loop_does():
    layers = Convolutions(2, (3, 4), WIDTHS, STRIDES, rngs=nnx.Rngs(0))
    for bias in layers.biases:
        bias.set_value(jnp.asarray(RNG.normal(size=bias.get_value().shape), jnp.float32))
    xs = RNG.normal(size=(2, 14, 2)).astype(np.float32)
    found, lengths = layers(jnp.asarray(xs), jnp.array([14, 9]))
    assert lengths.tolist() == [3, 2] and (layers.stride, layers.context) == (6, 3)
    for row, length in enumerate([14, 9]):
        ys = xs[row, :length]
        for w, b, width, stride in zip(layers.weights, layers.biases, WIDTHS, STRIDES, strict=True):
            w, b = np.asarray(w.get_value()), np.asarray(b.get_value())
            made = []
            for j in range(-(-len(ys) // stride)):
                steps = range((j + 1) * stride - width, (j + 1) * stride)
                total = sum(ys[t] @ w[k] for k, t in enumerate(steps) if 0 <= t < len(ys))
                made.append(np.maximum(total + b, 0))
            ys = np.array(made)
        np.testing.assert_allclose(found[row, : len(ys)], ys, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="at most its width"):
        Convolutions(2, (3,), (2,), (3,), rngs=nnx.Rngs(0))


def test_images_are_read_in_the_order_that_is_asked_for():
    image = jnp.arange(24).reshape(1, 4, 6, 1).astype(jnp.float32)
    lengths = jnp.array([4])
    pixels, count = ImageSteps((4, 6, 1), "pixels")(image, lengths)
    assert pixels[0, :, 0].tolist() == list(range(24)) and count.tolist() == [24]
    patches, count = ImageSteps((4, 6, 1), "patches", patch_size=2)(image, lengths)
    assert patches[0, 1].tolist() == [2, 3, 8, 9] and patches[0, 3].tolist() == [12, 13, 18, 19]
    assert count.tolist() == [6]
    rows, _ = ImageSteps((4, 6, 1), "rows")(image, lengths)
    assert rows[0, 2].tolist() == list(range(12, 18))
    permuted, _ = ImageSteps((4, 6, 1), "pixels", seed=3)(image, lengths)
    other, _ = ImageSteps((4, 6, 1), "pixels", seed=4)(image, lengths)
    assert sorted(permuted[0, :, 0].tolist()) == list(range(24))
    assert permuted[0, :, 0].tolist() != pixels[0, :, 0].tolist() != other[0, :, 0].tolist()


def test_frames_of_a_video_are_read_alike():
    frames = FrameConvolutions((8, 8, 1), (2, 3), rngs=nnx.Rngs(0))
    video = jnp.asarray(RNG.normal(size=(2, 3, 8, 8, 1)), jnp.float32)
    whole, _ = frames(video, jnp.array([3, 3]))
    alone, _ = frames(video[1:, 2:], jnp.array([1]))
    assert whole.shape == (2, 3, 3)
    np.testing.assert_allclose(whole[1, 2], alone[0, 0], rtol=1e-4, atol=1e-5)


def test_statistics_are_of_the_real_steps():
    signal = RNG.normal(size=(7, 2)).astype(np.float32)
    padded = jnp.asarray(np.concatenate([signal, np.zeros((3, 2), np.float32)])[None])
    change = np.abs(np.diff(signal, axis=0)).mean(axis=0)
    expected = [signal.mean(axis=0), signal.std(axis=0), signal.max(axis=0), signal.min(axis=0), change]
    np.testing.assert_allclose(statistics(padded, jnp.array([7]))[0], np.concatenate(expected), rtol=1e-4, atol=1e-5)


def classifier(front_end, *, pooling="mean_max", layer=None, convolutions=None, **options):
    rngs = nnx.Rngs(1)
    return SignalClassifier(
        layer or GRU(5), front_end, convolutions, num_classes=3, pooling=pooling, head_size=4, rngs=rngs, **options
    )


def test_padding_is_not_read():
    convolutions = Convolutions(2, (3,), (3,), (2,), rngs=nnx.Rngs(0))
    layer = Bidirectional(GRU(4))
    model = classifier(Flat((2,)), layer=layer, convolutions=convolutions, statistics=True, num_numbers=2)
    short = RNG.normal(size=(1, 7, 2)).astype(np.float32)
    alone = model(jnp.asarray(short), jnp.array([7]))
    padded = np.concatenate([short, np.zeros((1, 9, 2), np.float32)], axis=1)
    together = model(jnp.asarray(np.concatenate([padded, padded])), jnp.array([7, 16]))
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(together[1], alone[0])


def codec_of(size):
    none = np.zeros(0)
    classes, one = ("a", "b", "c"), np.ones(size)
    return SignalCodec(classes, ("x",) * size, (size,), 0, 22, 0.0, 1.0, "none", one * 0, one, False, (), *[none] * 4)


def part_of(codec, signal):
    sequences = Sequences.from_rows([signal])
    signals = Signals("mine", Form(codec.channels), sequences, ["a"], ["mine"], [""], np.zeros((1, 0)))
    return SignalPart(signals, np.zeros(1, np.int32), np.zeros(1, int), np.zeros((1, 0)), (len(signal),), None)


def apply_of(model):
    graph, params = nnx.split(model)
    jitted = jax.jit(lambda function, skip, batch: function(nnx.merge(graph, params), batch, **dict(skip)),
                     static_argnums=(0, 1))  # fmt: skip
    return lambda function, batch, **static: jitted(function, tuple(static.items()), batch)


@pytest.mark.parametrize("pooling", ["last_mean_max", "attention"])
def test_a_stream_says_what_the_prefix_in_one_go_says(pooling):
    convolutions = Convolutions(2, (3, 4), (5, 2), (2, 2), rngs=nnx.Rngs(0)) if pooling != "attention" else None
    model = classifier(Flat((2,)), pooling=pooling, convolutions=convolutions)
    signal = RNG.normal(size=(22, 2)).astype(np.float32)
    said = list(labels_as_it_comes(apply_of(model), model, codec_of(2), part_of(codec_of(2), signal), 0, 8))
    assert [steps for steps, _ in said] == [8, 16, 22]
    for steps, probabilities in said:
        prefix = jax.nn.softmax(model(jnp.asarray(signal[None, :steps]), jnp.array([steps])))
        np.testing.assert_allclose(probabilities, prefix[0], rtol=1e-4, atol=1e-6)


def test_sound_is_streamed_through_its_spectrogram():
    front_end = Spectrogram(LogMel(800.0, 6, 20, 8), np.full(6, -3.0), np.full(6, 2.0))
    model = classifier(front_end, pooling="last")
    signal = RNG.normal(size=(100, 1)).astype(np.float32)
    said = list(labels_as_it_comes(apply_of(model), model, codec_of(1), part_of(codec_of(1), signal), 0, 32))
    assert [steps for steps, _ in said] == [32, 64, 96, 100]
    for steps, probabilities in said:
        prefix = jax.nn.softmax(model(jnp.asarray(signal[None, :steps]), jnp.array([steps])))
        np.testing.assert_allclose(probabilities, prefix[0], rtol=1e-3, atol=1e-5)


def test_a_signal_scaled_by_all_of_its_steps_is_no_stream():
    codec, model = dataclasses.replace(codec_of(2), scaling="sequence"), classifier(Flat((2,)))
    with pytest.raises(UserError, match="--scaling=sequence"):
        next(labels_as_it_comes(apply_of(model), model, codec, part_of(codec, np.zeros((20, 2), np.float32)), 0, 8))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: classifier(Flat((2,)), layer=Bidirectional(GRU(4))), "bidirectional"),
        (lambda: classifier(Flat((2,)), statistics=True, num_numbers=2), "--statistics"),
        (lambda: classifier(ImageSteps((4, 2, 1), "pixels")), "image"),
        (lambda: classifier(Flat((2,)), convolutions=Convolutions(2, (3,), (5,), (3,), rngs=nnx.Rngs(0))), "of 3"),
    ],
)
def test_what_cannot_be_streamed_is_said(model, words):
    signal = np.zeros((20, 2), np.float32)
    with pytest.raises(UserError, match=words):
        next(labels_as_it_comes(apply_of(model()), model(), codec_of(2), part_of(codec_of(2), signal), 0, 8))


def test_static_features_are_not_dropped():
    model = SignalClassifier(GRU(3), Flat((1,)), num_classes=2, num_static=2, output_dropout=0.9, rngs=nnx.Rngs(0))
    signal, lengths, static = jnp.ones((1, 4, 1)), jnp.array([4]), jnp.ones((1, 2))
    weights = np.asarray(model.output.w.get_value())[-2:]
    for seed in range(3):
        key = jax.random.key(seed)
        found = jax.jacobian(lambda s: model(signal, lengths, static=s, key=key)[0])(static)  # noqa: B023
        np.testing.assert_allclose(found[:, 0].T, weights, rtol=1e-6)
