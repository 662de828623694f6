"""MediaPipe's face mesh with attention, without the tracker around it: one upright face in, its landmarks out."""

import importlib
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import UInt8

from tracking.landmarks import DetectedFace
from tracking.mediapipe_models import load_solutions, silenced_native_log

MESH_INPUT_SIZE = 192
"""Pixels that the model sees across."""

GRAPH = """
input_stream: "image"
input_stream: "square"
input_side_packet: "with_attention"
output_stream: "matrix"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:square"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE:image"
  output_stream: "SIZE:size"
}
node {
  calculator: "LandmarksToMatrixCalculator"
  input_stream: "IMAGE_SIZE:size"
  input_stream: "LANDMARKS:landmarks"
  output_stream: "LANDMARKS_MATRIX:matrix"
  options { [mediapipe.LandmarksToMatrixCalculatorOptions.ext] { object_normalization: false } }
}
"""
"""MediaPipe's own subgraph. The solution `FaceMesh` wraps it in a tracker that chooses by itself where to look, from
what it saw before, picks pixels of large faces without averaging, and looks once. The matrix, unlike the list of
landmarks, need not be decoded by protobuf in Python, which would take longer than the model does."""
PRESENCE_OPTION = "facelandmarkcpu__ThresholdingCalculator.threshold"


class FaceMeshModel:
    """Maps a square cut around a face to its mesh. Calls have no memory of each other."""

    pixels = MESH_INPUT_SIZE
    margin = 1.0

    def __init__(self, least_presence: float) -> None:
        """
        Args:
            least_presence: least score, in [0, 1], with which the model must say that there is a face in the square.

        Raises:
            ImportError: MediaPipe with bundled models is not installed.
        """
        solutions = load_solutions()
        from google.protobuf import text_format
        from mediapipe.python.solution_base import PacketDataType, SolutionBase
        from mediapipe.tasks.cc.vision.gesture_recognizer.calculators import landmarks_to_matrix_calculator_pb2

        # Their classes are made at run time, out of the type checker's sight.
        formats: Any = importlib.import_module("mediapipe.framework.formats.rect_pb2")
        calculators: Any = importlib.import_module("mediapipe.framework.calculator_pb2")
        # Importing these makes the options known that the graph has and that is set in it.
        assert landmarks_to_matrix_calculator_pb2 and solutions.face_mesh
        self._whole_image = formats.NormalizedRect(x_center=0.5, y_center=0.5, width=1.0, height=1.0)
        with silenced_native_log():
            self._graph = SolutionBase(
                graph_config=text_format.Parse(GRAPH, calculators.CalculatorGraphConfig()),
                calculator_params={PRESENCE_OPTION: least_presence},
                side_inputs={"with_attention": True},
                outputs=["matrix"],
                stream_type_hints={"matrix": PacketDataType.AUDIO},
            )
            # The first run is when its threads say what they have to say.
            self.process(np.zeros((MESH_INPUT_SIZE, MESH_INPUT_SIZE, 3), np.uint8))

    def process(self, image: UInt8[np.ndarray, "pixels pixels 3"]) -> DetectedFace | None:
        """The face, its landmarks as shares of the picture; None where the model sees none."""
        found: Any = self._graph.process({"image": np.ascontiguousarray(image), "square": self._whole_image})
        return None if found.matrix is None else DetectedFace(found.matrix.T.astype(np.float64))


@cache
def shared_face_mesh(least_presence: float) -> FaceMeshModel:
    """One for the whole process, for no call remembers another: MediaPipe does not give back all that a model took."""
    return FaceMeshModel(least_presence)
