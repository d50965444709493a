"""Every statement of both articles that can be tested, in order of appearance, in our own words."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

__all__ = ["ARTICLES", "CLAIMS", "EXAMPLES", "MODES", "Claim", "Sizes", "condition_of"]

_RANKS, _SHAPES = "batch_wide_mask_broadcast.txt", "unexpected_mask_shapes.txt"
ARTICLES = (_RANKS, _SHAPES)

MODES = ("eager", "graph, known shapes", "graph, unknown shapes", "symbolic")


class Sizes(NamedTuple):
    """Batch, steps and features (or units) of an example, and how it is run."""

    batch: int
    step: int
    features: int
    mode: str = "eager"


# The sizes of each article's own examples.
EXAMPLES = {_RANKS: Sizes(32, 20, 128), _SHAPES: Sizes(4, 10, 10)}


class Claim(NamedTuple):
    """A statement: the article and the place in it, whether it is of code, what it says.

    `name` is the function of `execution.claims` that looks whether it is so, for given sizes;
    with `modes` it is looked at in each of `MODES`. Statements that say the same share one.
    """

    name: str
    article: str
    place: str
    statement: str
    modes: bool = False


def _ranks(place: str, *found: tuple[str, str]) -> list[Claim]:
    return [Claim(name, _RANKS, place, statement) for name, statement in found]


def _shapes(place: str, *found: tuple[str, str]) -> list[Claim]:
    return [Claim(name, _SHAPES, place, statement) for name, statement in found]


CLAIMS: tuple[Claim, ...] = (
    *_ranks(
        "introduction",
        ("misfit_refused", "Sizes that do not fit are refused in elementwise operations."),
        ("lower_rank_refused", "A mask of another rank than the output fails to broadcast."),
        ("ones_shape", "Keras does broadcast where shapes are aligned."),
        ("numpy_rules", "What can be broadcast is what NumPy can broadcast."),
        ("steps_of_ones", "A mask of shape (B,T,1) masks all features of its steps."),
        ("steps_plain", "So does a mask of shape (B,T)."),
        ("rows_refused", "A mask of shape (B,1) does not work for the output."),
        ("rows_astray", "Such a mismatch raises, or silently masks what was not meant."),
        ("ops_numpy", "Keras broadcasts by NumPy's rules: in its elementwise operations."),
        ("symbols_numpy", "Keras broadcasts by NumPy's rules: on symbolic tensors."),
        ("merging_numpy", "Keras broadcasts by NumPy's rules: in merging layers."),
    ),
    *_ranks(
        "first example",
        ("first_output", "(code) The model's output has the shape (B,T,128)."),
        ("rows_refused", "(code) Multiplying it by a mask of shape (B,1) raises."),
        ("rank_is_why", "(code) It raises because the ranks differ."),
        ("rows_mask_shape", "(code) The incorrect mask has the shape (B,1)."),
    ),
    Claim(
        "rows_value_error",
        _RANKS,
        "after the first example",
        "The product with a mask of shape (B,1) raises a ValueError.",
        modes=True,
    ),
    *_ranks(
        "after the first example",
        ("rows_refused", "A shape (B,1) cannot be broadcast across steps and features."),
        ("steps_necessary", "A mask for steps needs the shape (B,T,1) or (B,T)."),
        ("steps_accepted", "A mask of shape (B,T) broadcasts by itself against (B,T,F)."),
    ),
    *_ranks(
        "second example",
        ("ones_shape", "(code) The product with a mask of shape (B,T,1) has the output's shape."),
        ("steps_plain", "(code) A mask of shape (B,T) broadcasts by itself against the features."),
        ("expanded_shape", "(code) The product with the expanded mask has the output's shape."),
        ("ones_mask_shape", "(code) The first correct mask has the shape (B,T,1)."),
        ("ones_shape", "(code) What it masks keeps the shape (B,T,F)."),
        ("steps_mask_shape", "(code) The second correct mask has the shape (B,T)."),
        ("expanded_shape", "(code) What it masks keeps the shape (B,T,F)."),
    ),
    *_ranks(
        "after the second example",
        ("steps_of_ones", "A mask of shape (B,T,1) multiplies all features of a step alike."),
        ("steps_plain", "A mask of shape (B,T) can mask the steps of a sequence."),
        ("expanded_mask_shape", "Expanded at the last axis it has the shape (B,T,1)."),
        ("expanded_same", "Its product is then that with a mask of shape (B,T,1)."),
        ("trailing_ones", "Axes of size 1 behind the mask's own let it act where it is meant to."),
        ("global_ones", "A mask of shape (B,1,1) masks whole rows."),
        ("global_rows", "So does, more simply, a mask of shape (B,1)."),
        ("global_ones", "Such a mask is broadcast against steps and features."),
        ("expand_list", "tf.expand_dims(mask, axis=[1, 2]) makes a mask for whole rows."),
    ),
    *_ranks(
        "third example",
        ("global_shape", "(code) The product with a mask of shape (B,1,1) has the output's shape."),
    ),
    *_ranks(
        "after the third example",
        ("global_ones", "The mask of shape (B,1,1) is applied to the whole output."),
        ("twice_expanded", "A mask of shape (B,1), expanded twice at axis 1, is (B,1,1)."),
        ("twice_expanded_same", "Its product is that with the mask of shape (B,1,1)."),
    ),
    *_ranks(
        "summary",
        ("numpy_rules", "Keras broadcasts, and refuses only shapes that are incompatible."),
        ("full_shape", "A mask of the output's own shape is accepted."),
        ("trailing_one", "So is a mask whose last size is 1."),
        ("steps_necessary", "To mask steps takes a mask of shape (B,T,1) or (B,T)."),
        ("global_ones", "A mask of shape (B,1,1) is applied to whole rows."),
        ("global_rows", "So is a mask of shape (B,1)."),
        ("rows_refused", "A mask of shape (B,1) raises where a mask of steps is needed."),
    ),
    *_shapes(
        "introduction",
        ("masking_makes_bool", "Masking makes a mask of bool, True where steps are valid."),
        ("mask_goes_on", "The mask is handed on to the layers behind."),
        ("padding_isolated", "The layers behind ignore what is padded."),
        ("mask_shape", "The mask keeps batch and steps: it has the shape (B,T)."),
        ("masking_keeps", "Padding is not set to zero: by Masking."),
        ("not_zeroed", "Padding is not set to zero: in the outputs of recurrent layers."),
        ("mask_is_tensor", "The mask is a tensor that travels."),
        ("whole_sequence", "Recurrent layers give an output for each step, masked ones too."),
        ("states_held", "At masked steps the states stay as they were."),
        ("shape_kept", "A mask makes no output smaller."),
        ("wrong_mask_refused", "A mask of another shape than expected is a mismatch."),
        ("distributed_mask", "TimeDistributed changes the data's shape and not the mask's."),
        ("wrong_mask_refused", "A recurrent layer refuses a mask of other steps than its input's."),
        ("defined_shapes", "In a graph the mask's shape must be defined."),
    ),
    *_shapes(
        "first example",
        ("converted_bool", "(code) tf.convert_to_tensor makes a mask of bool."),
        ("first_example", "(code) The model is built and called, and its output has a shape."),
    ),
    *_shapes(
        "after the first example",
        ("masking_returns_mask", "Masking returns a mask."),
        ("explicit_wins", "The mask that is given beats the one that Masking made."),
        ("first_example", "The output has the shape (4, 10, 10)."),
        ("shape_kept", "The output keeps its shape whatever the lengths are."),
        ("sequences_why", "It has all steps because of return_sequences=True."),
        ("padding_isolated", "Padding does not act on the hidden states."),
        ("shape_kept", "The mask does not change the output's shape."),
    ),
    *_shapes(
        "second example",
        ("second_example", "(code) The model is built and called, and its output has a shape."),
    ),
    *_shapes(
        "after the second example",
        ("distributed_expects", "TimeDistributed refuses a mask that does not fit its input."),
        ("mask_of_reshaped", "The mask is taken for one of TimeDistributed's output."),
        ("distributed_mask", "The mask behind TimeDistributed has the shape (B,T) still."),
        ("mask_of_reshaped", "It still tells the LSTM what to skip."),
        ("into_recurrent", "What goes into the LSTM has the shape (B,T,3)."),
        ("mask_not_aligned", "The mask fits the original input, not TimeDistributed's output."),
        ("wrong_mask_refused", "It only seems that the mask's shape does not matter."),
        ("implicit", "Keras hands the mask on through TimeDistributed by itself."),
    ),
    *_shapes(
        "third example",
        ("third_example", "(code) The model is called, and its output has a shape."),
    ),
    *_shapes(
        "after the third example",
        ("custom_used", "A mask of one's own is used where it is given to the model's call."),
        ("third_example", "The output has the shape (4, 10, 10) again."),
        ("same_by_subclass", "Functional and subclassed models treat the mask alike."),
        ("internal_mask", "Where no mask is given, the one that Masking made is used."),
    ),
    *_shapes(
        "summary",
        ("print_tensor", "tf.keras.backend.print_tensor prints a tensor and hands it on."),
        ("shape_kept", "A mask changes no tensor's shape."),
        ("padding_grows", "Padding does change shapes."),
        ("states_held", "A mask acts on what recurrent layers compute inside."),
        ("gradient_flows", "Gradients are there with a mask, and zero at masked steps."),
    ),
)


# -- when something is so --------------------------------------------------------------------

_ATOMS: dict[str, Callable[[Sizes], bool]] = {
    "B = 1": lambda at: at.batch == 1,
    "T = 1": lambda at: at.step == 1,
    "F = 1": lambda at: at.features == 1,
    "B > 1": lambda at: at.batch > 1,
    "T > 1": lambda at: at.step > 1,
    "F > 1": lambda at: at.features > 1,
    "B = T": lambda at: at.batch == at.step,
    "T = F": lambda at: at.step == at.features,
    "B = F": lambda at: at.batch == at.features,
    "B differs from T": lambda at: at.batch != at.step,
    "T differs from F": lambda at: at.step != at.features,
    "B differs from F": lambda at: at.batch != at.features,
}


def condition_of(true: Sequence[Sizes], false: Sequence[Sizes]) -> str | None:
    """The simplest condition on sizes (and modes) that holds of all the first and no other."""
    for text, holds in _conditions({at.mode for at in (*true, *false)}):
        if all(map(holds, true)) and not any(map(holds, false)):
            return text
    return None


def _conditions(modes: set[str]) -> Iterator[tuple[str, Callable[[Sizes], bool]]]:
    atoms = dict(_ATOMS)
    if len(modes) > 1:
        for mode in MODES:
            atoms[mode] = lambda at, mode=mode: at.mode == mode  # type: ignore[misc]
    clauses: list[tuple[str, Callable[[Sizes], bool]]] = []
    for count in (1, 2, 3):
        for chosen in itertools.combinations(atoms.items(), count):
            names, parts = [name for name, _ in chosen], [part for _, part in chosen]
            for word, join in (("and", all), ("or", any)):
                if count == 1 and word == "or":
                    continue
                clauses.append((f" {word} ".join(names), _joined(join, parts)))
                yield clauses[-1]
    short = [one for one in clauses if " or " not in one[0]]
    if len(modes) > 1:
        for left, right in itertools.combinations(MODES, 2):
            both = _joined(any, [atoms[left], atoms[right]])
            for text, holds in short:
                yield f"({left} or {right}) and {text}", _joined(all, [both, holds])
    # Two alternatives.
    pairs = [one for one in clauses if " or " in one[0] and " and " not in one[0]]
    for (one, first), (other, second) in itertools.combinations(pairs, 2):
        yield f"({one}) and ({other})", _joined(all, [first, second])


def _joined(
    join: Callable[[Iterator[bool]], bool], parts: Sequence[Callable[[Sizes], bool]]
) -> Callable[[Sizes], bool]:
    return lambda at: join(part(at) for part in parts)
