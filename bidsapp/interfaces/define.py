"""Nipype interfaces from annotated functions: inputs and outputs follow from the annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack, get_args, get_origin, get_type_hints

from nipype.interfaces.base import (
    DynamicTraitedSpec,
    SimpleInterface,
    TraitedSpec,
    Undefined,
    isdefined,
)
from nipype.interfaces.io import add_traits

from bidsapp.interfaces.store import InputSpec
from bidsapp.interfaces.transfer import Transfer, parts_of, transfer_of, without_none


def interface(*outputs: str, always_run: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Make a nipype interface, of the same name, of an annotated function.

    A parameter is an input, mandatory when it has no default; ``None`` counts as not given. A
    dataclass that holds images is an input per field, of the same name (`transfer.parts_of`).
    ``**images: Path`` adds an input for every name that the interface is constructed with. The
    function runs in the working directory of its node.

    Parameters
    ----------
    *outputs : str
        Name of what the function returns, or of each entry of the tuple it returns; one that is
        None is left undefined.
    always_run : bool
        Run again even when nothing has changed.

    Returns
    -------
    function
        Decorator that returns the interface class.

    Examples
    --------
    >>> @interface("sum")
    ... def Add(a: float, b: float = 1.0) -> float:
    ...     return a + b
    >>> Add(a=2.0).run().outputs.sum
    3.0
    """

    def made(function: Callable[..., Any]) -> Any:
        hints = get_type_hints(function, include_extras=True)
        results = _each(hints.pop("return"), len(outputs))
        gives = {name: transfer_of(kind) for name, kind in zip(outputs, results, strict=True)}
        parameters = inspect.signature(function).parameters.values()
        more = [hints.pop(p.name) for p in parameters if p.kind is p.VAR_KEYWORD]
        optional = {p.name for p in parameters if p.default is not p.empty}
        place = {"__module__": function.__module__, "__doc__": function.__doc__}

        def spec(part: str, bases: tuple[Any, ...], fields: dict[str, Any]) -> Any:
            name = {"__qualname__": f"{function.__name__}.{part}"}  # by which pickle finds it
            return type(bases[0])(part, bases, fields | place | name)

        bases = (DynamicTraitedSpec, InputSpec) if more else (InputSpec,)
        fields = {name: kind.trait() for name, kind in gives.items()}
        content = {
            "input_spec": spec("input_spec", bases, _traits(hints, optional)),
            "output_spec": spec("output_spec", (TraitedSpec,), fields),
            "_always_run": always_run,
            "_function": staticmethod(function),
            "_takes": hints,
            "_more": more,
            "_gives": gives,
        }
        return type(function.__name__, (_OfFunction,), content | place)

    return made


def _traits(hints: Mapping[str, Any], optional: Collection[str]) -> dict[str, Any]:
    """Traits of the inputs that parameters, or the fields of a dataclass, are made of."""
    traits: dict[str, Any] = {}
    for name, kind in hints.items():
        if (parts := parts_of(kind)) is None:
            own = {name: transfer_of(kind).trait(mandatory=name not in optional)}
        else:
            absent = {part for part, own in parts.items() if without_none(own) is not own}
            own = _traits(parts, parts if name in optional else absent)
        if twice := traits.keys() & own.keys():
            raise TypeError(f"two inputs are called {min(twice)}")
        traits |= own
    return traits


def _value(inputs: Any, name: str, kind: Any) -> Any:
    """Value of a parameter, or of a field of one; undefined when it was not given."""
    if (parts := parts_of(kind)) is None:
        value = getattr(inputs, name)
        return transfer_of(kind).decode(value) if isdefined(value) else value
    values = {part: _value(inputs, part, own) for part, own in parts.items()}
    known = {part: value for part, value in values.items() if isdefined(value)}
    return without_none(kind)(**known) if known else Undefined


def _each(returned: Any, number: int) -> list[Any]:
    """Types of the outputs of a function."""
    if number == 1:
        return [returned]
    *first, last = get_args(returned)
    if last is ...:  # tuple[T, ...]
        return first * number
    if get_origin(last) is Unpack:  # tuple[A, B, *tuple[T, ...]]
        [several] = get_args(last)
        return first + [get_args(several)[0]] * (number - len(first))
    return [*first, last]


class _OfFunction(SimpleInterface):
    """A nipype interface that loads, calls a function and saves."""

    input_spec, output_spec = InputSpec, TraitedSpec
    _function: Callable[..., Any]
    _takes: Mapping[str, Any]
    _more: Sequence[Any]
    _gives: Mapping[str, Transfer]

    def __init__(self, keys: Sequence[str] = (), **inputs: Any) -> None:
        super().__init__()
        self._keys = tuple(keys)
        add_traits(self.inputs, self._keys)
        self.inputs.trait_set(**{k: value for k, value in inputs.items() if value is not None})

    def _run_interface(self, runtime: Any) -> Any:
        takes = dict(self._takes) | {key: kind for kind in self._more for key in self._keys}
        values = {name: _value(self.inputs, name, kind) for name, kind in takes.items()}
        arguments = {name: value for name, value in values.items() if isdefined(value)}
        returned = self._function(**arguments)
        results = (returned,) if len(self._gives) == 1 else returned
        for (name, kind), value in zip(self._gives.items(), results, strict=True):
            if value is not None:
                self._results[name] = kind.encode(Path(runtime.cwd) / name, value)
        return runtime
