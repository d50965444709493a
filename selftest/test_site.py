"""The pages of records say all that the records say, and nothing that records cannot."""

import datetime
import html.parser
from pathlib import Path
from typing import Any

import msgspec

from reports.exhibits import exhibits
from reports.ledger import Deviation, Pattern, Pin, Region
from reports.loading import Source
from reports.matrix import SYMBOLS, tables, views
from reports.record import NOT_RUN, OUTCOMES, Record
from reports.site import pages
from selftest.records import SCRIPT, claims, entry, finding, record

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)

KNOWN = Deviation(
    id="known-one",
    reason="The mask is lost <on the way>.",
    link="https://example.org/issues/1",
    kind="wrong value",
    comparisons=(Pattern("held_state", "*"),),
    layers=("LSTM",),
    deviating=("keras 3.15.1",),
    region=Region(all=("travelling_mask",), none=("unroll=True",)),
    pins=(Pin("held_state", "LSTM", "output", {"batch": {"mask": ["0"]}}),),
)


class Page(html.parser.HTMLParser):
    """A page as its text, its tags with attributes, and its tags by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.words.append(data)

    def of(self, kind: str) -> list[dict[str, str | None]]:
        """The attributes of tags that have a class."""
        return [found for _, found in self.tags if kind in (found.get("class") or "").split()]


def shown(
    *records: Record, ledger: dict[str, Deviation] | None = None, **changes: Any
) -> list[Page]:
    """The first page and the page of each record."""
    sources = [Source(Path(f"{n}.json"), one) for n, one in enumerate(records)]
    files = pages(sources, ledger=ledger or {}, now=NOW, **changes)
    names = ["index.html", *(f"record-{number + 1}.html" for number in range(len(records)))]
    assert sorted(name for name in files if name.endswith(".html")) == sorted(names)
    return [Page(files[name]) for name in names]


def test_statements_have_a_page_of_their_own() -> None:
    """Each with its verdicts and smallest examples; one that changes stands above them all."""
    source = Source(Path("0.json"), record(entry()))
    files = pages([source], ledger={}, now=NOW, claims=claims())
    page = Page(files["claims.html"])
    above, below = page.text.split("one.txt, 2 statements")
    for text in ("A mask tells.", "keras 3.15.1 raises it", "keras 2.15.0 B = 1"):
        assert text in above
    assert "A mask <is> a mask. ✓ confirmed" in below
    assert "tf.ones(<B>) is so" in below
    assert "B = 2; keras 3.15.1 tf.raises() raises it" in below
    assert "of which 1 changes between versions" in Page(files["index.html"]).text
    assert "claims.html" in [found.get("href") for _, found in Page(files["index.html"]).tags]


def test_every_outcome_has_a_mark_of_its_own() -> None:
    """No two outcomes are told apart by colour alone: each has a mark and a word."""
    assert set(SYMBOLS) == {*OUTCOMES, NOT_RUN}
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)


def test_a_place_of_the_matrix_says_its_outcome_in_words() -> None:
    """Each mark carries the word, and the name of its cell as its title."""
    cells = [entry(f"property_{number}", outcome=one) for number, one in enumerate(OUTCOMES)]
    _, page = shown(record(*cells, not_run=["x::test_cell[LSTM-truth-cpu:0-graph]"]))
    titles = [found["title"] for found in page.of("chip")]
    assert titles == [
        *(f"property_{number}, LSTM, cpu:0, graph: {one}" for number, one in enumerate(OUTCOMES)),
        "truth, LSTM, cpu:0, graph: not run",
    ]


def test_executions_of_one_place_are_told_apart() -> None:
    """Several devices or modes stand in one place, each with what is its own."""
    cells = [entry(mode="eager"), entry(mode="graph"), entry("truth")]
    (table,) = tables(views(record(*cells), []))
    assert [one.execution for one in table.cells["held_state", "LSTM"]] == ["eager", "graph"]
    assert [one.execution for one in table.cells["truth", "LSTM"]] == [""]


def test_families_that_share_nothing_stand_in_tables_of_their_own() -> None:
    """Properties that no layer has in common are not crossed with each other's layers."""
    cells = [entry("truth"), entry("product", "multiply"), entry("truth", "GRU"), entry("length")]
    found = tables(views(record(*cells), []))
    assert [(one.properties, one.layers) for one in found] == [
        (("product",), ("multiply",)),
        (("truth", "length"), ("LSTM", "GRU")),
    ]


def test_a_known_deviation_is_told_with_what_the_ledger_says() -> None:
    """Reason, link, kind, versions, region in words and the property's statement are there."""
    made = record(
        entry(
            outcome="deviates",
            deviations={"known-one": 3},
            findings=[finding(deviation="known-one")],
        )
    )
    _, page = shown(made, ledger={"known-one": KNOWN})
    for text in (
        "known-one",
        KNOWN.reason,
        "travelling_mask, without unroll=True",
        "keras 3.15.1 and newer 3.x",
        "What held_state states holds.",
        "RecurrentCase(",
    ):
        assert text in page.text, text
    assert ("a", KNOWN.link) in [(tag, found.get("href")) for tag, found in page.tags]


def test_only_web_links_are_links() -> None:
    """What a ledger holds in place of a link is shown and cannot be followed."""
    odd = msgspec.structs.replace(KNOWN, link="javascript:alert(1)")
    made = record(entry(outcome="deviates", deviations={"known-one": 1}))
    _, page = shown(made, ledger={"known-one": odd})
    assert "javascript:alert(1)" in page.text
    assert not [found for _, found in page.tags if "javascript" in (found.get("href") or "")]


