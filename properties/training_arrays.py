"""The arrays of a training case: inputs, labels and weights of samples, with padding in them."""

from __future__ import annotations

import functools
from typing import Any

from catalogue.cases import Content
from catalogue.expressions import Expression, expression, literal
from catalogue.training import measure_of
from catalogue.training_cases import TrainingCase
from catalogue.training_steps import Given
from properties.contents import content_source

__all__ = ["FEATURES", "TrainingArrays"]

FEATURES = 2
# Classes have no NaN: -1 is the usual mark of a missing label. No model has a class 10,000.
_CLASS_CONTENTS = {"zeros": 0, "ones": 1, "large": 10_000, "nan": -1}


class TrainingArrays:
    """The arrays of a case, of its own output alone."""

    def __init__(self, case: TrainingCase) -> None:
        self.case = case
        self.entry = measure_of(case.measure)

    @property
    def features(self) -> int:
        """The last dimension of inputs."""
        return self.case.units if self.entry.activation == "identity" else FEATURES

    @property
    def classes(self) -> Any:
        """How many classes there are where labels name them."""
        return self.entry.fixed.get("num_classes", 2)

    @property
    def rest(self) -> tuple[int, ...]:
        """What stands behind (batch, step) in the shape of inputs."""
        return (*((self.case.inner,) if self.case.inner else ()), self.features)

    @functools.cached_property
    def _masks(self) -> list[Expression]:
        places = range(len(self.case.batches))
        return [literal(self.case.valid(place), f"mask{place or ''}") for place in places]

    def mask(self, place: int = 0) -> Expression:
        """The mask of a batch, of shape (batch, step)."""
        return self._masks[place]

    def _holding(self, place: int, hint: str, drawn: str, padding: str, behind: int) -> Expression:
        """Drawn values, and at masked steps the padding; `behind` axes follow the steps."""
        hint = f"{hint}{place or ''}"
        values = expression(drawn, f"{hint}_values")
        if self.case.valid(place).all() or (hint[0] != "x" and self.case.pooled):
            return expression("v", hint, v=values)
        axes = "[..., " + ", ".join(["None"] * behind) + "]" if behind else ""
        where = f"np.where(mask{axes}, values, {padding})"
        return expression(where, hint, mask=self.mask(place), values=values)

    def inputs(self, place: int = 0, content: Content | None = None) -> Expression:
        """Inputs of shape (batch, step, ..., features)."""
        batch = self.case.batches[place]
        shape = (batch.batch, batch.max_len, *self.rest)
        rng = f"np.random.default_rng({batch.seed})"
        drawn = f"{rng}.uniform(-1, 1, {shape}).astype('float32')"
        if self.entry.activation == "identity":
            # Nobody says what becomes of a class that is ignored where it is predicted.
            least = int(self.case.arguments.get("ignore_class") == 0)
            drawn = f"{rng}.integers({least}, {self.classes}, {shape}).astype('float32')"
        padding = _padding(content or batch.content, shape, batch.seed)
        return self._holding(place, "x", drawn, padding, len(shape) - 2)

    def labels(self, place: int = 0, content: Content | None = None) -> Expression:
        """Labels of shape (batch, step, ..., units), of classes (batch, step, ...)."""
        case, kind, lead = self.case, self.entry.labels, self.case.lead(place)
        shape = (*lead, case.units)
        seed = case.batches[place].seed + 1
        rng = f"np.random.default_rng({seed})"
        content = content or case.labels_hold
        void: Any = case.arguments.get("ignore_class")
        ignored = 0 if void is None else void
        if kind == "sparse":
            # A mark that is ignored and no class stands at some valid steps.
            drawn = f"{rng}.integers({min(0, ignored)}, {case.units}, {lead}).astype('int32')"
            padding = f"np.int32({_CLASS_CONTENTS.get(content, 0)})"
            return self._holding(place, "y", drawn, padding, len(lead) - 2)
        drawn = {
            "real": f"{rng}.uniform(-1, 1, {shape})",
            "positive": f"{rng}.uniform(0.5, 1.5, {shape})",
            "binary": f"{rng}.integers(0, 2, {shape})",
            # Of each label rows with it and without it: there are rates of both.
            "alternating": f"((np.indices({shape})[0] + {rng}.integers(0, 2, {case.units})) % 2)",
            "classes": f"{rng}.integers({min(0, ignored)}, {self.classes}, {shape})",
            "sign": f"{rng}.choice([-1, 1], {shape})",
            "one-hot": f"np.eye({case.units})[{rng}.integers(0, {case.units}, {lead})]",
            "distribution": f"{rng}.dirichlet([2.0] * {case.units}, {lead})",
        }[kind]
        padding = _padding(content, shape, seed)
        return self._holding(place, "y", f"{drawn}.astype('float32')", padding, len(shape) - 2)

    def weights(self, place: int = 0, content: Content | None = None) -> Expression | None:
        """Sample weights, (batch,) or (batch, step); None where there are none."""
        case = self.case
        batch = case.batches[place]
        hint = f"w{place or ''}"
        if case.mask == "weights":
            return expression("mask.astype('float32')", hint, mask=self.mask(place))
        rng = f"np.random.default_rng({batch.seed + 2})"
        if case.sample_weight == "rows":
            drawn = f"{rng}.uniform(0.5, 2, {batch.batch})"
            if case.pooled:  # rows are all that there is: some of them are discarded
                drawn = f"({drawn} * ({_some(batch.seed, (batch.batch,))}))"
            return expression(f"{drawn}.astype('float32')", hint)
        if case.sample_weight == "steps":
            shape = (batch.batch, batch.max_len)
            # A step of weight 0 is valid all the same: it is one of those that a mean divides by.
            some = _some(batch.seed, shape)
            drawn = f"({rng}.uniform(0.5, 2, {shape}) * ({some})).astype('float32')"
            padding = _padding(content or case.weights_hold, shape, batch.seed)
            return self._holding(place, "w", drawn, padding, 0)
        return None

    def given(self, place: int = 0, **contents: Content) -> Given:
        """A batch as the model is given it, with these contents of masked steps."""
        masked = self.case.mask == "travelling"
        padded = self.case.way.startswith("padded")
        return Given(
            self.inputs(place, contents.get("inputs")),
            self.labels(place, contents.get("labels")),
            self.mask(place) if masked else None,
            self.weights(place, contents.get("weights")),
            tuple(map(int, self.case.valid(place).sum(1))) if padded else (),
        )


def _some(seed: int, shape: tuple[int, ...]) -> str:
    """The source of an array that is True at four of five places."""
    return f"np.random.default_rng({seed + 3}).random({shape}) < 0.8"


def _padding(content: Content, shape: tuple[int, ...], seed: int) -> str:
    return content_source(content, dtype="float32", shape=shape, seed=seed + 100)
