"""The ledger excuses its regions and versions, and refuses what is not in order."""

from pathlib import Path

import msgspec
import pytest

from catalogue.broadcasting import BroadcastCase
from execution.implementation import Implementation
from properties.cells import load_checked
from properties.families import FAMILIES
from reports.ledger import Deviation, Instead, Ledger, Pattern, Pin, Region
from reports.ledger_file import LedgerError, load_ledger
from selftest.planting import LEDGER

PROPERTIES = {
    "padding_is_ignored": {"LSTM", "GRU"},
    "mask_is_kept": {"Dense"},
}

ENTRY = """\
[[deviation]]
id = "known"
reason = "Keras forgets."
link = "https://example.org/issues/1"
kind = "wrong value"
comparisons = [{property = "padding_is_ignored", comparison = "outputs"}]
layers = ["LSTM"]
region = {all = ["unroll=True"], none = ["gaps"]}
deviating = ["keras 3.0.0", "keras 3.15.1"]
healthy = ["keras 2.15.0"]
pins = [{property = "padding_is_ignored", layer = "LSTM", comparison = "outputs", case = {a = 1}}]
"""


def load(tmp_path: Path, text: str) -> Ledger:
    """The ledger that a text is."""
    path = tmp_path / "ledger.toml"
    path.write_text(text)
    return load_ledger(path, properties=PROPERTIES)


def deviation(deviating: tuple[str, ...], healthy: tuple[str, ...] = ()) -> Deviation:
    """An entry that was measured on some versions."""
    return Deviation(
        id="known",
        reason="Keras forgets.",
        link="unreported",
        kind="wrong value",
        comparisons=(Pattern("padding_is_ignored", "*"),),
        layers=("LSTM",),
        deviating=deviating,
        healthy=healthy,
        pins=(Pin("padding_is_ignored", "LSTM", "*", {}),),
    )


def test_an_entry_is_read_with_all_its_fields(tmp_path: Path) -> None:
    """The form in which entries are written is understood."""
    (one,) = load(tmp_path, ENTRY)
    assert one.id == "known"
    assert one.region == Region(all=("unroll=True",), none=("gaps",))
    assert one.pins == (Pin("padding_is_ignored", "LSTM", "outputs", {"a": 1}, "graph"),)


@pytest.mark.parametrize("text", ["", "# nothing is known\n", "deviation = []"])
def test_an_empty_ledger_is_a_ledger(tmp_path: Path, text: str) -> None:
    """A file without entries excuses nothing and is in order."""
    ledger = load(tmp_path, text)
    assert len(ledger) == 0
    assert not list(ledger.excuses("padding_is_ignored", "LSTM", "outputs", "crash", set()))


