"""Runs layers on the second of two logical CPUs, and says as JSON where everything lay.

Two logical CPUs stand in for the code that places layers, calls and masks; they are no GPU.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from catalogue.expressions import literal
from catalogue.specs import Spec
from catalogue.steps import Build, Call, Gradient, Step, Through
from execution.implementation import Implementation, installed
from execution.results import Execution
from execution.running import Misplaced, Runner

X = literal(np.ones((2, 3, 1), "float32"))
MASK = literal(np.array([[True, True, False], [True, False, False]]))


def _where(tensor: Any) -> str:
    return str(tensor.device).rpartition("device:")[2].lower()


class Watching(Runner):
    """A runner that remembers where the outputs of its calls lay."""

    places: list[str]

    def _hand_back(self, tensors: list[Any]) -> list[np.ndarray]:
        self.places += [_where(tensor) for tensor in tensors]
        return super()._hand_back(tensors)


def _steps(layer: str, *, stateful: bool, elsewhere: bool) -> tuple[Step, ...]:
    spec = Spec(layer, {"units": 2, "return_sequences": True, "return_state": True})
    if stateful:
        spec = spec.replace(stateful=True)
    build = Build("layer", spec, (2, None, 1), 0)
    if elsewhere:
        call = Call("y", "layer", (Through("elsewhere", (X, MASK)),), {}, 2)
        return build, Build("elsewhere", Spec("Travelling"), (None, None, 1)), call
    call = Call("y", "layer", (X,), {"mask": MASK}, 2)
    return build, call, Gradient("dy", call)


def main() -> None:
    """Run every combination and print what was seen of it."""
    implementation = Implementation(installed())
    tf, keras = implementation.tensorflow, implementation.keras
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [logical, logical])

    masks: list[str] = []

    class Elsewhere(keras.layers.Layer):  # type: ignore[misc, name-defined]
        """A layer whose mask lies on the other device."""

        def call(self, inputs: Any) -> Any:
            return tf.identity(inputs[0])

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            with tf.device("/cpu:0"):
                moved = tf.identity(inputs[1])
            masks.append(_where(moved))
            return moved

    class Astray(keras.layers.SimpleRNN):  # type: ignore[misc, name-defined]
        """A layer that leaves its output on the other device, as TensorFlow may by itself."""

        def call(self, *args: Any, **kwargs: Any) -> Any:
            with tf.device("/cpu:0"):
                return tf.identity(super().call(*args, **kwargs))

    there = Implementation(implementation.installed, {"Travelling": Elsewhere})
    seen = []
    for device in ("cpu:0", "cpu:1"):
        for mode in ("eager", "graph"):
            for layer in ("LSTM", "GRU", "SimpleRNN"):
                for stateful, elsewhere in ((False, False), (True, False), (False, True)):
                    runner = Watching(there, Execution(device, mode))
                    runner.places = []
                    masks.clear()
                    results = runner.run(_steps(layer, stateful=stateful, elsewhere=elsewhere))
                    built = next(iter(runner._layers.kept.values())).layer
                    variables = [
                        getattr(each, "_value", each)
                        for each in [*built.weights, *tf.nest.flatten(getattr(built, "states", []))]
                        if each is not None
                    ]
                    seen.append(
                        {
                            "asked": device,
                            "mode": mode,
                            "layer": layer,
                            "stateful": stateful,
                            "elsewhere": elsewhere,
                            "outputs": runner.places,
                            "masks": list(masks),
                            "weights": [_where(variable) for variable in variables],
                            "failures": [str(failure) for failure in results.failures.values()],
                            "values": [o.tolist() for o in results.outputs.get("y", ())],
                        }
                    )
    for each in seen:
        print(json.dumps(each))
    astray = Implementation(implementation.installed, {"SimpleRNN": Astray})
    spec = Spec("SimpleRNN", {"units": 2})
    try:
        Runner(astray, Execution("cpu:1", "eager")).run(
            (Build("layer", spec, (2, None, 1), 0), Call("y", "layer", (X,), {}, 1))
        )
    except Misplaced as error:
        print(json.dumps(str(error)))


if __name__ == "__main__":
    main()
