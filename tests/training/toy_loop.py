"""The training of the toy experiment: what takes seconds to import, and is only when something is trained."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.divergence import DivergenceRule, diverged
from rnn_jax.training.optimizer import make_optimizer
from rnn_jax.training.run import open_run
from rnn_jax.training.state import apply_gradients, create_state, evaluation_params
from rnn_jax.training.stopping import Patience, SaveTimer, StopSignal


def train(config, workdir: str) -> dict:
    with open_run(workdir, "toy", config) as run, StopSignal() as stop:
        if run.result is not None:
            return run.result
        optimizer = make_optimizer(config, config.num_steps)
        state = create_state({"w": jnp.ones((config.width, 1)), "b": jnp.zeros(1)}, optimizer, config.ema_decay)
        checkpointer = Checkpointer(run.checkpoints, config_hash=run.config_hash)
        rule = DivergenceRule(config.divergence_factor)
        patience, timer = Patience(0), SaveTimer(config.checkpoint_every_seconds, config.checkpoint_every_steps)
        if (restored := checkpointer.restore_latest(state)) is not None:
            state, patience.best = jax.device_put(restored.tree), restored.extra["best"]
            rule.first_loss = restored.extra["first_loss"]
        step = int(state.step)
        run.truncate_metrics(step if restored else -1)

        @jax.jit
        def update(state, x, y):
            loss, grads = jax.value_and_grad(lambda p: jnp.mean((x @ p["w"] + p["b"] - y) ** 2))(state.params)
            state, metrics = apply_gradients(state, grads, optimizer, config.ema_decay)
            return state, metrics | {"loss": loss}

        while step < config.num_steps:
            rng = np.random.default_rng((config.seed, step))
            x = rng.normal(size=(8, config.width)).astype(np.float32)
            y = x.sum(1, keepdims=True) * 2 + config.noise * rng.normal(size=(8, 1)).astype(np.float32)
            state, metrics = update(state, x, np.float32(np.nan) * y if step + 1 == config.poison_step else y)
            step += 1
            time.sleep(config.pause)
            if (found := rule.of_updates(metrics["loss"], metrics["gradient_norm"], step)) is not None:
                raise diverged(found, run.checkpoints, checkpointer.latest_step())
            run.log(step, step / 10, {"train/loss": metrics["loss"], "train/gradient_norm": metrics["gradient_norm"]})
            print(f"step {step}", flush=True)
            is_best = step % 5 == 0 and patience.update(-float(metrics["loss"]))
            if is_best or timer.due_by_step(step) or timer.due_by_time() or stop.requested or step == config.num_steps:
                checkpointer.save(step, state, {"best": patience.best, "first_loss": rule.first_loss}, best=is_best)
                timer.saved()
            if stop.requested and step < config.num_steps:
                raise stop.interruption(step)
        best = checkpointer.restore_best(state)
        weights = jax.tree.map(np.asarray, evaluation_params(state, config.ema_decay))
        result = {"best": patience.best, "best_step": best.step, "weights": weights["w"].ravel().tolist()}
        return run.finish(result | {"num_parameters": config.width + 1})
