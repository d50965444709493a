"""What properties of training are made of: arrays, the model, its steps, what is expected."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from catalogue import weights as drawn_weights
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.specs import Spec
from catalogue.training_cases import DATASETS, LOOPS, TRAINS, MaskWay, TrainingCase, Way
from catalogue.training_reference import mean_metric, reduced
from catalogue.training_steps import Batch, Given, Head, Measure, Model, Train
from properties.comparisons import Agrees, Level, Tolerance, rounding_between
from properties.training_arrays import TrainingArrays

__all__ = ["TrainingSetting", "halves", "longer", "some_rows", "still"]


_PENALTY = 0.01  # of Keras' "l2", by the sum of squares


class TrainingSetting(TrainingArrays):
    """The arrays, models and steps of a case; steps are gathered in the order of the calls."""

    def __init__(self, case: TrainingCase) -> None:
        super().__init__(case)
        self.steps: list[Any] = []
        # Whether a row without a valid step counts where a measure has a number for each row.
        self.every_row = False
        # Those of the outputs beside its own: of these arrays, layers and references are asked.
        self.beside = tuple(map(TrainingSetting, case.beside))
        for which, one in enumerate(self.beside, 1):
            one.__dict__["drawn"] = self._shared(which)

    def _ordered(self, own: Any, others: Iterable[Any]) -> tuple[Any, ...]:
        """Something for each output, in the order of the model's outputs."""
        return (*others, own) if self.case.turned else (own, *others)

    @property
    def place(self) -> int:
        """Which of the model's outputs is its own."""
        return len(self.beside) if self.case.turned else 0

    @property
    def metric(self) -> int:
        """Which of the model's metrics is its own: of both kinds the plain one comes first."""
        return int(self.case.weighted) if self.case.twin else self.place

    # -- the model and what is done with it ----------------------------------------------

    @property
    def measure(self) -> Measure:
        """The loss or metric as `compile` is given it."""
        case, entry = self.case, self.entry
        if case.given_as == "object":
            return Measure(entry.kind, entry.cls, {**entry.fixed, **case.arguments})
        name = case.given_as == "name"
        return Measure(
            entry.kind, entry.word if name and entry.word else entry.function, {}, case.given_as
        )

    def head(self, mask: MaskWay | None = None) -> Head:
        """Its own output, masked in this way (or the case's own)."""
        case = self.case
        mask = mask or case.mask
        layers = [Spec("Masking")] if mask == "masking" else []
        if case.pooled:
            layers.append(Spec("MaskedSum"))
        if self.entry.activation == "identity":
            layers.append(Spec("Activation", {"activation": "linear"}))
        else:
            dense = Spec("Dense", {"units": case.units, "activation": self.activation})
            if case.penalty:
                dense = dense.replace(kernel_regularizer="l2")
            if case.activity:
                dense = dense.replace(activity_regularizer="l2")
            layers.append(dense.with_policy(case.policy))
        loss = self.measure
        metrics: tuple[Measure, ...] = ()
        weighted: tuple[Measure, ...] = ()
        if self.entry.kind == "metrics":
            sparse = self.entry.labels == "sparse"
            cls = "SparseCategoricalCrossentropy" if sparse else "MeanSquaredError"
            loss = Measure("losses", cls, {})
            if case.weighted or case.twin:
                weighted = (self.measure,)
            if not case.weighted or case.twin:
                metrics = (self.measure,)
        return Head(tuple(layers), self.rest, loss, metrics, weighted, mask == "travelling")

    def model(self, mask: MaskWay | None = None, name: str = "model", **options: Any) -> str:
        """Build the model, its own output masked in this way, and give its name.

        `options` are what else a `Model` says.
        """
        case = self.case
        heads = self._ordered(self.head(mask), (one.head() for one in self.beside))
        factors = case.loss_weights
        if factors:
            factors = self._ordered(factors[0], factors[1:])
        self.steps.append(Model(name, heads, case.weights, case.nest, factors, **options))
        return name

    @property
    def activation(self) -> str:
        """That of the last layer; a loss that takes logits is given them."""
        return "linear" if self.case.arguments.get("from_logits") else self.entry.activation

    def batch(self, given: Given, place: int = 0) -> Batch:
        """A batch of the model, of which its own output is given this."""
        batch: Batch = self._ordered(given, (one.given(place) for one in self.beside))
        weighed = [one.weights is not None for one in batch]
        called = self.case.way in DATASETS or self.case.way.endswith("on_batch")
        if not called or not any(weighed):
            return batch
        # Methods are given weights for every output, or for none: ones are as good as none.
        return tuple(
            one
            if one.weights is not None
            else dataclasses.replace(
                one,
                weights=expression(
                    "np.ones(y.shape[:min(2, y.ndim - 1)], 'float32')", "w_ones", y=one.labels
                ),
            )
            for one in batch
        )

    def masks(self, place: int = 0) -> tuple[Expression, ...]:
        """The masks of a batch, for each of the model's outputs."""
        return self._ordered(self.mask(place), (one.mask(place) for one in self.beside))

    def train(
        self,
        name: str,
        *given: Given | Batch,
        model: str = "model",
        way: Way | None = None,
        **options: Any,
    ) -> Train:
        """Give the model batches (or the case's own), in the case's way or in another.

        Of a batch that is none of the model's but of its own output, the others have the case's.
        `options` are what else a `Train` says.
        """
        own = given or tuple(map(self.given, range(len(self.case.batches))))
        batches = tuple(
            self.batch(one, place) if isinstance(one, Given) else one
            for place, one in enumerate(own)
        )
        step = Train(name, model, way or self.case.way, batches, **options)
        self.steps.append(step)
        return step

    # -- what comes out ------------------------------------------------------------------

    @property
    def unreduced(self) -> bool:
        """Whether the loss is a number for each position."""
        return self.entry.kind == "losses" and self.case.reduction is None

    def results(self, name: str) -> dict[str, Expression | Output]:
        """What a step hands back, by the names of comparisons: positions that are valid only."""
        case = self.case
        loop = case.way in LOOPS
        found: dict[str, Expression | Output] = {}
        for place in range(len(case.batches) if loop else 1):
            loss: Expression | Output = Output(name, place)
            if self.unreduced:
                # By its length from the front: more steps may follow.
                valid = literal(case.counted(place), "valid")
                at = "a[valid]" if case.pooled else "a[:, :valid.shape[1]][valid]"
                loss = expression(at, a=loss, valid=valid)
            found[f"loss {place}" if place else "loss"] = loss
        if self.beside and not loop:
            found["own loss"] = Output(f"{name}.each", self.place)
            found["other loss"] = Output(f"{name}.each", 1 - self.place)
        if self.entry.kind == "metrics":
            found["metric"] = Output(f"{name}.metric", self.metric)
            if self.beside:
                found["other metric"] = Output(f"{name}.metric", 1 - self.place)
        elif case.trains and self.entry.activation != "identity":
            what = "gradient" if loop else "weights"
            each = 2 * (1 + len(self.beside))
            for turn in range(len(case.batches) if loop else 1):
                for k in range(2):
                    which = turn * each + k
                    found[f"{what} {2 * turn + k}"] = Output(
                        f"{name}.state", which + 2 * self.place
                    )
                    if self.beside:
                        other = Output(f"{name}.state", which + 2 * (1 - self.place))
                        found[f"other {what} {2 * turn + k}"] = other
        return found

    def agree(
        self, left: str, right: str, tolerance: Tolerance | None = None, level: Level = "must"
    ) -> list[Agrees]:
        """All that two steps hand back agrees; in a metric's cells that is the metric."""
        ones, others = self.results(left), self.results(right)
        metric = self.entry.kind == "metrics"
        return [
            Agrees(name, one, others[name], tolerance, level, self.tolerance)
            for name, one in ones.items()
            if not metric or name.endswith("metric")
        ]

    def counts(self, place: int = 0) -> np.ndarray:
        """Which positions of a batch count for a loss: valid ones, of a class not ignored."""
        case = self.case
        valid = case.counted(place)
        if case.weighs:
            valid = np.ones_like(valid)
        ignored = case.arguments.get("ignore_class")
        if ignored is None:
            return valid
        labels = self.labels(place).value()
        behind = [1] * (labels.ndim - valid.ndim)
        found: np.ndarray = valid.reshape(*valid.shape, *behind) & (labels != ignored)
        return found

    # -- what is expected ----------------------------------------------------------------

    def expected(self, weights: Expression | None = None) -> tuple[np.ndarray, Tolerance]:
        """The loss or metric of the first batch in float64, and what its own rounding allows.

        With `weights` these weigh samples, in place of the case's own. Of a loss beside others it
        is its own, not what all add up to.
        """
        weights = self._weighing() if weights is None else weights
        added = 0.0 if self.case.beside else self.penalty
        exact, rounded = (
            np.asarray(self._reference(dtype, weights) + added) for dtype in ("float64", "float32")
        )
        rounding = np.asarray(rounding_between(rounded, exact))
        tolerance = self.tolerance
        return exact, Tolerance(tolerance.terms, tolerance.epsilon, rounding)

    def twin(self) -> tuple[np.ndarray, Tolerance, Output]:
        """What is expected of the same metric of the other kind, and where step `a` has it."""
        other = TrainingSetting(msgspec.structs.replace(self.case, weighted=not self.case.weighted))
        return (*other.expected(), Output("a.metric", other.metric))

    def total(self, weights: Expression | None = None) -> tuple[np.ndarray, Tolerance]:
        """The loss of all outputs together, each by its weight, and the penalty."""
        found = [one.expected(weights) for one in (self, *self.beside)]
        factors = self.case.loss_weights or (1.0,) * len(found)
        total: Any = sum(factor * exact for factor, (exact, _) in zip(factors, found, strict=True))
        total = total + self.penalty
        own = found[0][1]
        rounding = sum(np.max(one.rounding) for _, one in found if one.rounding is not None)
        return np.asarray(total), Tolerance(4 * own.terms, own.epsilon, np.asarray(2 * rounding))

    @property
    def penalty(self) -> float:
        """What the last layer's kernel adds to the loss (keras.io/api/layers/regularizers: L2)."""
        if not self.case.penalized:
            return 0.0
        return _PENALTY * float(np.square(self.drawn[0]).sum())

    def activity(self) -> tuple[float, float]:
        """What the outputs at valid steps of the first batch add to the loss, and its rounding.

        Source: keras.io/api/layers/regularizers: it "gets divided by the input batch size".
        """
        exact, rounded = (
            np.square(self._predictions(dtype)[self.case.counted(0)]).sum()
            for dtype in ("float64", "float32")
        )
        each = _PENALTY / self.case.batches[0].batch
        return float(each * exact), each * rounding_between(rounded, exact)

    def started(self, which: int) -> np.ndarray:
        """A weight, or its gradient in a loop, where nothing but the penalty acts on it."""
        start = self.drawn[which].astype("float32")
        gradient = np.zeros_like(start)
        if self.case.penalized and which == 0:
            gradient = np.float32(2 * _PENALTY) * start
        return start - gradient if self.case.way in TRAINS else gradient

    def _weighing(self) -> Expression | None:
        """The weights that reach the loss: those of samples, and the mask where it is one."""
        weights = self.weights()
        if self.case.way != "mask as weights" or self.case.mask not in ("travelling", "masking"):
            return weights
        if weights is None:
            return expression("mask.astype('float32')", mask=self.mask())
        spread = "w[:, None]" if self.case.sample_weight == "rows" else "w"
        return expression(f"np.where(mask, {spread}, 0)", mask=self.mask(), w=weights)

    @property
    def tolerance(self) -> Tolerance:
        """How far two healthy runs may lie apart."""
        sizes = [np.prod(self.case.lead(place)) for place in range(len(self.case.batches))]
        terms = (16 + 2 * int(max(sizes)) * self.case.units) * self.entry.scale
        compute = self.case.policy.removeprefix("mixed_")
        # NumPy knows of bfloat16 its name alone: 7 bits of fraction.
        epsilon = 2.0**-7 if compute == "bfloat16" else float(np.finfo(compute).eps)
        return Tolerance(int(terms), epsilon)

    def _reference(self, dtype: str, weights: Expression | None) -> np.ndarray:
        case, entry = self.case, self.entry
        with np.errstate(all="ignore"):
            p = self._predictions(dtype)
            y = self.labels().value()
            y = y if entry.labels == "sparse" else y.astype(dtype)
            w = None if weights is None else weights.value().astype(dtype)
            valid: Any = case.counted(0)
            counts: Any = self.counts()
            if entry.of_rows:
                valid = counts = valid.reshape(len(valid), -1).any(axis=1) | self.every_row
            if case.weighs:
                valid = np.ones_like(valid)
            arguments = {**entry.fixed, **case.arguments}
            if entry.kind == "losses" and entry.values is not None:
                values = entry.values(y, p, arguments)
                return reduced(values, counts, w, case.reduction)
            if entry.kind == "metrics" and not case.weighted:
                w = None
            if entry.values is not None:
                return mean_metric(entry.values(y, p, arguments), valid, w)
            factors = valid.astype(dtype)
            if w is not None:
                factors = factors * w.reshape(*w.shape, *[1] * (factors.ndim - w.ndim))
            kept = factors > 0
            assert entry.whole is not None
            return np.asarray(entry.whole(y[kept], p[kept], factors[kept], arguments), dtype)

    def of_rows(self) -> np.ndarray:
        """The number of each row of the first batch, where the measure gives one."""
        assert self.entry.values is not None
        predictions = self._predictions("float64")
        labels = self.labels().value().astype("float64")
        return np.asarray(self.entry.values(labels, predictions, self.case.arguments))

    def _predictions(self, dtype: str) -> np.ndarray:
        x: np.ndarray = self.inputs().value().astype(dtype)
        if self.entry.activation == "identity":
            return x
        kernel, bias = (weight.astype("float32").astype(dtype) for weight in self.drawn)
        if self.case.pooled:
            x = np.where(self.case.valid(0)[..., None], x, 0).sum(1)
        p: np.ndarray = x @ kernel + bias
        if self.activation == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-p)))
        if self.activation == "softmax":
            p = np.exp(p - p.max(-1, keepdims=True))
            return np.asarray(p / p.sum(-1, keepdims=True))
        return p

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Those of its own output's weights: a kernel and a bias."""
        if self.entry.activation == "identity":
            return []
        return [(self.features, self.case.units), (self.case.units,)]

    @functools.cached_property
    def drawn(self) -> list[np.ndarray]:
        """The weights of its own output."""
        return self._shared(0)

    def _shared(self, which: int) -> list[np.ndarray]:
        """The weights of one of `(own, *beside)`, as they are drawn for the whole model."""
        settings = (self, *self.beside)
        order = self._ordered(0, range(1, len(settings)))
        shapes = [shape for one in order for shape in settings[one].shapes]
        drawn = iter(drawn_weights.drawn(self.case.weights, shapes))
        found = {one: [next(drawn) for _ in settings[one].shapes] for one in order}
        return found[which]


