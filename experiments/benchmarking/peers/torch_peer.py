"""torch.nn.LSTM, GRU and RNN, eager: oneDNN on a CPU, cuDNN on a GPU.

torch has two biases where we have one. The second stays at zero but for the GRU's candidate, where it is our b_hn, so
that the gradients are the same mathematics; torch computes those of both, as it always does.
"""

import functools
from typing import Any

import jax
import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from experiments.benchmarking.jax_program import LEARNING_RATE, TOLERANCE
from experiments.benchmarking.problems import Problem, Unsupported, directions_of, stack_params

MODULES = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

# 8 bits of precision in bfloat16, 11 in float16, and the steps' roundings add up along the sequence.
HALF_TOLERANCES = {torch.bfloat16: 0.1, torch.float16: 0.02}


class TorchProgram:
    """The same face as JaxProgram. `rows`: "even", "packed" (pack_padded_sequence) or "padded" (and set to zero)."""

    def __init__(self, name: str, problem: Problem, *, rows: str = "even", autocast: Any = None):
        self.name, self.problem, self.without = name, problem, ()
        self.tolerance = HALF_TOLERANCES.get(autocast, TOLERANCE)
        self.compile_seconds: dict[str, float | None] = {}
        self.temp_bytes: dict[str, int | None] = {}
        self._device = "cuda" if jax.default_backend() == "gpu" else "cpu"
        self._rows, self._autocast = rows, autocast
        self._module = self._make_module()
        self._xs = self._tensor(problem.xs).requires_grad_()
        self._cotangent = self._tensor(problem.cotangent)
        if problem.lengths is not None:
            self._lengths = torch.tensor(problem.lengths, dtype=torch.int64)  # packing wants them on the CPU
            real = np.arange(problem.shape.time) < problem.lengths[:, None]
            self._mask = self._tensor(real.astype(np.float32)[..., None])
        self._optimizer: Any = None

    def _make_module(self) -> Any:
        shape = self.problem.shape
        module = MODULES[self.problem.cell](
            shape.input_size, shape.hidden_size, shape.num_layers, batch_first=True, bidirectional=shape.bidirectional
        ).to(self._device)
        with torch.no_grad():
            for suffix, weights in self._suffixes(self.problem.params):
                bias_hh = np.zeros_like(weights.b)
                if hasattr(weights, "b_hn"):
                    bias_hh[-shape.hidden_size :] = weights.b_hn
                for kind, array in zip(KINDS, (weights.w_x.T, weights.w_h.T, weights.b, bias_hh), strict=True):
                    getattr(module, f"{kind}_{suffix}").copy_(self._tensor(array))
        return module

    def _suffixes(self, params: Any) -> list[tuple[str, Any]]:
        """torch's name of each cell, and its params."""
        return [
            (f"l{layer}" + ("", "_reverse")[way], weights)
            for layer, ways in enumerate(directions_of(params))
            for way, weights in enumerate(ways)
        ]

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(np.ascontiguousarray(array), device=self._device)

    def _apply(self, xs: torch.Tensor) -> torch.Tensor:
        if self._rows == "packed":
            packed = pack_padded_sequence(xs, self._lengths, batch_first=True, enforce_sorted=False)
            length = self.problem.shape.time
            return pad_packed_sequence(self._module(packed)[0], batch_first=True, total_length=length)[0]
        ys = self._module(xs)[0]
        return ys * self._mask if self._rows == "padded" else ys

    def _ys(self) -> torch.Tensor:
        if self._autocast is None:
            return self._apply(self._xs)
        with torch.autocast(self._device, dtype=self._autocast):
            return self._apply(self._xs)

    def _wait(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()

    def compile(self, name: str) -> None:
        """Nothing: torch runs op by op, and does not know a pass' memory ahead."""
        self.compile_seconds[name] = self.temp_bytes[name] = None

    def forward(self) -> torch.Tensor:
        """ys (B, T, F), without anything kept for a gradient."""
        with torch.inference_mode():
            ys = self._ys()
        self._wait()
        return ys

    def gradient(self) -> tuple[torch.Tensor, ...]:
        """The gradients of xs and of all weights, in torch's order."""
        ys = self._ys()
        bars = torch.autograd.grad(ys, [self._xs, *self._module.parameters()], self._cotangent.to(ys.dtype))
        self._wait()
        return bars

    def train_step(self) -> None:
        """One step of Adam, in its fused form, from wherever the last one ended."""
        if self._optimizer is None:
            # Both biases are trained, at torch's price; only the first is ever compared.
            self._optimizer = torch.optim.Adam(self._module.parameters(), lr=LEARNING_RATE, fused=True)
        self._optimizer.zero_grad(set_to_none=True)
        self._xs.grad = None
        ys = self._ys()
        ys.backward(self._cotangent.to(ys.dtype))
        self._optimizer.step()
        self._wait()

    def outputs(self) -> np.ndarray:
        """ys, in numpy."""
        return self.forward().float().cpu().numpy()

    def gradients(self) -> tuple[Any, np.ndarray]:
        """The gradient in our layout, and that of xs, in numpy."""
        xs_bar, *bars = self.gradient()
        names = [name for name, _ in self._module.named_parameters()]
        return self._ours(dict(zip(names, bars, strict=True))), xs_bar.float().cpu().numpy()

    def trained(self) -> tuple[Any, Any]:
        """The params before and after one step from the start, both in our layout."""
        self._module, self._optimizer = self._make_module(), None
        self.train_step()
        after = self._ours(dict(self._module.named_parameters()))
        self._module, self._optimizer = self._make_module(), None
        return self._ours(dict(self._module.named_parameters())), after

    def _ours(self, named: dict[str, torch.Tensor]) -> Any:
        arrays = {name: tensor.detach().float().cpu().numpy() for name, tensor in named.items()}
        size = self.problem.shape.hidden_size

        def cell(suffix: str, like: Any) -> Any:
            w_x, w_h, b, b_h = (arrays[f"{kind}_{suffix}"] for kind in KINDS)
            weights = like._replace(w_x=w_x.T, w_h=w_h.T, b=b)
            return weights._replace(b_hn=b_h[-size:]) if hasattr(like, "b_hn") else weights

        cells = iter([cell(suffix, like) for suffix, like in self._suffixes(self.problem.params)])
        return stack_params([[next(cells) for _ in ways] for ways in directions_of(self.problem.params)])


def torch_even(problem: Problem) -> TorchProgram:
    """Rows of one length."""
    if problem.lengths is not None:
        raise Unsupported("ragged rows are torch_packed and torch_padded")
    if jax.default_backend() == "gpu" and not torch.cuda.is_available():
        raise Unsupported("this torch has no CUDA")
    return TorchProgram("torch", problem)


def torch_packed(problem: Problem) -> TorchProgram:
    """Ragged rows by pack_padded_sequence."""
    if problem.lengths is None:
        raise Unsupported("only for ragged rows")
    return TorchProgram("torch_packed", problem, rows="packed")


def torch_padded(problem: Problem) -> TorchProgram:
    """Ragged rows with the padding computed, and its outputs set to zero."""
    if problem.lengths is None:
        raise Unsupported("only for ragged rows")
    if problem.shape.bidirectional:
        raise Unsupported("reads the padding before the text in the backward direction")
    return TorchProgram("torch_padded", problem, rows="padded")


def torch_half(name: str, dtype: Any, problem: Problem) -> TorchProgram:
    """Autocast on a GPU: weights in float32, the computation in half of it."""
    if jax.default_backend() != "gpu" or not torch.cuda.is_available():
        raise Unsupported("half precision is for a GPU")
    if problem.lengths is not None:
        raise Unsupported("only for rows of one length")
    return TorchProgram(name, problem, autocast=dtype)


torch_bf16 = functools.partial(torch_half, "torch_bf16", torch.bfloat16)
torch_fp16 = functools.partial(torch_half, "torch_fp16", torch.float16)
