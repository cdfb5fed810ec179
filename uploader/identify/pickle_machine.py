"""A pickle followed opcode by opcode. Nothing is looked up, made or called.

Source: https://github.com/python/cpython/blob/main/Lib/pickletools.py, whose `genops` reads the opcodes. All that is
not known to be harmless is a finding, even if its values cannot be followed.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Final, TypeGuard

from uploader.identify.pickle_allowlist import ALLOWED, STRICT, is_storage, storage_bytes
from uploader.identify.pickle_values import OPAQUE, Global, Instance, Sequence, Storage, Table, Tensor, Tuple, Value
from uploader.identify.ranges import TooMuch, Window

MOST_STEPS = 400_000
"""Most opcodes of all pickles of one file, with the items they go through. The largest checkpoints have 100,000."""

MOST_FINDINGS = 20
_HIGHEST_PROTOCOL = 5
_LONGEST_TEXT = 1024
_LONGEST_NAME = 256
_MOST_AXES = 64
_MOST_ITEMS = 1 << 16
_LARGEST_MEMO = 1 << 24
_MOST_NAMES = 1000


class _Mark:
    """The begin of a group of items on the stack."""


_MARK: Final = _Mark()


class Broken(Exception):
    """The pickle cannot be followed: it breaks the format's rules."""