COMPARISONS = 'comparisons = [{property = "padding_is_ignored", comparison = "outputs"}]'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "known"', 'id = "Known One"', "deviation 'Known One': id 'Known One' must be"),
        ('id = "known"\n', "", "deviation 1: missing field 'id'"),
        ('reason = "Keras forgets."\n', "", "deviation 'known': missing field 'reason'"),
        ('reason = "Keras forgets."', 'reason = ""', "'known': reason must not be empty"),
        ('reason = "Keras forgets."', "reason = 7", "'known': reason is 7: expected `str`"),
        ("reason =", "raison =", "'known': (unknown field 'raison'|missing field 'reason')"),
        ('layers = ["LSTM"]', 'layers = ["LSTM"]\nnote = "x"', "'known': unknown field 'note'"),
        ("none = ", "nine = ", "'known': unknown field 'nine' in region"),
        ("case = {a = 1}", 'mode = "graph"', r"missing field 'case' in pins\[0\]"),
        ('link = "https', 'link = "see https', "link 'see https://example.org/issues/1' is nei"),
        ('"wrong value"', '"odd value"', "'known': unknown kind 'odd value': choose one of"),
        ("case = {", 'mode = "fast", case = {', r"unknown pins\[0\].mode 'fast'"),
        (COMPARISONS, "comparisons = []", "'known': comparisons must not be empty"),
        ('layers = ["LSTM"]', "layers = []", "'known': layers must not be empty"),
        ('deviating = ["keras 3.0.0", "keras 3.15.1"]', "deviating = []", "deviating must not"),
        ("pins = [{", "pins = [] #", "'known': pins must not be empty"),
        ('[{property = "padding', '[{property = "stuffing', "unknown property 'stuffing_is_ig"),
        ('layers = ["LSTM"]', 'layers = ["LSTN", "LSTM"]', "'known': unknown layer 'LSTN'"),
        (
            'layers = ["LSTM"]',
            'layers = ["LSTM", "Dense"]',
            "'padding_is_ignored' does not apply to layer 'Dense'",
        ),
        (
            "comparisons = [{",
            'comparisons = [{property = "mask_is_kept", comparison = "*"}, {',
            "property 'mask_is_kept' does not apply to LSTM",
        ),
        (
            'layer = "LSTM", comparison = "outputs"',
            'layer = "LSTM", comparison = "states"',
            "pin 1: comparison 'states' of property 'padding_is_ignored' is outside",
        ),
        ('layer = "LSTM"', 'layer = "GRU"', "pin 1: layer 'GRU' is outside the entry's own"),
        ('none = ["gaps"]', 'none = ["unroll=True"]', "'unroll=True' is both in all and in none"),
        ('none = ["gaps"]', 'any = ["a", ["b", "c"]], none = ["c"]', "'c' is both in any and"),
        ('none = ["gaps"]', "any = [[]]", "empty list in any"),
        ('none = ["gaps"]', 'none = ["mode=graph"]', "pin 1: mode 'graph' is outside"),
        ('all = ["unroll=True"]', 'all = ["mode=eager"]', "pin 1: mode 'graph' is outside"),
        ('"keras 3.0.0"', '"keras three"', "deviating 'keras three' is no name and version"),
        ('"keras 3.0.0"', '"3.0.0"', "deviating '3.0.0' is no name and version"),
        ('"keras 2.15.0"', '"tensorflow 2.15.1"', "versions of TensorFlow stand beside others"),
        ('"keras 2.15.0"', '"kears 2.15.0"', "healthy 'kears 2.15.0' names an unknown impl"),
        ("case = {", 'not_on = ["keras 2.15.0"], case = {', "pin 1: not_on 'keras 2.15.0' is not"),
        (
            "case = {",
            'not_on = ["keras 3.0.0"], case = {',
            "no pinned case shows that 'keras 3.0.0",
        ),
        ('"keras 2.15.0"', '"keras 3.0"', "'keras 3.0' is both deviating and healthy"),
    ],
)
def test_an_entry_that_is_not_in_order_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """What is wrong is said in one sentence with file, entry and value."""
    assert old in ENTRY
    with pytest.raises(LedgerError, match=f"ledger.toml: .*{said}") as caught:
        load(tmp_path, ENTRY.replace(old, new))
    assert "\n" not in str(caught.value)


def test_a_pin_of_a_layer_that_its_property_does_not_know_is_refused(tmp_path: Path) -> None:
    """A pin names a cell that exists."""
    text = ENTRY.replace(
        "comparisons = [{", 'comparisons = [{property = "mask_is_kept", comparison = "*"}, {'
    ).replace('layers = ["LSTM"]', 'layers = ["LSTM", "Dense"]')
    assert len(load(tmp_path, text)) == 1
    pin = 'pins = [{property = "mask_is_kept"'
    with pytest.raises(LedgerError, match="pin 1: property 'mask_is_kept' does not apply"):
        load(tmp_path, text.replace('pins = [{property = "padding_is_ignored"', pin))


