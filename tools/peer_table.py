"""What tools/peers.py found, as rows and as text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

ROPEJIT = "ropejit"


@dataclass
class Row:
    """A peer with one layout, in place or not."""

    peer: str
    in_place: bool
    layout: str
    table: str = ""  # where its cosines and sines come from
    status: str = "unavailable"  # or "ok", "wrong", "failed"
    reason: str = ""
    worst_error_eps: float | None = None
    first_call_ms: float | None = None
    cells: list[dict[str, Any]] = field(default_factory=list)

    def us(self, tokens: int) -> float | None:
        """GPU time of a call."""
        return next((cell["gpu_us"] for cell in self.cells if cell["tokens"] == tokens), None)

    def copy_us(self, tokens: int) -> float | None:
        """GPU time of a copy of the same bytes, in the same process."""
        return next((cell["copy_us"] for cell in self.cells if cell["tokens"] == tokens), None)

    @property
    def host_us(self) -> float | None:
        return next((cell["host_us"] for cell in self.cells if "host_us" in cell), None)


def number(value: float | None) -> str:
    """Three digits or so; a dash for what is not known."""
    if value is None:
        return "-"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they must be, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    for first, *others in lines:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:])]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def mode(row: Row) -> str:
    return f"{row.layout}, {'in place' if row.in_place else 'out of place'}"


def by_mode(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows that have times, by what they can be compared in."""
    modes: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.layout, row.in_place), reverse=True):
        if row.cells:
            modes.setdefault(mode(row), []).append(row)
    return modes


def least(times: Iterable[float | None]) -> float | None:
    return min((time for time in times if time is not None), default=None)


def copy_line(rows: Sequence[Row], tokens: Sequence[int]) -> list[str]:
    """The copy, which each row's process timed anew: the fastest of them."""
    copies = [least(row.copy_us(count) for row in rows) for count in tokens]
    return ["  copy", *map(number, copies)]


def times_table(rows: Sequence[Row], tokens: Sequence[int]) -> Iterator[str]:
    """GPU time of every row and of the copy, in microseconds; with a mark if results were wrong."""
    lines = [["gpu us, by tokens", *map(str, tokens), "host us", "first ms", "error eps"]]
    for name, members in by_mode(rows).items():
        lines.append([name, *("" for _ in lines[0][1:])])
        lines.append([*copy_line(members, tokens), "", "", ""])
        for row in members:
            times = [number(row.us(count)) for count in tokens]
            known = [number(x) for x in (row.host_us, row.first_call_ms, row.worst_error_eps)]
            mark = " (wrong!)" if row.status == "wrong" else ""
            lines.append([f"  {row.peer}{mark}", *times, *known])
    return aligned(lines)


def problems(rows: Sequence[Row]) -> Iterator[str]:
    """A line for every row that is not as it should be."""
    for row in rows:
        if row.status != "ok":
            yield f"{row.peer}, {mode(row)}: {row.status}: {' '.join(row.reason.split())[:200]}"


def short_table(rows: Sequence[Row], tokens: Sequence[int]) -> Iterator[str]:
    """ropejit beside the fastest peer whose results are right, and how many times as fast it is."""
    lines = [["gpu us, by tokens", *map(str, tokens)]]
    for name, members in by_mode(rows).items():
        ours = [row for row in members if row.peer == ROPEJIT]
        peers = [row for row in members if row.peer != ROPEJIT and row.status != "wrong"]
        lines.append([name, *("" for _ in tokens)])
        lines.append(copy_line(members, tokens))
        columns = [compare(ours, peers, count) for count in tokens]
        labels = ("  fastest peer", "    its time", "  ropejit", "    times as fast")
        lines += [[label, *texts] for label, texts in zip(labels, zip(*columns))]
    return aligned(lines)


def compare(ours: Sequence[Row], peers: Sequence[Row], tokens: int) -> tuple[str, str, str, str]:
    """The four entries of the short table for a number of tokens."""
    timed = [(us, row.peer) for row in peers if (us := row.us(tokens)) is not None]
    their_us, name = min(timed, default=(None, "-"))
    our_us = least(row.us(tokens) for row in ours)
    ratio = their_us / our_us if their_us and our_us else None
    return name, number(their_us), number(our_us), number(ratio)