def longer(given: Given, case: TrainingCase) -> Given:
    """A batch with masked steps appended to each row: zeros, and weights of 1 or 0."""

    def padded(array: Expression, fill: str) -> Expression:
        width = f"[(0, 0), (0, {case.inserted})] + [(0, 0)] * (a.ndim - 2)"
        return expression(
            f"np.pad(a, {width}, constant_values={fill})", f"{array.hint}_longer", a=array
        )

    weights = given.weights
    if weights is not None and case.sample_weight != "rows":
        weights = padded(weights, "0" if case.mask == "weights" else "1")
    return dataclasses.replace(
        given,
        inputs=padded(given.inputs, "0"),
        labels=given.labels if case.pooled else padded(given.labels, "0"),
        mask=None if given.mask is None else padded(given.mask, "False"),
        weights=weights,
    )


def still(case: TrainingCase) -> TrainingCase:
    """The case in a way that leaves weights alone where a metric is of several batches.

    Else the second would be looked at with weights that depend on what the loss saw of the first.
    """
    if case.measure.startswith("metric") and case.way in TRAINS and len(case.batches) > 1:
        return msgspec.structs.replace(case, way="test step")
    return case


def halves(setting: TrainingSetting) -> list[Batch]:
    """The first batch in two, the first half of its rows and the rest."""
    rows = setting.case.batches[0].batch
    whole = setting.batch(setting.given())
    places = (slice(rows // 2), slice(rows // 2, rows))
    return [tuple(some_rows(one, place) for one in whole) for place in places]


def some_rows(given: Given, place: slice) -> Given:
    """Some rows of a batch."""

    def some(array: Expression | None) -> Expression | None:
        if array is None:
            return None
        text = f"a[{place.start or 0}:{place.stop}]"
        return expression(text, f"{array.hint}_{'second' if place.start else 'first'}", a=array)

    inputs, labels = some(given.inputs), some(given.labels)
    assert inputs is not None
    assert labels is not None
    return Given(inputs, labels, some(given.mask), some(given.weights))
