"""The pages of records say all that the records say, and nothing that records cannot."""

import datetime
import html.parser
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reports.__main__ import main
from reports.exhibits import exhibits, read_ledger
from reports.ledger import Deviation, LedgerError, Pattern, Pin, Region
from reports.loading import Source
from reports.matrix import SYMBOLS, tables, views
from reports.pictures import difference_picture, mask_picture
from reports.record import NOT_RUN, OUTCOMES, Record, write_record
from reports.site import SiteError, pages, write_site
from selftest.records import SCRIPT, entry, finding, record

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


def test_a_mask_is_drawn_with_marks() -> None:
    """Valid steps are filled and masked ones struck through, and a reader is told both."""
    picture = mask_picture({"batch": {"mask": ["10", "00"]}})
    assert picture is not None
    valid, masked, marks = re.findall(r'd="([^"]*)"', picture)
    assert (valid.count("M"), masked.count("M"), marks.count("M")) == (1, 3, 3)
    assert "row 0: 10; row 1: 00" in picture


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"batch": 3},
        {"batch": {"mask": []}},
        {"batch": {"mask": ["1<"]}},
        {"batch": {"mask": [[True]]}},
        {"output": [2, 3], "mask": [2, 3]},
    ],
)
def test_a_case_without_rows_of_a_mask_has_no_picture(case: dict[str, Any]) -> None:
    """What is no mask is not drawn, and does no harm."""
    assert mask_picture(case) is None


@pytest.mark.parametrize(
    ("shape", "differing", "crossed", "squares"),
    [
        ([2, 3, 4], [[0, 1, 0], [0, 1, 3], [1, 2, 0]], 2, 6),
        ([5], [[4]], 1, 5),
        ([], [[]], 1, 1),
    ],
)
def test_differing_positions_are_crossed_over_the_first_two_axes(
    shape: list[int], differing: list[list[int]], crossed: int, squares: int
) -> None:
    """A square stands for all values along the other axes."""
    picture = difference_picture(shape, differing)
    assert picture is not None
    paths = dict(re.findall(r'<path class="([^"]*)" d="([^"]*)"', picture))
    assert paths["differs"].count("M") == crossed
    assert paths["differs mark"].count("M") == 2 * crossed
    assert paths["same"].count("M") == squares - crossed


def test_positions_that_no_array_has_are_not_drawn() -> None:
    """Nothing known, or positions outside the shape: no picture."""
    assert difference_picture([2, 2], []) is None
    assert difference_picture([2, 2], [[2, 0]]) is None
    assert difference_picture([2, 2], [[0]]) is None


def test_a_large_picture_is_cut_and_says_so() -> None:
    """Hundreds of rows are not drawn in full."""
    picture = mask_picture({"batch": {"mask": ["10" * 200] * 300}})
    assert picture is not None
    assert "the first 24 x 40 of 300 x 400" in picture
    assert len(picture) < 60_000


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


def built(folder: Path, *arguments: str) -> int:
    """The exit status of `site` for a record, with more arguments."""
    path = folder / "record.json"
    if not path.exists():
        write_record(path, record(entry()))
    return main(["site", str(path), *arguments])


def test_pages_load_nothing_but_their_own_files(tmp_path: Path) -> None:
    """Every address on a page is of a file beside it, so that it works without a network."""
    assert built(tmp_path, "--out", str(tmp_path / "pages")) == 0
    for path in (tmp_path / "pages").glob("*.html"):
        for tag, found in Page(path.read_text()).tags:
            address = found.get("src") or (found.get("href") if tag in ("a", "link") else None)
            if address and not address.startswith(("#", "data:")):
                assert (tmp_path / "pages" / address.split("#")[0]).is_file(), address
    assert "url(" not in (tmp_path / "pages" / "style.css").read_text()


