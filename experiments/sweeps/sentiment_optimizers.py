"""Optimisers on sentiment, each at two learning rates.

A comparison of optimisers at one learning rate compares the learning rates. SGD and momentum need larger ones than the
rules that divide by the size of the gradient.

`--search=optuna` looks for a whole recipe instead: optimiser, learning rate, dropout and width.
"""

EXPERIMENT = "sentiment"
METRIC = "test/accuracy"
NUM_SEEDS = 5

ADAPTIVE = (8e-3, 2e-3)
SHARED = {"num_epochs": 2, "hidden_size": 32, "embedding_size": 32}
RATES = dict.fromkeys(("adam", "rmsprop", "adagrad"), ADAPTIVE) | {
    "adamw": ADAPTIVE,
    "momentum": (4e-1, 1.6),
    "sgd": (4e-1, 1.6),
}


def rows():
    for optimizer, rates in RATES.items():
        decay = {"weight_decay": 1e-2} if optimizer == "adamw" else {}
        for rate in rates:
            yield {**SHARED, "optimizer": optimizer, "learning_rate": rate, **decay}


def space(trial):
    return {
        "num_epochs": 3,
        "optimizer": trial.suggest_categorical("optimizer", ["adam", "adamw", "rmsprop"]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True),
        "output_dropout": trial.suggest_float("output_dropout", 0.0, 0.5),
        "hidden_size": trial.suggest_categorical("hidden_size", [32, 64, 128]),
    }