class Machine:
    """A machine that follows pickles one after another.

    `findings` are the names and calls that are not allowed, each once. `globals` are all names that were looked up.
    `storages` are those of torch's persistent ids, by key."""

    def __init__(self) -> None:
        self.findings: dict[str, None] = {}
        self.strict: dict[str, None] = {}
        self.globals: set[tuple[str, str]] = set()
        self.storages: dict[str, Storage] = {}
        self._steps = 0
        self._stack: list[Value | _Mark] = []
        self._memo: dict[int, Value] = {}

    def follow(self, window: Window) -> Value:
        """Follow one pickle to its STOP. Return what it would leave. Raises Broken and TooMuch."""
        self._stack, self._memo = [], {}
        try:
            for opcode, argument, _ in pickletools.genops(window):  # type: ignore[arg-type]
                self._spend(1)
                if opcode.name == "STOP":
                    return self._pop()
                self._step(opcode.name, argument)
        except (ValueError, OverflowError, MemoryError, KeyError, Warning) as error:
            # Python warns of an unknown escape in a text of protocol 0. The warning may be an error.
            raise Broken(str(error)) from None
        raise Broken("it does not stop")

    def _spend(self, steps: int) -> None:
        """Count an opcode, and each item that it goes through. The memo may recall a value any number of times."""
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise TooMuch

    def found(self, what: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings[what[:200]] = None

    def _step(self, name: str, argument: object) -> None:
        if name in _TEXTS:
            self._push(argument if isinstance(argument, str) and len(argument) <= _LONGEST_TEXT else OPAQUE)
        elif name in _NUMBERS:
            self._push(argument if type(argument) is int and abs(argument) < 1 << 128 else OPAQUE)
        elif name in _OPAQUES:
            self._push(OPAQUE)
        elif name in _PLAIN:
            _PLAIN[name](self)
        elif name in _WITH_ARGUMENT:
            _WITH_ARGUMENT[name](self, argument)
        elif name != "FRAME":
            raise Broken(f"opcode {name} is not known")

    # the stack and the memo -------------------------------------------------------------------------------

    def _push(self, value: Value) -> None:
        self._stack.append(value)

    def _pop(self) -> Value:
        if not self._stack:
            raise Broken("it takes more than there is")
        value = self._stack.pop()
        if isinstance(value, _Mark):
            raise Broken("it takes a mark for a value")
        return value

    def _top(self) -> Value:
        value = self._pop()
        self._push(value)
        return value

    def _to_mark(self) -> list[Value]:
        items: list[Value] = []
        while self._stack:
            value = self._stack.pop()
            if isinstance(value, _Mark):
                items.reverse()
                return items
            items.append(value)
        raise Broken("there is no mark")

    def mark(self) -> None:
        self._stack.append(_MARK)

    def pop(self) -> None:
        if not self._stack:
            raise Broken("it takes more than there is")
        self._stack.pop()

    def pop_mark(self) -> None:
        self._to_mark()

    def dup(self) -> None:
        self._push(self._top())

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._top()

    def put(self, index: object) -> None:
        if not isinstance(index, int) or not 0 <= index < _LARGEST_MEMO:
            raise Broken("it numbers its memory without bounds")
        self._memo[index] = self._top()

    def get(self, index: object) -> None:
        if not isinstance(index, int) or index not in self._memo:
            raise Broken("it recalls what it never kept")
        self._push(self._memo[index])

    # names ------------------------------------------------------------------------------------------------

    def _name(self, module: str, name: str) -> Global:
        pair = module, name = module[:_LONGEST_NAME], name[:_LONGEST_NAME]  # longer ones are no name that is allowed
        if len(self.globals) < _MOST_NAMES:
            self.globals.add(pair)
        if pair not in ALLOWED:
            self.found(f"{module}.{name}")
        elif pair not in STRICT and len(self.strict) < MOST_FINDINGS:
            self.strict[f"{module}.{name}"] = None
        return Global(module, name)

    def _named(self, argument: object) -> Global:
        """Follow GLOBAL or INST. They give module and name in two lines, which arrive joined by a blank."""
        module, _, name = str(argument).partition(" ")
        return self._name(module, name)

    def global_(self, argument: object) -> None:
        self._push(self._named(argument))

    def stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if isinstance(name, str) and isinstance(module, str):
            self._push(self._name(module, name))
        else:
            self.found("a name that is put together while it loads")
            self._push(OPAQUE)

    def extension(self, argument: object) -> None:
        self.found(f"extension code {argument}")
        self._push(OPAQUE)

    # calls ------------------------------------------------------------------------------------------------

    def _call(self, maker: Value, arguments: list[Value]) -> Value:
        if not isinstance(maker, Global):
            self.found("a call of what only loading would tell")
            return OPAQUE
        match (maker.module, maker.name):
            case ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor"):
                return self._tensor(arguments)
            case ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state"):
                return next((part for part in arguments[:1] if isinstance(part, Tensor)), OPAQUE)
            case ("collections" | "typing", "OrderedDict"):
                return self._ordered(arguments)
            case _:
                return Instance(maker)

    def _ordered(self, arguments: list[Value]) -> Table:
        """Return an ordered dictionary, empty or made of a list of pairs."""
        table = Table()
        pairs = arguments[0].items if arguments and isinstance(arguments[0], Sequence) else []
        self._spend(len(pairs))
        for pair in pairs:
            if isinstance(pair, Tuple | Sequence) and len(pair.items) == 2:
                table.put(*pair.items)
        return table

    def _tensor(self, arguments: list[Value]) -> Value:
        """Return the tensor that torch makes of a storage, an offset in it, a shape, and more."""
        shape = arguments[2] if len(arguments) > 2 else OPAQUE
        if isinstance(shape, Tuple) and len(shape.items) <= _MOST_AXES:
            self._spend(len(shape.items))
            if _counts(shape.items):
                return Tensor(tuple(shape.items))
        return OPAQUE

    def reduce(self) -> None:
        arguments, maker = self._pop(), self._pop()
        self._push(self._call(maker, arguments.items if isinstance(arguments, Tuple) else []))

    def new_with_keywords(self) -> None:
        self._pop()
        self.reduce()

    def inst(self, argument: object) -> None:
        self._push(self._call(self._named(argument), self._to_mark()))

    def obj(self) -> None:
        items = self._to_mark()
        if not items:
            raise Broken("it makes an object of nothing")
        self._push(self._call(items[0], items[1:]))

    def build(self) -> None:
        state, target = self._pop(), self._top()
        match target:
            case Instance():
                parts = state.items if isinstance(state, Tuple) else [state]
                self._spend(len(parts))
                for part in parts:
                    if isinstance(part, Table) and part.items:
                        self._spend(len(part.items))
                        for key, value in part.items.items():
                            target.items.put(key, value)
            case Table() | Tensor():
                pass  # torch keeps notes on them (`_metadata`), which say nothing here
            case Global():
                self.found(f"a change of {target} in the program that loads it")
            case _:
                self.found("a change of what only loading would tell")

    def persistent(self) -> None:
        """Follow torch's id of a storage: "storage", its class, its key, a device, a count of numbers."""
        value = self._pop()
        match value:
            case Tuple(items=["storage", Global() as kind, str() as key, str(), int() as count, *_]) if is_storage(
                kind.module, kind.name
            ):
                storage = Storage(key, storage_bytes(kind.name, count))
                self.storages[key] = storage
                self._push(storage)
            case _:
                self.found("an object that only the program that loads it can tell")
                self._push(OPAQUE)

    def persistent_text(self, argument: object) -> None:
        self.found(f"an object {str(argument)[:80]!a} that only the program that loads it can tell")
        self._push(OPAQUE)

    def buffer(self) -> None:
        self.found("a buffer that is not in the file")
        self._push(OPAQUE)

    # data -------------------------------------------------------------------------------------------------

    def empty_table(self) -> None:
        self._push(Table())

    def empty_sequence(self) -> None:
        self._push(Sequence())

    def empty_tuple(self) -> None:
        self._push(Tuple([]))

    def tuple_of_mark(self) -> None:
        self._push(Tuple(self._to_mark()))

    def sequence_of_mark(self) -> None:
        self._push(Sequence(self._to_mark()))

    def table_of_mark(self) -> None:
        table = Table()
        _fill(table, self._to_mark())
        self._push(table)

    def tuple_of(self, count: int) -> None:
        self._push(Tuple([self._pop() for _ in range(count)][::-1]))

    def append(self) -> None:
        value = self._pop()
        self._extend([value])

    def appends(self) -> None:
        items = self._to_mark()
        self._extend(items)

    def _extend(self, items: list[Value]) -> None:
        target = self._top()
        if isinstance(target, Global):
            self.found(f"a change of {target} in the program that loads it")
        elif isinstance(target, Sequence):
            target.items.extend(items[: _MOST_ITEMS - len(target.items)])

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def set_items(self) -> None:
        items = self._to_mark()
        self._set(items)

    def _set(self, items: list[Value]) -> None:
        match self._top():
            case Table() as table:
                _fill(table, items)
            case Instance() as instance:
                _fill(instance.items, items)
            case Global() as target:
                self.found(f"a change of {target} in the program that loads it")

    def protocol(self, argument: object) -> None:
        if not isinstance(argument, int) or argument > _HIGHEST_PROTOCOL:
            raise Broken(f"protocol {argument} is not known")


def _fill(table: Table, items: list[Value]) -> None:
    if len(items) % 2:
        raise Broken("a key has no value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        table.put(key, value)


def _counts(items: list[Value]) -> TypeGuard[list[int]]:
    return all(type(item) is int and item >= 0 for item in items)


_TEXTS = frozenset(
    {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
)
_NUMBERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"})
_OPAQUES = frozenset(
    {"NONE", "NEWTRUE", "NEWFALSE", "FLOAT", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_PLAIN: dict[str, Callable[[Machine], None]] = {
    "MARK": Machine.mark,
    "POP": Machine.pop,
    "POP_MARK": Machine.pop_mark,
    "DUP": Machine.dup,
    "MEMOIZE": Machine.memoize,
    "STACK_GLOBAL": Machine.stack_global,
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.reduce,
    "NEWOBJ_EX": Machine.new_with_keywords,
    "OBJ": Machine.obj,
    "BUILD": Machine.build,
    "BINPERSID": Machine.persistent,
    "NEXT_BUFFER": Machine.buffer,
    "READONLY_BUFFER": lambda machine: machine.found("a buffer that is not in the file"),
    "EMPTY_DICT": Machine.empty_table,
    "EMPTY_LIST": Machine.empty_sequence,
    "EMPTY_SET": Machine.empty_sequence,
    "EMPTY_TUPLE": Machine.empty_tuple,
    "TUPLE": Machine.tuple_of_mark,
    "LIST": Machine.sequence_of_mark,
    "FROZENSET": Machine.sequence_of_mark,
    "DICT": Machine.table_of_mark,
    "TUPLE1": lambda machine: machine.tuple_of(1),
    "TUPLE2": lambda machine: machine.tuple_of(2),
    "TUPLE3": lambda machine: machine.tuple_of(3),
    "APPEND": Machine.append,
    "APPENDS": Machine.appends,
    "ADDITEMS": Machine.appends,
    "SETITEM": Machine.set_item,
    "SETITEMS": Machine.set_items,
}
_WITH_ARGUMENT: dict[str, Callable[[Machine, object], None]] = {
    "PROTO": Machine.protocol,
    "PUT": Machine.put,
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "GET": Machine.get,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
    "GLOBAL": Machine.global_,
    "INST": Machine.inst,
    "PERSID": Machine.persistent_text,
    "EXT1": Machine.extension,
    "EXT2": Machine.extension,
    "EXT4": Machine.extension,
}
