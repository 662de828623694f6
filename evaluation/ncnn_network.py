"""Small networks in ncnn's files, run by torch: the layers that a MobileFaceNet is made of, and no others.

A `.param` file is text: a magic number, how many layers and blobs, then a layer a line, with its kind, name, numbers of
inputs and outputs, their names, and parameters as key=value. The `.bin` file holds the layers' weights one after the
other, in the order of the lines. (ncnn's documentation, "param and model file structure" and "operation param weight
table".)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tracking.errors import UserError

MAGIC = "7767517"
FLAG_FULL, FLAG_HALF = 0, 0x01306B47
"""What stands before a layer's weights: 32-bit numbers follow, or 16-bit ones."""

ADD, SUBTRACT, MULTIPLY = 0, 1, 2

Operation = Callable[[list[Tensor]], Tensor]


@dataclass(frozen=True)
class _Layer:
    operation: Operation
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class NcnnNetwork:
    """A network read from ncnn's two files."""

    def __init__(self, param: Path, weights: Path, device: torch.device | str = "cpu") -> None:
        """Read it.

        Raises:
            UserError: a file is not ncnn's, is cut off, or holds a layer or an option that is not known here.
        """
        self._layers: list[_Layer] = []
        reader = _WeightReader(weights, torch.device(device))
        lines = [line.split() for line in param.read_text(encoding="utf-8").splitlines() if line.strip()]
        if not lines or lines[0] != [MAGIC]:
            raise UserError(f"{param} is not a network of ncnn's: its first line should be {MAGIC}.")
        for words in lines[2:]:
            kind, inputs = words[0], int(words[2])
            names = words[4 : 4 + inputs + int(words[3])]
            options = {int(key): float(value) for key, value in (word.split("=") for word in words[4 + len(names) :])}
            if kind == "Input":
                self.input = names[0]
                continue
            if kind not in _BUILDERS:
                raise UserError(f"{param} has a layer {kind}, which is not known here: give a MobileFaceNet.")
            operation = _BUILDERS[kind](_Options(options, f"{words[1]} in {param}"), reader)
            self._layers.append(_Layer(operation, tuple(names[:inputs]), tuple(names[inputs:])))
        reader.finish()

    def __call__(self, picture: Tensor) -> Tensor:
        """The last layer's output for the input, `batch channels height width`."""
        blobs = {self.input: picture}
        output = picture
        with torch.inference_mode():
            for layer in self._layers:
                # Every blob is used once: what is used more often is split first.
                output = layer.operation([blobs.pop(name) for name in layer.inputs])
                blobs.update(dict.fromkeys(layer.outputs, output))
        return output


class _Options:
    """A layer's parameters; those that no builder asked for would be silently ignored, so they raise."""

    def __init__(self, values: dict[int, float], where: str) -> None:
        self._values, self.where = values, where

    def take(self, key: int, default: float = 0) -> float:
        return self._values.pop(key, default)

    def finish(self) -> None:
        if self._values:
            raise UserError(f"The layer {self.where} has options that are not known here: {sorted(self._values)}.")


class _WeightReader:
    """Takes the weights in their order."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self._path, self._device = path, device
        self._bytes = path.read_bytes()
        self._at = 0

    def plain(self, count: int) -> Tensor:
        """So many 32-bit numbers."""
        return self._take(count, np.dtype("<f4"))

    def flagged(self, count: int) -> Tensor:
        """So many numbers, of the kind that the flag before them says."""
        flag = int(np.frombuffer(self._chunk(4), "<u4")[0])
        if flag == FLAG_FULL:
            return self._take(count, np.dtype("<f4"))
        if flag != FLAG_HALF:
            raise UserError(f"{self._path} holds compressed weights: export it with 32- or 16-bit numbers.")
        weights = self._take(count, np.dtype("<f2"))
        self._chunk(2 * count % 4)  # What follows starts at a multiple of four bytes.
        return weights

    def finish(self) -> None:
        if self._at != len(self._bytes):
            raise UserError(f"{self._path} holds more weights than its .param file names: they do not belong together.")

    def _take(self, count: int, kind: np.dtype) -> Tensor:
        values = np.frombuffer(self._chunk(count * kind.itemsize), kind).astype(np.float32)
        return torch.from_numpy(values).to(self._device)

    def _chunk(self, size: int) -> bytes:
        chunk = self._bytes[self._at : self._at + size]
        if len(chunk) < size:
            raise UserError(f"{self._path} ends too early: it is cut off, or not its .param file's twin.")
        self._at += size
        return chunk


def _convolution(options: _Options, weights: _WeightReader, is_depthwise: bool = False) -> Operation:
    outputs = int(options.take(0))
    width = int(options.take(1))
    height = int(options.take(11, width))
    dilation_x = int(options.take(2, 1))
    dilation = int(options.take(12, dilation_x)), dilation_x
    stride_x = int(options.take(3, 1))
    stride = int(options.take(13, stride_x)), stride_x
    padding_x = int(options.take(4))
    padding = int(options.take(14, padding_x)), padding_x
    has_bias, size = bool(options.take(5)), int(options.take(6))
    groups = int(options.take(7, 1)) if is_depthwise else 1
    options.finish()
    kernel = weights.flagged(size).view(outputs, -1, height, width)
    bias = weights.plain(outputs) if has_bias else None
    return lambda inputs: F.conv2d(inputs[0], kernel, bias, stride, padding, dilation, groups)


def _inner_product(options: _Options, weights: _WeightReader) -> Operation:
    outputs, has_bias, size = int(options.take(0)), bool(options.take(1)), int(options.take(2))
    options.finish()
    matrix = weights.flagged(size).view(outputs, -1)
    bias = weights.plain(outputs) if has_bias else None
    return lambda inputs: F.linear(inputs[0].flatten(1), matrix, bias)


def _batch_norm(options: _Options, weights: _WeightReader) -> Operation:
    channels, epsilon = int(options.take(0)), options.take(1)
    options.finish()
    slope, mean, variance, bias = (weights.plain(channels) for _ in range(4))
    return lambda inputs: F.batch_norm(inputs[0], mean, variance, slope, bias, eps=epsilon)


def _prelu(options: _Options, weights: _WeightReader) -> Operation:
    slopes = weights.plain(int(options.take(0)))
    options.finish()
    return lambda inputs: F.prelu(inputs[0], slopes)


def _binary(options: _Options, weights: _WeightReader) -> Operation:
    kind, has_scalar, scalar = int(options.take(0)), bool(options.take(1)), options.take(2)
    options.finish()
    functions = {ADD: torch.add, SUBTRACT: torch.sub, MULTIPLY: torch.mul}
    if kind not in functions:
        raise UserError(f"The layer {options.where} does an arithmetic that is not known here: {kind}.")
    function = functions[kind]
    return lambda inputs: function(inputs[0], scalar if has_scalar else inputs[1])


def _split(options: _Options, weights: _WeightReader) -> Operation:
    options.finish()
    return lambda inputs: inputs[0]


_BUILDERS: dict[str, Callable[[_Options, _WeightReader], Operation]] = {
    "Convolution": _convolution,
    "ConvolutionDepthWise": lambda options, weights: _convolution(options, weights, is_depthwise=True),
    "InnerProduct": _inner_product,
    "BatchNorm": _batch_norm,
    "PReLU": _prelu,
    "BinaryOp": _binary,
    "Split": _split,
}
