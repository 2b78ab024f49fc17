"""How every kernel is compiled, and the machine instructions that Python cannot spell.

The test of a block of codes is written in LLVM's vector form, not left to its loop vectoriser, whose choices
change with the surroundings of a loop. LLVM turns it into whatever the processor has (AVX-512, AVX2, NEON).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hashreel.errors import MissingExtraError

try:
    import numba
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic
except ImportError as exc:
    raise MissingExtraError("numba is not installed; install hashreel[cpu] or hashreel[gpu]") from exc

__all__ = [
    "CODE_BLOCKS",
    "REST_BLOCK",
    "entry_kernel",
    "inlined_kernel",
    "kernel",
    "lowest_bit",
    "near_codes",
    "near_lows",
    "near_rests",
    "popcount",
    "prefetch",
]

CODE_BLOCKS = (0, 64, 32, 16, 16)
"""How many codes :func:`near_codes` tests at once, by the number of words of a code."""

REST_BLOCK = 32
"""Rests that :func:`near_rests` tests at once."""

_INT = ir.IntType(32)

F = TypeVar("F", bound=Callable[..., Any])


# Kernels allocate nothing, so numba's run time for references (nrt) is left out: it would count a reference to
# every array argument of every call, two atomic instructions each, which took nine tenths of a search's time.
_OPTIONS = {"nogil": True, "_nrt": False}


def kernel(function: F) -> F:
    """Compile a function that only other kernels call, together with its caller."""
    compiled: F = numba.njit(**_OPTIONS)(function)
    return compiled


def inlined_kernel(function: F) -> F:
    """Compile a function into its callers: a call would put eight words for each array on the stack."""
    compiled: F = numba.njit(forceinline=True, **_OPTIONS)(function)
    return compiled


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


_SOURCES = _digest_of_sources()


def entry_kernel(function: F) -> F:
    """Compile a function that Python calls: on first use, without the interpreter's lock, kept on disk.

    numba takes machine code from its cache if the file of *this* function is unchanged, and does not look at the
    kernels it calls in other files. So the name under which it is kept changes with every kernel's source.
    """
    function.__qualname__ = f"{function.__qualname__}_{_SOURCES}"
    compiled: F = numba.njit(cache=True, **_OPTIONS)(function)
    return compiled


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _intrinsic(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    shape = ir.FunctionType(result, [argument.type for argument in arguments])
    function = builder.module.globals.get(name) or ir.Function(builder.module, shape, name)
    return builder.call(function, arguments)


def _repeated(builder: Any, values: list[Any], lanes: int) -> Any:
    """Return a vector that holds the values over and over, ``lanes`` times."""
    vector = ir.Constant(ir.VectorType(values[0].type, len(values)), ir.Undefined)
    for i, value in enumerate(values):
        vector = builder.insert_element(vector, value, ir.Constant(_INT, i))
    order = [i % len(values) for i in range(lanes * len(values))]
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_INT, len(order)), order))


def _distances(builder: Any, start: Any, query_words: list[Any], lanes: int) -> Any:
    """Emit the distances of ``lanes`` codes in memory from ``start`` on, as a vector."""
    width, element = len(query_words), query_words[0].type
    all_words = ir.VectorType(element, lanes * width)
    codes = builder.load(builder.bitcast(start, all_words.as_pointer()), align=element.width // 8)
    different = builder.xor(codes, _repeated(builder, query_words, lanes))
    counts = _intrinsic(builder, f"llvm.ctpop.{_name(all_words)}", all_words, [different])
    total = None
    for word in range(width):
        order = ir.Constant(ir.VectorType(_INT, lanes), [lane * width + word for lane in range(lanes)])
        of_word = builder.shuffle_vector(counts, counts, order)
        total = of_word if total is None else builder.add(total, of_word)
    return total


def _below(builder: Any, distances: Any, bound: Any) -> Any:
    """Emit: which distances are below ``bound``? A bit for each, in 64 bits; 0 at once where none is.

    A distance minus the bound is negative when it is below, so the bitwise or of all of them tells whether any is.
    That is cheaper than to gather bits, and next to no block has one.
    """
    vector, element = distances.type, distances.type.element
    limits = _repeated(builder, [bound], vector.count)
    differences = builder.sub(distances, limits)
    merged = _intrinsic(builder, f"llvm.vector.reduce.or.{_name(vector)}", element, [differences])
    word, before = ir.IntType(64), builder.block
    with builder.if_then(builder.icmp_signed("<", merged, ir.Constant(element, 0)), likely=False):
        flags = builder.icmp_unsigned("<", distances, limits)
        narrow = builder.bitcast(flags, ir.IntType(vector.count))
        bits, inside = narrow if vector.count == 64 else builder.zext(narrow, word), builder.block
    chosen = builder.phi(word)
    chosen.add_incoming(ir.Constant(word, 0), before)
    chosen.add_incoming(bits, inside)
    return chosen


def _name(vector: Any) -> str:
    return f"v{vector.count}i{vector.element.width}"


@intrinsic  # type: ignore[untyped-decorator]
def near_codes(_context: Any, words: Any, codes: Any, row: Any, code: Any, bound: Any) -> Any:
    """Return which of a block of codes from ``row`` on are nearer to ``code`` than ``bound``: a bit for each, uint64.

    Args:
        words: a tuple; its length is the number of words of a code.
        codes: uint64 [at least (row + CODE_BLOCKS[words]) * words], one code after the other.
        row: the first row.
        code: uint64 [words].
        bound: uint64.
    """
    width = len(words)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, rows, first, query, limit = args
        index = context.get_constant(types.intp, width)
        start = _address(context, builder, signature.args[1], rows, builder.mul(first, index))
        query_words = [
            builder.load(_address(context, builder, signature.args[3], query, context.get_constant(types.intp, i)))
            for i in range(width)
        ]
        return _below(builder, _distances(builder, start, query_words, CODE_BLOCKS[width]), limit)

    return types.uint64(words, codes, types.intp, code, types.uint64), generate


def _near_test(lanes: int) -> Any:
    def near_parts(_context: Any, array: Any, index: Any, part: Any, bound: Any) -> Any:
        """Return which of a block of numbers are nearer to ``part`` than ``bound``: a bit for each, uint64.

        Args:
            array: unsigned, contiguous, of any number of dimensions.
            index: the first number, counted as if ``array`` had one dimension.
            part: a number of the same type.
            bound: a number of the same type.
        """

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            numbers, first, query, limit = args
            start = _address(context, builder, signature.args[0], numbers, first)
            return _below(builder, _distances(builder, start, [query], lanes), limit)

        return types.uint64(array, types.intp, array.dtype, array.dtype), generate

    return intrinsic(near_parts)


near_rests = _near_test(REST_BLOCK)
"""The test of REST_BLOCK rests in a bucket."""

near_lows = _near_test(CODE_BLOCKS[1])
"""The test of the low halves of a block of one-word codes."""


@intrinsic  # type: ignore[untyped-decorator]
def popcount(_context: Any, word: Any) -> Any:
    """Return the number of set bits, in the type of ``word``."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return word(word), generate


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(_context: Any, word: Any) -> Any:
    """Return the place of the lowest set bit of a uint64 that is not 0, int64."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(_context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of a contiguous array's element, counted as if it had one dimension."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _address(context, builder, signature.args[0], args[0], args[1])
        address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        shape = ir.FunctionType(ir.VoidType(), [address.type, _INT, _INT, _INT])
        instruction = builder.module.declare_intrinsic("llvm.prefetch", (address.type,), shape)
        for_reading, keep_in_all_caches, data_cache = (ir.Constant(_INT, value) for value in (0, 3, 1))
        builder.call(instruction, [address, for_reading, keep_in_all_caches, data_cache])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
