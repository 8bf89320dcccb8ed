#!/usr/bin/env python3
"""Makes plots (SVG) and tables (Markdown) of what `ropejit bench --json FILE` measured.

    plot.py plots FILE [--out DIR]      ratio.svg, time.svg and grid.svg
    plot.py tables FILE [--into PAGE]   prints the tables, or puts them between PAGE's markers

Needs Python 3.8 and nothing else. docs/performance.md says what the JSON holds.
"""

import argparse
import json
import math
import pathlib
import sys

from svg import Svg, linear, logarithmic, ratio_scale

SCHEMA = 1
BEGIN_TABLES = "<!-- tables of tools/plot.py -->"
END_TABLES = "<!-- end of tables -->"
COLORS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#9c6b4e"]
DTYPES = ["bfloat16", "float16", "float32"]
LAYOUTS = ["interleaved", "sequential"]


# What is in a report.


def load(path):
    report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    if report.get("schema") != SCHEMA:
        raise ValueError(f"{path}: schema = {report.get('schema')}: must be {SCHEMA}")
    return report


def to_copy(cell):
    """Speed relative to the copy."""
    return cell["copy_us"] / cell["gpu_us"]


def to_twin(cell):
    return cell["twin_us"] / cell["gpu_us"]


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(math.log(value) for value in values) / len(values))


def shape_of(cell):
    """What is the same along a curve, but for dtype and layout."""
    spec = cell["spec"]
    keys = ["q_heads", "kv_heads", "head_dim", "rotary_dim", "positions", "angles", "direction"]
    return tuple(spec[key] for key in keys) + (cell["in_place"], cell["layout"])


def curves(cells):
    """The shape with the most token counts: its name, and its cells by (dtype, layout)."""
    tokens = {}
    for cell in cells:
        tokens.setdefault(shape_of(cell), set()).add(cell["tokens"])
    shape = max(tokens, key=lambda each: len(tokens[each]))  # the first of equals
    by_type = {}
    for cell in cells:
        if shape_of(cell) == shape:
            key = (cell["spec"]["dtype"], cell["spec"]["layout"])
            by_type.setdefault(key, {})[cell["tokens"]] = cell  # groups may share a cell
    ordered = {
        (dtype, layout): [by_type[dtype, layout][count] for count in sorted(by_type[dtype, layout])]
        for dtype in DTYPES
        for layout in LAYOUTS
        if (dtype, layout) in by_type
    }
    q_heads, kv_heads, head_dim, rotary_dim, positions, angles = shape[:6]
    rotary = "" if rotary_dim == head_dim else f", {rotary_dim} of them rotated"
    name = f"{q_heads}/{kv_heads} heads of {head_dim}{rotary}, {positions}, {angles} angles"
    return name + (", in place" if shape[7] else ""), ordered


def grid_of(cells):
    """The suite's grid by (heads, head_dim); without one, all cells."""
    chosen = [cell for cell in cells if cell["group"] == "grid"] or cells
    rows = {}
    for cell in chosen:
        spec = cell["spec"]
        heads = (spec["q_heads"], spec["kv_heads"])
        rows.setdefault((heads, spec["head_dim"]), []).append(cell)
    return dict(sorted(rows.items()))


def device_text(report):
    device = report["device"]
    clock = f", up to {device['clock_khz'] // 1000} MHz" if device["clock_khz"] else ""
    return (
        f"{device['name']} (capability {device['capability']}, {device['multiprocessors']} "
        f"multiprocessors, {device['l2_bytes'] / 2**20:.0f} MiB of L2{clock}), "
        f"CUDA {device['cuda']}, {device['nvrtc']}; ropejit {report['version']} "
        f"({report['commit']}), {report['date'][:10]}"
    )


def microseconds(value):
    """Three digits."""
    if value is None:
        return ""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


# Plots.


def token_axis(svg, counts):
    place = logarithmic(counts[0], counts[-1], svg.left + 16, svg.right - 16)
    svg.x_axis("tokens", [(count, str(count)) for count in counts], place)
    return place


def token_counts(by_type):
    return sorted({cell["tokens"] for cells in by_type.values() for cell in cells})


def plot_ratio(report):
    name, by_type = curves(report["cells"])
    svg = Svg(f"Speed relative to a copy of the same bytes: {name}", device_text(report))
    x = token_axis(svg, token_counts(by_type))
    low, high, ticks = ratio_scale([to_copy(cell) for cells in by_type.values() for cell in cells])
    y = linear(low, high, svg.bottom, svg.top)
    svg.y_axis("copy's time / ropejit's time", ticks, y)
    svg.line([(svg.left, y(1)), (svg.right, y(1))], "#333", 1.5)
    names = []
    for color, ((dtype, layout), cells) in zip(COLORS, by_type.items()):
        points = [(x(cell["tokens"]), y(to_copy(cell))) for cell in cells]
        svg.line(points, color, 2)
        for point in points:
            svg.dot(*point, color)
        names.append((f"{dtype} {layout}", color))
    svg.legend(names)
    return svg.render()


