"""Our own datasets: TFDS builders that write themselves, found by name (`SYNTHETIC`) and prepared on first use."""

SYNTHETIC: dict[str, str] = {
    # name: module:class, imported only when the dataset is first prepared
    "synthetic_reviews": "rnn_jax.data.synthetic.reviews:SyntheticReviews",
    "synthetic_tags": "rnn_jax.data.synthetic.tags:SyntheticTags",
    "synthetic_dates": "rnn_jax.data.synthetic.dates:SyntheticDates",
    "synthetic_memory": "rnn_jax.data.synthetic.memory:SyntheticMemory",
    "synthetic_language": "rnn_jax.data.synthetic.language:SyntheticLanguage",
    "synthetic_anomalies": "rnn_jax.data.synthetic.anomalies:SyntheticAnomalies",
    "synthetic_series": "rnn_jax.data.synthetic.series:SyntheticSeries",
    "synthetic_signals": "rnn_jax.data.synthetic.signals:SyntheticSignals",
    "synthetic_videos": "rnn_jax.data.synthetic.videos:SyntheticVideos",
}