def test_an_id_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """An id names one entry."""
    with pytest.raises(LedgerError, match="deviation 'known': duplicate id 'known'"):
        load(tmp_path, ENTRY + ENTRY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[deviation", "is not TOML"),
        ("[[deviations]]", "unknown field 'deviations'"),
        ("deviation = 3", "must be a list of tables"),
        ("[deviation]", "must be a list of tables"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A file of another form is named, with what is wrong with it."""
    with pytest.raises(LedgerError, match=f"ledger.toml: .*{said}"):
        load(tmp_path, text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing ledger is not an empty one, and bytes that are no text are no ledger."""
    with pytest.raises(LedgerError, match=r"missing.toml: cannot be read: no such file"):
        load_ledger(tmp_path / "missing.toml", properties=PROPERTIES)
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(LedgerError, match=r"bytes.toml: is not TOML"):
        load_ledger(tmp_path / "bytes.toml", properties=PROPERTIES)


def test_a_region_covers_all_of_any_of_and_none_of() -> None:
    """A case lies in a region by what it has, by one of several, and by what it lacks."""
    region = Region(all=("a",), any=("b", ("c", "d")), none=("e",))
    assert region.covers({"a", "b"})
    assert region.covers({"a", "c", "d"})
    assert not region.covers({"a", "c"})
    assert not region.covers({"b"})
    assert not region.covers({"a", "b", "e"})
    assert Region().covers(set())


def test_a_region_is_told_in_words() -> None:
    """A report says what a region is without its reader knowing the file's form."""
    region = Region(all=("a", "x"), any=("b", ("c", "d")), none=("e", "f"))
    assert region.describe() == "a and x, any of b or (c and d), without e or f"
    assert Region(any=(("c", "d"),)).describe() == "c and d"
    assert Region().describe() == "every case"


def test_an_excuse_fits_in_everything() -> None:
    """Another layer, comparison, kind or region is not excused."""
    one = deviation(("keras 3.0.0",))
    one = Deviation(
        **{name: getattr(one, name) for name in one.__struct_fields__}
        | {
            "comparisons": (Pattern("padding_is_ignored", "outputs"),),
            "region": Region(all=("gaps",)),
        }
    )
    ledger = Ledger((one,))
    fits = ("padding_is_ignored", "LSTM", "outputs", "wrong value")
    assert list(ledger.excuses(*fits, frozenset({"gaps"}))) == [one]
    assert not list(ledger.excuses(*fits, frozenset()))
    for position, other in enumerate(("mask_is_kept", "GRU", "states", "wrong shape")):
        asked = [*fits]
        asked[position] = other
        property, layer, comparison, kind = asked
        assert not list(ledger.excuses(property, layer, comparison, kind, frozenset({"gaps"})))


def test_a_star_stands_for_all_comparisons_of_its_property() -> None:
    """A pattern with a star says nothing of other properties."""
    ledger = Ledger((deviation(("keras 3.0.0",)),))
    assert list(ledger.excuses("padding_is_ignored", "LSTM", "states", "wrong value", set()))
    assert not list(ledger.excuses("mask_is_kept", "LSTM", "states", "wrong value", set()))


def test_pins_are_found_by_property_layer_and_mode(tmp_path: Path) -> None:
    """A cell replays its own pins and no others."""
    ledger = load(tmp_path, ENTRY)
    ((one, pin),) = ledger.pins("padding_is_ignored", "LSTM", "graph")
    assert (one.id, pin.case) == ("known", {"a": 1})
    assert ledger.pins("padding_is_ignored", "LSTM", "eager") == []
    assert ledger.pins("padding_is_ignored", "GRU", "graph") == []


def test_a_pin_of_one_kind_of_device_is_replayed_on_no_other(tmp_path: Path) -> None:
    """What a GPU alone shows is looked for on every GPU, and what it hides on CPUs."""
    for kind, devices in (("gpu", ("gpu:0", "gpu:1")), ("cpu", ("cpu:0",))):
        ledger = load(tmp_path, ENTRY.replace("case = {", f'device = "{kind}", case = {{'))
        for device in ("cpu:0", "gpu:0", "gpu:1"):
            pins = ledger.pins("padding_is_ignored", "LSTM", "graph", device)
            assert len(pins) == (device in devices)


def test_a_pin_is_not_replayed_where_it_was_measured_not_to_deviate(tmp_path: Path) -> None:
    """What comes before the cause on one version leaves the other versions as they were."""
    pin = "{property = 'padding_is_ignored', layer = 'LSTM', comparison = 'outputs', case = {b = 1}"
    text = ENTRY.replace("}}]\n", "}},\n" + pin + ", not_on = ['keras 3.0.0']}]\n")
    ledger = load(tmp_path, text)
    for version, pins in (("3.0.0", 1), ("3.1.0", 2), ("3.15.1", 2)):
        (one,) = ledger.affected("keras", version)
        assert len(one.pins) == pins


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("3.1.0", False),  # measured healthy
        ("3.2.0", False),  # the gap below: not measured
        ("3.4.0rc1", False),  # a pre-release lies before its release
        ("3.4.0", True),
        ("3.5.0rc1", True),
        ("3.6.0", True),
        ("3.6.1", False),  # the gap above: not measured
        ("3.8.0rc1", False),
        ("3.8.0", False),
        ("3.9.0", False),
        ("2.15.0", False),  # another major version
        ("4.0.0", False),
    ],
)
def test_a_range_is_what_was_measured_to_deviate(version: str, affected: bool) -> None:
    """From the oldest deviating version to the newest, and not into the gaps beside them."""
    ledger = Ledger((deviation(("keras 3.4.0", "keras 3.6.0"), ("keras 3.1.0", "keras 3.8.0")),))
    assert bool(len(ledger.affected("keras", version))) is affected
    assert not len(ledger.affected("tf_keras", version))


def test_what_lies_below_keras_follows_tensorflow() -> None:
    """An entry of TensorFlow's versions is about every Keras on them, and about no other."""
    one = deviation(("tensorflow 2.20.0", "tensorflow 2.21.0"), ("tensorflow 2.15.1",))
    pin = msgspec.structs.replace(one.pins[0], not_on=("tensorflow 2.21.0",))
    ledger = Ledger((msgspec.structs.replace(one, pins=(pin, *one.pins)),))
    for name, version in (("keras", "3.15.1"), ("tf_keras", "2.21.0")):
        assert [len(each.pins) for each in ledger.affected(name, version, "2.21.0")] == [1]
        assert [len(each.pins) for each in ledger.affected(name, version, "2.20.0")] == [2]
        assert not len(ledger.affected(name, version, "2.15.1"))
        assert not len(ledger.affected(name, version))
    assert one.describe_range().startswith("tensorflow 2.20.0 and newer 2.x")


def test_what_some_cpus_alone_show_is_replayed_and_excused_there_alone() -> None:
    """A pinned case may need instructions of a CPU; a region that names them speaks of no other."""
    one = deviation(("keras 3.4.0",))
    pin = msgspec.structs.replace(one.pins[0], cpu="avx512_fp16")
    ledger = Ledger((msgspec.structs.replace(one, pins=(pin,)),))
    having = {"avx512_fp16"}
    assert [len(each.pins) for each in ledger.affected("keras", "3.4.0")] == [0]
    assert [len(each.pins) for each in ledger.affected("keras", "3.4.0", "", having)] == [1]
    region = Region(all=("cpu=avx512_fp16",))
    family = FAMILIES["broadcasting"]
    case = BroadcastCase(output=(1, 1), mask=(1, 1))
    assert region.covers(family.facts(case, "cpu:0", "eager", having))
    assert not region.covers(family.facts(case, "cpu:0", "eager", ()))
    assert not region.covers(family.facts(case, "gpu:0", "eager", having))


def test_a_range_without_a_newer_healthy_version_is_open() -> None:
    """What deviates in the newest version measured is expected of later ones of that major."""
    one = deviation(("keras 3.4.0", "tf_keras 2.16.0"), ("keras 3.1.0", "tf_keras 2.21.0"))
    assert one.affects("keras", "3.99.0.dev20261122")
    assert not one.affects("keras", "4.0.0")
    assert not one.affects("tf_keras", "2.17.0")


def test_nothing_is_expected_of_the_newest_version_that_was_not_seen_on_it(
    found: Implementation,
) -> None:
    """A range that is open above because nobody looked would be `fixed` in every run."""
    name, version = found.installed.name, found.installed.keras
    expected = {one.id for one in load_checked(LEDGER) if one.affects(name, version)}
    seen = {one.id for one in load_checked(LEDGER) if f"{name} {version}" in one.deviating}
    assert expected <= seen


def test_a_healthy_version_within_a_range_is_not_affected() -> None:
    """A version measured to be healthy is, wherever it lies."""
    one = deviation(("keras 3.4.0", "keras 3.6.0"), ("keras 3.5.0",))
    assert not one.affects("keras", "3.5.0")
    assert one.affects("keras", "3.5.1")
    assert "3.4.0 and newer 3.x but for 3.5.0" in one.describe_range()


def test_a_range_is_told_with_its_gaps() -> None:
    """A report says which versions nobody measured."""
    one = deviation(("keras 3.4.0", "keras 3.6.0", "tf_keras 2.16.0"), ("keras 3.1.0",))
    assert one.describe_range() == (
        "keras 3.4.0 and newer 3.x, not measured and taken as healthy between 3.1.0 (healthy) "
        "and 3.4.0; tf_keras 2.16.0 and newer 2.x, not measured and taken as healthy below 2.16.0"
    )
    closed = deviation(("keras 3.4.0", "keras 3.6.0"), ("keras 3.8.0",))
    assert closed.describe_range() == (
        "keras 3.4.0 to 3.6.0, not measured and taken as healthy below 3.4.0 and "
        "between 3.6.0 and 3.8.0 (healthy)"
    )


def test_an_entry_says_what_happens_instead(tmp_path: Path) -> None:
    """An exception, values or the name of another behaviour stand in an entry, and in words."""
    entry = load_ledger(
        _written(tmp_path, ENTRY + 'instead = {values = "nan", like = "as without a mask"}\n'),
        properties=PROPERTIES,
        alternatives=("as without a mask",),
    ).deviations[0]
    assert entry.instead == Instead(values="nan", like="as without a mask")
    assert entry.instead.describe() == "nan where it differs, as without a mask"


@pytest.mark.parametrize(
    ("instead", "problem"),
    [
        ("{}", "instead says nothing"),
        ('{values = "ones"}', "unknown values 'ones': choose nan or zeros"),
        ('{like = "as if"}', "unknown like 'as if'"),
        ('{exception = "ValueError"}', "does not go with kind 'wrong value'"),
    ],
)
def test_refuses_what_cannot_happen_instead(tmp_path: Path, instead: str, problem: str) -> None:
    """What happens instead is one of the things that can be checked."""
    path = _written(tmp_path, f"{ENTRY}instead = {instead}\n")
    with pytest.raises(LedgerError, match=problem):
        load_ledger(path, properties=PROPERTIES, alternatives=("as without a mask",))


def _written(folder: Path, text: str) -> Path:
    path = folder / "ledger.toml"
    path.write_text(text)
    return path


def test_deadly_entries_are_those_of_a_property_and_a_layer() -> None:
    """Only crashes and hangs keep cases from being run, whatever comparison they name."""
    crash = msgspec.structs.replace(deviation(("keras 3.0.0",)), id="crash", kind="crash")
    hang = msgspec.structs.replace(crash, id="hang", kind="hang")
    ledger = Ledger((deviation(("keras 3.0.0",)), crash, hang))
    assert [one.id for one in ledger.deadly("padding_is_ignored", "LSTM")] == ["crash", "hang"]
    assert ledger.deadly("padding_is_ignored", "GRU") == []
    assert ledger.deadly("mask_is_kept", "LSTM") == []
