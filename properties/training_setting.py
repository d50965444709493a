"""What properties of training are made of: arrays, the model, its steps, what is expected."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from catalogue import weights as drawn_weights
from catalogue.cases import Content
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.specs import Spec
from catalogue.training import measure_of
from catalogue.training_cases import MaskWay, TrainingCase, Way
from catalogue.training_reference import mean_metric, reduced
from catalogue.training_steps import Given, Measure, Model, Train
from properties.comparisons import Agrees, Level, Tolerance
from properties.contents import content_source

__all__ = ["FEATURES", "TrainingSetting"]

FEATURES = 2
# Classes have no NaN: -1 is the usual mark of a missing label. No model has a class 10,000.
_CLASS_CONTENTS = {"zeros": 0, "ones": 1, "large": 10_000, "nan": -1}


class TrainingSetting:
    """The arrays, models and steps of a case; steps are gathered in the order of the calls."""

    def __init__(self, case: TrainingCase) -> None:
        self.case = case
        self.entry = measure_of(case.measure)
        self.steps: list[Any] = []

    # -- arrays --------------------------------------------------------------------------

    @property
    def features(self) -> int:
        """The last dimension of inputs."""
        return self.case.units if self.entry.activation == "identity" else FEATURES

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
        if self.case.valid(place).all():
            return expression("v", hint, v=values)
        axes = "[..., " + ", ".join(["None"] * behind) + "]" if behind else ""
        where = f"np.where(mask{axes}, values, {padding})"
        return expression(where, hint, mask=self.mask(place), values=values)

    def inputs(self, place: int = 0, content: Content | None = None) -> Expression:
        """Inputs of shape (batch, step, ..., features)."""
        batch = self.case.batches[place]
        shape = (*self.case.lead(place), self.features)
        rng = f"np.random.default_rng({batch.seed})"
        drawn = f"{rng}.uniform(-1, 1, {shape}).astype('float32')"
        if self.entry.activation == "identity":
            drawn = f"{rng}.integers(0, 2, {shape}).astype('float32')"
        padding = _padding(content or batch.content, shape, batch.seed)
        return self._holding(place, "x", drawn, padding, len(shape) - 2)

    def labels(self, place: int = 0, content: Content | None = None) -> Expression:
        """Labels of shape (batch, step, ..., units), of classes (batch, step, ...)."""
        case, kind, lead = self.case, self.entry.labels, self.case.lead(place)
        shape = (*lead, case.units)
        seed = case.batches[place].seed + 1
        rng = f"np.random.default_rng({seed})"
        content = content or case.labels_hold
        if kind == "sparse":
            drawn = f"{rng}.integers(0, {case.units}, {lead}).astype('int32')"
            padding = f"np.int32({_CLASS_CONTENTS.get(content, 0)})"
            return self._holding(place, "y", drawn, padding, len(lead) - 2)
        drawn = {
            "real": f"{rng}.uniform(-1, 1, {shape})",
            "positive": f"{rng}.uniform(0.5, 1.5, {shape})",
            "binary": f"{rng}.integers(0, 2, {shape})",
            "classes": f"{rng}.integers(0, 2, {shape})",
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
            return expression(f"{rng}.uniform(0.5, 2, {batch.batch}).astype('float32')", hint)
        if case.sample_weight == "steps":
            shape = (batch.batch, batch.max_len)
            drawn = f"{rng}.uniform(0.5, 2, {shape}).astype('float32')"
            padding = _padding(content or case.weights_hold, shape, batch.seed)
            return self._holding(place, "w", drawn, padding, 0)
        return None

    def given(self, place: int = 0, **contents: Content) -> Given:
        """A batch as the model is given it, with these contents of masked steps."""
        masked = self.case.mask == "travelling"
        return Given(
            self.inputs(place, contents.get("inputs")),
            self.labels(place, contents.get("labels")),
            self.mask(place) if masked else None,
            self.weights(place, contents.get("weights")),
        )

    # -- the model and what is done with it ----------------------------------------------

    @property
    def measure(self) -> Measure:
        """The loss or metric as `compile` is given it."""
        case, entry = self.case, self.entry
        if case.function:
            return Measure(entry.kind, entry.function, {}, True)
        return Measure(entry.kind, entry.cls, {**entry.fixed, **case.arguments})

    def model(self, mask: MaskWay | None = None, name: str = "model") -> str:
        """Build the model, masked in this way (or the case's own), and give its name."""
        case = self.case
        mask = mask or case.mask
        layers = [Spec("Masking")] if mask == "masking" else []
        if self.entry.activation == "identity":
            layers.append(Spec("Activation", {"activation": "linear"}))
        else:
            dense = Spec("Dense", {"units": case.units, "activation": self.activation})
            layers.append(dense.with_policy(case.policy))
        loss = self.measure
        metrics: tuple[Measure, ...] = ()
        weighted: tuple[Measure, ...] = ()
        if self.entry.kind == "metrics":
            sparse = self.entry.labels == "sparse"
            cls = "SparseCategoricalCrossentropy" if sparse else "MeanSquaredError"
            loss = Measure("losses", cls, {})
            if case.weighted:
                weighted = (self.measure,)
            else:
                metrics = (self.measure,)
        self.steps.append(
            Model(
                name,
                tuple(layers),
                self.rest,
                loss,
                metrics,
                weighted,
                mask == "travelling",
                case.weights,
            )
        )
        return name

    @property
    def activation(self) -> str:
        """That of the last layer; a loss that takes logits is given them."""
        return "linear" if self.case.arguments.get("from_logits") else self.entry.activation

    def train(
        self,
        name: str,
        *given: Given,
        model: str = "model",
        way: Way | None = None,
        class_weight: tuple[float, ...] = (),
    ) -> Train:
        """Give the model batches (or the case's own), in the case's way or in another."""
        batches = given or tuple(map(self.given, range(len(self.case.batches))))
        step = Train(name, model, way or self.case.way, batches, class_weight)
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
        loop = case.way == "custom loop"
        found: dict[str, Expression | Output] = {}
        for place in range(len(case.batches) if loop else 1):
            loss: Expression | Output = Output(name, place)
            if self.unreduced:
                # By its length from the front: more steps may follow.
                valid = literal(case.valid(place), "valid")
                loss = expression("a[:, :valid.shape[1]][valid]", a=loss, valid=valid)
            found[f"loss {place}" if place else "loss"] = loss
        if self.entry.kind == "metrics":
            found["metric"] = Output(f"{name}.metric")
        elif case.trains and self.entry.activation != "identity":
            what = "gradient" if loop else "weights"
            count = 2 * len(case.batches) if loop else 2
            found |= {f"{what} {k}": Output(f"{name}.state", k) for k in range(count)}
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
            if not metric or name == "metric"
        ]

    def counts(self, place: int = 0) -> np.ndarray:
        """Which positions of a batch count for a loss: valid ones, of a class not ignored."""
        case = self.case
        valid = np.ones_like(case.valid(place)) if case.mask == "weights" else case.valid(place)
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

        With `weights` these weigh samples, in place of the case's own.
        """
        weights = self.weights() if weights is None else weights
        exact, rounded = (
            np.asarray(self._reference(dtype, weights)) for dtype in ("float64", "float32")
        )
        with np.errstate(invalid="ignore"):
            apart = np.abs(rounded.astype(np.float64) - exact)
        rounding = float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0
        tolerance = self.tolerance
        return exact, Tolerance(tolerance.terms, tolerance.epsilon, np.asarray(rounding))

    @property
    def tolerance(self) -> Tolerance:
        """How far two healthy runs may lie apart."""
        sizes = [np.prod(self.case.lead(place)) for place in range(len(self.case.batches))]
        terms = (16 + 2 * int(max(sizes)) * self.case.units) * self.entry.scale
        compute = self.case.policy.removeprefix("mixed_")
        return Tolerance(int(terms), float(np.finfo(compute).eps))

    def _reference(self, dtype: str, weights: Expression | None) -> np.ndarray:
        case, entry = self.case, self.entry
        with np.errstate(all="ignore"):
            p = self._predictions(dtype)
            y = self.labels().value()
            y = y if entry.labels == "sparse" else y.astype(dtype)
            w = None if weights is None else weights.value().astype(dtype)
            valid = np.ones_like(case.valid(0)) if case.mask == "weights" else case.valid(0)
            arguments = {**entry.fixed, **case.arguments}
            if entry.kind == "losses":
                assert entry.values is not None
                values = entry.values(y, p, arguments)
                return reduced(values, self.counts(), w, case.reduction)
            if not case.weighted:
                w = None
            if entry.values is not None:
                return mean_metric(entry.values(y, p, arguments), valid, w)
            factors = valid.astype(dtype)
            if w is not None:
                factors = factors * w.reshape(*w.shape, *[1] * (2 - w.ndim))
            kept = factors > 0
            assert entry.whole is not None
            return np.asarray(entry.whole(y[kept], p[kept], factors[kept], arguments), dtype)

    def _predictions(self, dtype: str) -> np.ndarray:
        x: np.ndarray = self.inputs().value().astype(dtype)
        if self.entry.activation == "identity":
            return x
        kernel, bias = (weight.astype("float32").astype(dtype) for weight in self.drawn)
        p: np.ndarray = x @ kernel + bias
        if self.activation == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-p)))
        if self.activation == "softmax":
            p = np.exp(p - p.max(-1, keepdims=True))
            return np.asarray(p / p.sum(-1, keepdims=True))
        return p

    @functools.cached_property
    def drawn(self) -> list[np.ndarray]:
        """The model's weights: a kernel and a bias."""
        if self.entry.activation == "identity":
            return []
        shapes = [(self.features, self.case.units), (self.case.units,)]
        return drawn_weights.drawn(self.case.weights, shapes)


def _padding(content: Content, shape: tuple[int, ...], seed: int) -> str:
    return content_source(content, dtype="float32", shape=shape, seed=seed + 100)
