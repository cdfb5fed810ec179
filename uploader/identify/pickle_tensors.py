"""Names and shapes of the tensors in what a pickle would leave."""

from __future__ import annotations

from uploader.identify.pickle_values import Instance, Table, Tensor, Tuple, Value

_WRAPPERS = ("state_dict", "params_ema", "params", "model_state_dict", "model", "net")
_DEEPEST = 6
_MOST_TENSORS = 65_536
_MOST_VISITS = 200_000
_MOST_LETTERS = 8 << 20


def shapes_of(value: Value) -> dict[str, tuple[int, ...]]:
    """Return each tensor's shape by its name. Keys of nested tables are joined with dots.

    Trainers wrap the weights in a table of their own. Its other entries are left out."""
    table = _table(value)
    for wrapper in _WRAPPERS:
        inner = _table((table.items or {}).get(wrapper)) if table else None
        if inner is not None and (found := _Gathering().run(inner)):
            return found
    return _Gathering().run(table) if table else {}


def _table(value: Value | None) -> Table | None:
    return value if isinstance(value, Table) else value.items if isinstance(value, Instance) else None


class _Gathering:
    """Walk a value within bounds. It may hold itself, or hold one item a thousand times."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, ...]] = {}
        self._visits = self._letters = 0

    def run(self, table: Table) -> dict[str, tuple[int, ...]]:
        self._walk("", table, 0)
        return self._found

    def _walk(self, name: str, value: Value, depth: int) -> None:
        self._visits += 1
        if depth > _DEEPEST or self._visits > _MOST_VISITS or len(self._found) >= _MOST_TENSORS or len(name) > 1024:
            return
        self._letters += len(name)
        if self._letters > _MOST_LETTERS:
            return
        if isinstance(value, Tensor):
            self._found[name] = value.shape
            return
        inner = _table(value)
        if inner is not None:
            parts = list((inner.items or {}).items())
        elif isinstance(value, Tuple):
            parts = [(str(index), item) for index, item in enumerate(value.items[:8])]
        else:
            return
        for key, item in parts:
            # Modules keep their weights in tables of these names. They are no part of a tensor's name.
            same = key in ("_parameters", "_buffers", "_modules")
            self._walk(name if same else f"{name}.{key}" if name else key, item, depth + 1)