def test_a_deviation_without_a_case_in_the_record_shows_its_pinned_one() -> None:
    """A cell that ended early keeps the ids that it met, and the ledger has their cases."""
    made = record(entry(outcome="new", deviations={"known-one": 1}, findings=[finding()]))
    new, known = exhibits(made, {"known-one": KNOWN})
    assert (new.state, known.state) == ("new", "known")
    assert known.finding is not None
    assert known.finding.mask is not None


def test_a_deviation_that_the_ledger_has_not_is_said_to_be_so() -> None:
    """An id of which the ledger knows nothing is not passed off as a known one."""
    made = record(entry(outcome="deviates", deviations={"other": 1}))
    (one,) = exhibits(made, {"known-one": KNOWN})
    assert one.state == "unlisted"


def test_the_smallest_case_stands_for_a_new_deviation() -> None:
    """Of all cells that show the same, the case with the fewest steps is shown."""
    large = finding(case={"batch": {"mask": ["1010", "1111"]}}, message="large")
    small = finding(case={"batch": {"mask": ["0"]}}, message="small")
    made = record(
        entry(outcome="new", findings=[large]),
        entry(layer="GRU", outcome="new", findings=[small]),
    )
    (one,) = exhibits(made, {})
    assert (one.state, one.entry.layer, len(one.entries)) == ("new", "GRU", 2)
    assert one.finding is not None
    assert one.finding.message == "small"


def test_a_script_is_on_the_page_letter_for_letter() -> None:
    """What is copied is what was executed."""
    _, page = shown(record(entry(outcome="new", findings=[finding()])))
    assert page.words.count(SCRIPT) == 2  # the deviation's and the cell's
    assert len(page.of("copy")) == 2


def test_an_incomplete_run_is_loud_and_never_green() -> None:
    """Both pages say it, with x of y cells, and its missing cells stand in the matrix."""
    made = record(entry(), not_run=["x::test_cell[LSTM-truth-cpu:0-graph]", "x::odd"])
    index, page = shown(made)
    assert "incomplete, 1 of 3 cells reported" in index.text
    assert "INCOMPLETE 1 of 3 cells reported" in page.text
    for one in (index, page):
        assert not one.of("green")
        assert one.of("incomplete")
    assert len(page.of("o-not-run")) >= 2
    assert "x::odd" in page.text


def test_run_and_cells_are_accounted_for() -> None:
    """Profile, seed, age, versions, and what a cell reached, are on the page."""
    _, page = shown(record(entry(configurations=44, configurations_total=64), seed=17))
    for text in (
        "quick , seed 17",
        "3 days ago",
        "1 of 1 reported",
        "TensorFlow 2.21.0",
        "Hypothesis 6.170.15",
        "44 of 64 configurations, 159 examples, 462 batches",
        "gaps 24",
        "single_row 265",
    ):
        assert text.replace(" ,", ",") in page.text, text


def test_records_of_one_implementation_are_told_apart() -> None:
    """Two runs of the same versions have titles of their own."""
    index, *_ = shown(record(entry()), record(entry(), seed=1), record(entry(), keras="2.15.0"))
    assert "TensorFlow 2.21.0, record 1" in index.text
    assert "TensorFlow 2.21.0, record 2" in index.text
    assert "record 3" not in index.text


def test_what_was_left_out_stands_on_the_page() -> None:
    """Who reads the page and not the terminal learns it too."""
    index, _ = shown(record(entry()), notes=["the record old.json is cut off"])
    assert "the record old.json is cut off" in index.text


HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e' onmouseover='alert(2)\" x=\"&amp;"


def test_markup_and_escapes_in_any_text_do_no_harm() -> None:
    """Whatever a record holds as text is text on the page: no tag, no attribute, no control."""
    bad = finding(
        comparison=HOSTILE,
        kind=HOSTILE,
        message=HOSTILE,
        case_text=HOSTILE,
        facts=[HOSTILE],
        left=HOSTILE,
        right=HOSTILE,
        script=HOSTILE,
        level=HOSTILE,
    )
    one = entry(
        HOSTILE,
        HOSTILE,
        "new",
        device=HOSTILE,
        mode=HOSTILE,
        node=HOSTILE,
        statement=HOSTILE,
        source=HOSTILE,
        reason=HOSTILE,
        level=HOSTILE,
        findings=[bad],
        worker=HOSTILE,
        deviations={HOSTILE: 1},
        fixed=[HOSTILE],
        traits={HOSTILE: 1},
        seconds={HOSTILE: 1.0},
    )
    made = record(
        one,
        keras=HOSTILE,
        profile=HOSTILE,
        started=HOSTILE,
        not_run=[HOSTILE + "2"],
        exit_reason=HOSTILE,
    )
    plain = shown(record(entry(outcome="new", findings=[finding()])))
    for page, harmless in zip(shown(made, notes=[HOSTILE]), plain, strict=True):
        assert [found for tag, found in page.tags if tag == "script"] == [{"src": "page.js"}]
        assert {name for _, found in page.tags for name in found} <= {
            name for _, found in harmless.tags for name in found
        } | {"role"}
        assert "\x1b" not in page.text
        assert "\u202e" not in page.text
        assert "<script>alert(1)</script>" in page.text


def test_ten_megabytes_in_a_text_are_cut_with_a_mark() -> None:
    """A page stays small, and says what it leaves out."""
    long = "x" * 10_000_000
    bad = finding(message=long, script=long, left=long, case_text=long, comparison=long)
    made = record(
        entry(
            long,
            long,
            "new",
            node=long,
            reason=long,
            findings=[bad],
            traits={long: 1},
            deviations={long: 1},
        )
    )
    sources = [Source(Path("x.json"), made)]
    files = pages(sources, ledger={}, now=NOW)
    assert sum(map(len, files.values())) < 500_000
    assert "(cut, 10,000,000 characters in all)" in files["record-1.html"]