def test_bad_records_are_left_out_and_the_pages_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence in the terminal and on the page for each file that is no record."""
    (tmp_path / "cut.json").write_text('{"schema": ')
    out = tmp_path / "pages"
    assert built(tmp_path, str(tmp_path / "cut.json"), "--out", str(out)) == 0
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "1 of 2 records" in said.out
    assert said.err.strip() in Page((out / "index.html").read_text()).text


def test_without_a_usable_record_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, a sentence, and no folder."""
    assert main(["site", str(tmp_path / "no.json"), "--out", str(tmp_path / "pages")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "no record can be used: no page was written"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file, also one above, is refused with one sentence and exit status 2."""
    (tmp_path / "pages").write_text("mine")
    for out in (tmp_path / "pages", tmp_path / "pages" / "below"):
        assert built(tmp_path, "--out", str(out)) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "pages").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages", "record.json"]


def test_a_disk_that_fails_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where writing a page fails, an earlier site stays whole and no new one begins."""
    old = {"index.html": "<!-- generated by keras-mask-tests --> old", "record-1.html": "old"}
    write_site(tmp_path / "there", old)
    write = Path.write_text

    def failing(self: Path, text: str, **options: Any) -> int:
        if self.name == "record-1.html":
            raise OSError(28, "No space left on device")
        return write(self, text, **options)

    monkeypatch.setattr(Path, "write_text", failing)
    for name in ("there", "not there"):
        with pytest.raises(SiteError, match="no space left"):
            write_site(tmp_path / name, {"index.html": "new", "record-1.html": "new"})
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert {path.name: path.read_text() for path in (tmp_path / "there").iterdir()} == old


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence that names the folder, and exit status 2."""

    def refused(self: Path, *args: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "pages").mkdir()
    write_record(tmp_path / "record.json", record(entry()))
    monkeypatch.setattr(Path, "mkdir", refused)  # to root nothing is unwritable
    assert built(tmp_path, "--out", str(tmp_path / "pages")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"cannot write pages into {tmp_path / 'pages'}: permission denied"


def test_files_of_others_are_neither_replaced_nor_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside them the pages are written; in place of one they are refused."""
    out = tmp_path / "pages"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "record-7.html").write_text("mine, by chance of that name")
    assert built(tmp_path, "--out", str(out)) == 0
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "record-7.html").exists()
    (out / "index.html").write_text("my own page")
    assert built(tmp_path, "--out", str(out)) == 2
    assert "index.html" in capsys.readouterr().err
    assert (out / "index.html").read_text() == "my own page"
    assert (out / "record-1.html").exists()


def test_building_again_removes_pages_of_records_that_are_gone(tmp_path: Path) -> None:
    """No page of an earlier site is left that nothing leads to."""
    one, two = (Source(Path(f"{n}.json"), record(entry(), seed=n)) for n in (1, 2))
    write_site(tmp_path / "pages", pages([one, two], ledger={}))
    write_site(tmp_path / "pages", pages([two], ledger={}))
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == [
        "index.html",
        "page.js",
        "record-1.html",
        "style.css",
    ]


def test_the_checked_in_ledger_is_read_whole() -> None:
    """Every entry of reports/ledger.toml can be shown."""
    path = Path(__file__).parent.parent / "reports" / "ledger.toml"
    known, problems = read_ledger(path)
    assert problems == []
    assert len(known) == path.read_text().count("[[deviation]]")


def test_a_ledger_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing or no TOML: one sentence and exit status 2; a bad entry is left out and named."""
    ledger = tmp_path / "ledger.toml"
    with pytest.raises(LedgerError, match=r"ledger\.toml cannot be read"):
        read_ledger(ledger)
    ledger.write_text("[[deviation")
    assert built(tmp_path, "--ledger", str(ledger), "--out", str(tmp_path / "pages")) == 2
    assert "is not TOML" in capsys.readouterr().err
    ledger.write_text('[[deviation]]\nid = "one"\n')
    assert built(tmp_path, "--ledger", str(ledger), "--out", str(tmp_path / "pages")) == 0
    assert "entry 1 of the ledger" in capsys.readouterr().err
