"""The arrays of a FLAME model file (Li et al., SIGGRAPH Asia 2017; FLAME 2019, 2020 and 2023), without running it.

FLAME is distributed under its own licence and never with this project: the user gives the file. It is a pickle, which
can run any code when it is read in the usual way, and whose arrays belong to chumpy, a package that no longer installs.
Here nothing is imported and nothing of numpy, scipy or chumpy is called: their classes become stand-ins that only hold
what they are given, from which plain arrays are made afterwards. Any other name is refused.
"""

import io
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tracking.errors import UserError

JOINTS = ("root", "neck", "jaw", "left eye", "right eye")
SHAPE_COMPONENTS = 300
"""How many of `shapedirs` are of shape; the rest are of expression."""


@dataclass(frozen=True)
class FlameArrays:
    """What the file holds, in its own unit, metres; x to the person's left, y up, z out of the face."""

    template: Float[np.ndarray, "vertices 3"]
    triangles: Int[np.ndarray, "triangles 3"]
    shape_directions: Float[np.ndarray, "vertices 3 shapes"]
    expression_directions: Float[np.ndarray, "vertices 3 expressions"]
    pose_directions: Float[np.ndarray, "vertices 3 pose_features"]
    """Displacements by the entries of R - I of every joint but the root, row by row."""
    joint_regressor: Float[np.ndarray, "joints vertices"]
    weights: Float[np.ndarray, "vertices joints"]
    parents: Int[np.ndarray, "joints"]
    """-1 for the root."""


def read_flame_file(path: Path) -> FlameArrays:
    """Read FLAME's pickle, or an .npz with the same names.

    Raises:
        UserError: the file is missing, is no FLAME model, or wants to run code.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of FLAME's model file.")
    if path.suffix.lower() == ".npz":
        try:
            with np.load(path, allow_pickle=False) as file:
                content: Any = {name: file[name] for name in file.files}
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is no .npz of plain arrays ({error}): give FLAME's model file.") from error
    else:
        content = _unpickle(path)
    try:
        return _checked({name: _array(content[name]) for name in _NAMES}, path)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no FLAME model ({error}): give FLAME's model file, as it was downloaded."
        ) from error


_NAMES = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")


class _StandIn:
    """Holds what a pickle gives an object of a class that is not loaded."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Chumpy(_StandIn):
    """chumpy.ch.Ch, and chumpy.reordering.Select: an array, or some elements of one."""


class _Sparse(_StandIn):
    """scipy.sparse.csc_matrix or csr_matrix."""


class _Array(_StandIn):
    """numpy.ndarray: shape, dtype, order and bytes."""


class _Type(_StandIn):
    """numpy.dtype: its code, and in its state the order of bytes."""


class _SparseRows(_Sparse):
    """scipy.sparse.csr_matrix."""


class _Forbidden(pickle.UnpicklingError):
    """The pickle wants something that a FLAME model does not need."""


class _FlameUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if allowed is None:
            raise _Forbidden(f"{module}.{name}")
        return allowed


def _reconstructor(kind: Any, base: Any, state: Any) -> Any:
    """What Python 2's pickles call to make an object; here only stand-ins are made."""
    if not (isinstance(kind, type) and issubclass(kind, _StandIn)):
        raise _Forbidden(f"an object of {kind}")
    return kind()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """What Python 3's pickles call to hold bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise _Forbidden(f"the encoding {encoding}")
    return text.encode("latin1")


def _new_array(kind: Any, shape: Any, code: Any) -> _Array:
    """What numpy's pickles call to make an empty array that is then filled."""
    if kind is not _Array:
        raise _Forbidden(f"an array of {kind}")
    return _Array()


def _from_buffer(content: Any, kind: Any, shape: Any, order: str) -> _Array:
    """What numpy's pickles of protocol 5 call instead."""
    array = _Array()
    array.state = (1, shape, kind, order == "F", bytes(content))
    return array


_ALLOWED: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy.core.multiarray", "scalar"): _StandIn,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _Chumpy,
    ("copy_reg", "_reconstructor"): _reconstructor,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
    ("weakref", "WeakKeyDictionary"): _StandIn,
    **{
        (module, f"{kind}_matrix"): stand_in
        for kind, stand_in in (("csc", _Sparse), ("csr", _SparseRows))
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}", "scipy.sparse")
    },
}
"""All that a FLAME model's pickle may name."""


def _unpickle(path: Path) -> Any:
    try:
        return _FlameUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except _Forbidden as error:
        raise UserError(
            f"{path} wants to run {error}, which no FLAME model needs: it was not read; download the file again."
        ) from error
    # A file that is no pickle can fail in any of these ways.
    except (
        *(pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, TypeError, ValueError),
        *(UnicodeError, MemoryError, OverflowError),
    ) as error:
        raise UserError(
            f"{path} is no FLAME model ({error}): give FLAME's model file, as it was downloaded."
        ) from error


def _array(value: Any) -> np.ndarray:
    """A plain array of what the file holds."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, _Array):
        return _plain_array(value)
    if isinstance(value, _Sparse):
        state = value.state
        kind = sparse.csr_matrix if isinstance(value, _SparseRows) else sparse.csc_matrix
        shape = state.get("_shape", state.get("shape"))
        return kind(tuple(_array(state[name]) for name in ("data", "indices", "indptr")), shape=shape).toarray()
    if isinstance(value, _Chumpy):
        state = value.state
        if "a" in state and "idxs" in state:
            chosen = _array(state["a"]).ravel()[_array(state["idxs"])]
            return chosen.reshape(state["preferred_shape"]) if "preferred_shape" in state else chosen
        return _array(state["x"])
    raise TypeError(f"{type(value).__name__} where an array is due")


def _plain_array(value: _Array) -> np.ndarray:
    """An array of numbers from the state that numpy's pickles give it."""
    _, shape, kind, in_columns, content = value.state
    if not isinstance(kind, _Type) or not re.fullmatch(r"[biuf][1248]", kind.arguments[0]):
        raise TypeError("an array of something other than numbers")
    order = kind.state[1] if kind.state and kind.state[1] in ("<", ">") else "<"
    data = content.encode("latin1") if isinstance(content, str) else content
    values = np.frombuffer(data, np.dtype(order + kind.arguments[0]))
    return values.reshape(shape, order="F" if in_columns else "C")


def _checked(arrays: dict[str, np.ndarray], path: Path) -> FlameArrays:
    template = arrays["v_template"].astype(np.float64)
    vertices, joints = len(template), len(JOINTS)
    directions = arrays["shapedirs"].astype(np.float64)
    expected = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, directions.shape[-1]),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "kintree_table": (2, joints),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} is {arrays[name].shape}, not {shape}")
        if not np.isfinite(arrays[name].astype(np.float64)).all():
            raise ValueError(f"{name} holds what is no number")
    triangles = arrays["f"].astype(np.int64)
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.min() < 0 or triangles.max() >= vertices:
        raise ValueError("f holds no triangles")
    if directions.shape[-1] <= SHAPE_COMPONENTS:
        raise ValueError("it has no expression components")
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    if (parents[1:] < 0).any() or (parents >= np.arange(joints)).any():
        raise ValueError("its joints are no tree")
    return FlameArrays(
        template,
        triangles,
        directions[..., :SHAPE_COMPONENTS],
        directions[..., SHAPE_COMPONENTS:],
        arrays["posedirs"].astype(np.float64),
        arrays["J_regressor"].astype(np.float64),
        arrays["weights"].astype(np.float64),
        parents,
    )
