"""Recording activations: hooks that hand each layer's output over while the forward pass runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from torch import nn


class _Stop(Exception):  # noqa: N818 - control flow, never seen outside
    """Ends a forward pass whose last wanted layer has been recorded."""


class Recorder:
    """Hands the outputs of some layers to `consume`, and stops the forward pass after the last of them.

    Hooks attach on `__enter__` and always detach. `consume(layer, output)` runs inside the forward pass, before an
    in-place module downstream can overwrite the output, so it must copy what it keeps.

    A module that is called several times in one pass is recorded at its first call.
    """

    def __init__(self, module: nn.Module, layers: Sequence[str], consume: Callable[[str, Any], None]) -> None:
        """Attach nothing yet.

        Raises:
            KeyError: a layer is not a module path of `module`.
        """
        named = dict(module.named_modules())
        missing = [layer for layer in layers if layer not in named]
        if missing:
            raise KeyError(missing[0])
        self._module = module
        self._targets = {layer: named[layer] for layer in layers}
        self._consume = consume
        self._handles: list[Any] = []
        self._pending: set[str] = set()

    def __enter__(self) -> Self:
        """Attach the hooks."""
        for layer, target in self._targets.items():
            self._handles.append(target.register_forward_hook(self._hook(layer)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Detach the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def run(self, *inputs: Any) -> Any:
        """The network's output, or None when the pass was stopped after its last wanted layer."""
        self._pending = set(self._targets)
        try:
            return self._module(*inputs)
        except _Stop:
            return None

    def run_whole(self, *inputs: Any) -> Any:
        """The network's output; the pass goes on after the last wanted layer (a generator's image is wanted)."""
        self._pending = {*self._targets, ""}
        return self._module(*inputs)

    def _hook(self, layer: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if layer not in self._pending:
                return
            self._consume(layer, output)
            self._pending.discard(layer)
            if not self._pending:
                raise _Stop

        return hook