def plot_time(report):
    name, by_type = curves(report["cells"])
    key = ("bfloat16", "sequential") if ("bfloat16", "sequential") in by_type else min(by_type)
    cells = by_type[key]
    title = f"GPU time per call: {name}, {key[0]} {key[1]}"
    svg = Svg(title, device_text(report))
    series = [
        ("ropejit", COLORS[0], "gpu_us"),
        ("without the rotation", COLORS[1], "twin_us"),
        ("copy", "#333", "copy_us"),
        ("in a dependent chain", COLORS[2], "chain_us"),
    ]
    times = [cell[field] for cell in cells for _, _, field in series if cell[field] is not None]
    x = token_axis(svg, [cell["tokens"] for cell in cells])
    decades = range(math.floor(math.log10(min(times))), math.ceil(math.log10(max(times))) + 1)
    highest = max(decades[-1], decades[0] + 1)
    y = logarithmic(10.0 ** decades[0], 10.0**highest, svg.bottom, svg.top)
    marks = [m * 10.0**decade for decade in range(decades[0], highest) for m in (1, 2, 5)]
    svg.y_axis("time, µs", [(mark, f"{mark:g}") for mark in marks + [10.0**highest]], y)
    dashes = {"copy": "6 4"}
    for label, color, field in series:
        points = [(x(c["tokens"]), y(c[field])) for c in cells if c[field] is not None]
        svg.line(points, color, 2, dashes.get(label, ""))
        for point in points:
            svg.dot(*point, color)
    svg.legend([(label, color) for label, color, _ in series], dashes)
    return svg.render()


def plot_grid(report):
    rows = grid_of(report["cells"])
    cells = [cell for row in rows.values() for cell in row]
    svg = Svg(
        f"Speed relative to a copy of the same bytes, {len(cells)} cells",
        device_text(report),
        height=130 + 34 * len(rows),
        left=130,
    )
    low, high, ticks = ratio_scale([to_copy(cell) for cell in cells])
    x = linear(low, high, svg.left, svg.right)
    svg.x_axis("copy's time / ropejit's time (bar: geometric mean)", ticks, x)
    svg.line([(x(1), svg.top), (x(1), svg.bottom)], "#333", 1.5)
    y = linear(-0.5, len(rows) - 0.5, svg.top, svg.bottom)
    labels = [(i, f"{q}/{kv} × {size}") for i, ((q, kv), size) in enumerate(rows)]
    svg.y_axis("heads (q/kv) × head size", labels, y)
    colors = dict(zip(DTYPES, COLORS))
    for i, row in enumerate(rows.values()):
        lanes = len(DTYPES) * len(LAYOUTS)
        for cell in row:
            spec = cell["spec"]
            lane = DTYPES.index(spec["dtype"]) * len(LAYOUTS) + LAYOUTS.index(spec["layout"])
            height = y(i) + (lane - (lanes - 1) / 2) * 4
            svg.dot(x(to_copy(cell)), height, colors[spec["dtype"]], 2.2, 0.65)
        mean = x(geometric_mean(to_copy(cell) for cell in row))
        svg.line([(mean, y(i) - 13), (mean, y(i) + 13)], "#111", 2)
    svg.legend(list(colors.items()))
    svg.text(svg.right + 16, svg.top + 84, "upper lane: interleaved", size=11)
    svg.text(svg.right + 16, svg.top + 100, "lower lane: sequential", size=11)
    return svg.render()


# Tables.


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def group_table(cells):
    groups = {}
    for cell in cells:
        groups.setdefault(cell["group"] or "all", []).append(cell)
    rows = [
        [
            name,
            str(len(group)),
            f"{geometric_mean(map(to_copy, group)):.3f}",
            f"{min(map(to_copy, group)):.3f}",
            f"{geometric_mean(map(to_twin, group)):.3f}",
        ]
        for name, group in groups.items()
    ]
    head = ["cells", "number", "of the copy: mean", "slowest", "of the twin: mean"]
    return "Speeds; means are geometric.\n\n" + table(head, rows)


def time_table(cells):
    head = ["tokens", "ropejit, µs", "95% interval", "copy, µs", "twin, µs", "in a chain, µs"]
    rows = [
        [
            str(cell["tokens"]),
            microseconds(cell["gpu_us"]),
            f"{microseconds(cell['gpu_us_low'])} to {microseconds(cell['gpu_us_high'])}",
            microseconds(cell["copy_us"]),
            microseconds(cell["twin_us"]),
            microseconds(cell["chain_us"]),
            f"{cell['bytes'] / cell['gpu_us'] / 1000:.0f}",
            f"{to_copy(cell):.3f}",
        ]
        for cell in cells
    ]
    return table(head + ["GB/s", "of the copy"], rows)


def ratio_table(by_type):
    rows = []
    for count in token_counts(by_type):
        found = [[cell for cell in cells if cell["tokens"] == count] for cells in by_type.values()]
        rows.append([str(count)] + [f"{to_copy(cells[0]):.3f}" if cells else "" for cells in found])
    return table(["tokens"] + [" ".join(key) for key in by_type], rows)


def grid_table(cells):
    types = [(dtype, layout) for dtype in DTYPES for layout in LAYOUTS]
    rows = []
    for ((q_heads, kv_heads), head_dim), row in grid_of(cells).items():
        texts = [f"{q_heads}/{kv_heads} × {head_dim}"]
        for dtype, layout in types:
            ratios = [
                to_copy(cell)
                for cell in row
                if (cell["spec"]["dtype"], cell["spec"]["layout"]) == (dtype, layout)
            ]
            text = f"{geometric_mean(ratios):.3f} ({min(ratios):.3f})" if ratios else ""
            texts.append(text)
        rows.append(texts)
    return table(["heads × size"] + [" ".join(each) for each in types], rows)


def slowest_table(cells, count=10):
    rows = []
    for cell in sorted(cells, key=to_copy)[:count]:
        spec, config = cell["spec"], cell["config"]
        place = ("in place, " if cell["in_place"] else "") + cell["layout"]
        what = (
            f"{spec['q_heads']}/{spec['kv_heads']} × {spec['head_dim']} ({spec['rotary_dim']}) "
            f"{spec['dtype']} {spec['layout']} {spec['angles']}, {place}"
        )
        how = (
            f"{config['block_threads']} threads, {config['access_bytes']} bytes, "
            f"{config['pairing']}, {config['heads_per_thread']}"
        )
        ratios = [f"{to_copy(cell):.3f}", f"{to_twin(cell):.3f}"]
        rows.append([what, str(cell["tokens"])] + ratios + [how])
    return table(["cell", "tokens", "of the copy", "of the twin", "config"], rows)


def host_and_start(report):
    parts = []
    for host in report["host"]:
        parts.append(
            f"Host time per call ({host['launches']} of each kind): `Rope::apply` "
            f"{host['apply_ns']:.0f} ns, a raw `cuLaunchKernelEx` {host['raw_ns']:.0f} ns; the "
            f"median difference is {host['overhead_ns']:.0f} ns "
            f"({host['overhead_ns_low']:.0f} to {host['overhead_ns_high']:.0f})."
        )
    for start in report["start"]:
        parts.append(
            f"Start: cold {start['cold_ms']:.1f} ms ({start['kernels']} kernels compiled), "
            f"from disk {start['disk_ms']:.2f} ms (median of {start['disk_runs']})."
        )
    return "\n\n".join(parts)


def tables(report):
    cells = report["cells"]
    name, by_type = curves(cells)
    parts = [f"On {device_text(report)}.", group_table(cells)]
    for (dtype, layout), row in by_type.items():
        if dtype == min(by_type)[0]:  # one dtype in full; all in the next table
            parts += [f"### {name}, {dtype} {layout}", time_table(row)]
    parts += [f"### Of the copy, by tokens: {name}", ratio_table(by_type)]
    parts += ["### Of the copy, by shape: geometric mean (slowest)", grid_table(cells)]
    parts += ["### The slowest cells", slowest_table(cells)]
    parts += ["### Host time and start", host_and_start(report)]
    return "\n\n".join(parts) + "\n"


def put_between_markers(page, text):
    old = page.read_text(encoding="utf-8")
    begin, end = old.find(BEGIN_TABLES), old.find(END_TABLES)
    if begin == -1 or end < begin:
        raise ValueError(f"{page}: must have the lines {BEGIN_TABLES} and {END_TABLES}")
    page.write_text(f"{old[:begin]}{BEGIN_TABLES}\n{text}{old[end:]}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modes = parser.add_subparsers(dest="mode", required=True)
    plots = modes.add_parser("plots", help="writes ratio.svg, time.svg and grid.svg")
    plots.add_argument("file", help="that `ropejit bench --json` wrote")
    plots.add_argument("--out", default=".", help="the folder to write to; default: this one")
    text = modes.add_parser("tables", help="prints Markdown tables")
    text.add_argument("file", help="that `ropejit bench --json` wrote")
    text.add_argument("--into", help="a Markdown page whose tables to replace")
    options = parser.parse_args()
    try:
        report = load(options.file)
        if not report["cells"]:
            raise ValueError(f"{options.file}: cells is empty: nothing was measured")
        if options.mode == "plots":
            folder = pathlib.Path(options.out)
            folder.mkdir(parents=True, exist_ok=True)
            for name, plot in [("ratio", plot_ratio), ("time", plot_time), ("grid", plot_grid)]:
                (folder / f"{name}.svg").write_text(plot(report), encoding="utf-8")
        elif options.into:
            put_between_markers(pathlib.Path(options.into), tables(report))
        else:
            sys.stdout.write(tables(report))
    except (OSError, ValueError) as error:
        sys.exit(f"plot.py: {error}")


if __name__ == "__main__":
    main()
