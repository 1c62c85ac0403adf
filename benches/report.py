"""Medians, ratios and plots of benches/results.tsv and benches/results-peers.tsv.

Prints the table against the targets, and writes benches/RESULTS.md and docs/plots/*.svg. Needs
nothing but Python.

    report.py               all of it
    report.py criterion DIR lines of results, from what criterion left in DIR
    report.py quick FILE    only the ratios of FILE, printed
"""

import collections
import glob
import json
import os
import platform
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def load(name):
    values = collections.defaultdict(list)
    path = os.path.join(HERE, name)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                what, entries, who, value = line.rstrip("\n").split("\t")
                values[what, int(entries), who].append(float(value))
    return values


RUNS, PEERS = load("results.tsv"), load("results-peers.tsv")


def median(what, entries, who="mgm", runs=None):
    found = (RUNS if runs is None else runs).get((what, entries, who))
    return statistics.median(found) if found else None


# What is held against the bare reference: (name, entries, at most or at least, ratio).
AGAINST_BARE = [
    ("flows burst: resolved/s", 10000, ">=", 0.95),
    ("flows burst: resolved/s", 50000, ">=", 0.90),
    ("flows single: resolved/s", 10000, ">=", 0.90),
    ("flows paced: p50 µs", 10000, "<=", 1.1),
    ("(*,G) join over MFEs, ns each", 10000, "<=", 1.0),
    ("(*,G) join over MFEs, ns each", 100000, "<=", 1.0),
    ("(*,G) leave over MFEs, ns each", 10000, "<=", 1.0),
    ("(*,G) leave over MFEs, ns each", 100000, "<=", 1.0),
    ("statistics of all, ns each", 100000, "<=", 1.05),
    ("MgmGetMfe hit", 1000000, "<=", 1.5),
    ("sweep, 64 KiB", 1000000, "<=", 1.5),
]
# What is held against a figure: (name, entries, at most or at least, figure).
ABSOLUTE = [
    ("flows single: lost", 10000, "<=", 0),
    ("delete and add", 1000000, "<=", 1000),
    ("two readers ÷ one", 100000, ">=", 1.7),
    ("reader beside a writer ÷ alone", 100000, "<=", 2),
    ("change beside a sweep, p99.9 µs", 1000000, "<=", 1000),
    ("bytes per MFE, malloc", 1000000, "<=", 128),
    ("bytes per (*,G), malloc", 1000000, "<=", 96),
    ("size", 1, "<=", 600),
    ("start", 1, "<=", 1),
]


def verdict(value, how, target):
    good = value <= target if how == "<=" else value >= target
    sign = "≤" if how == "<=" else "≥"
    return f"{sign} {target:g}", "yes" if good else "no"


def against_targets():
    rows = []
    for what, entries, how, target in AGAINST_BARE:
        ours, bare = median(what, entries), median(what, entries, "bare")
        if ours is not None and bare:
            wanted, met = verdict(ours / bare, how, target)
            rows.append((what, entries, f"{ours:.4g}", f"{bare:.4g}", f"{ours / bare:.2f}", wanted, met))
    for what, entries, how, target in ABSOLUTE:
        ours = median(what, entries)
        if ours is not None:
            wanted, met = verdict(ours, how, target)
            bare = median(what, entries, "bare")
            beside = (f"{bare:.4g}", f"{ours / bare:.2f}") if bare else ("", "")
            rows.append((what, entries, f"{ours:.4g}", *beside, wanted, met))
    return rows


def everything(runs):
    for (what, entries, who), values in runs.items():
        yield (what, entries, who, f"{statistics.median(values):.4g}", f"{min(values):.4g}",
               f"{max(values):.4g}", len(values))


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def plain(head, rows):
    rows = [tuple(str(cell) for cell in row) for row in [head, *rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows)


def said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), "?")
    return (f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, {said('rustc', '--version')}, "
            f"{said('cc', '--version').splitlines()[0]}, libmgm {said('git', '-C', ROOT, 'rev-parse', '--short', 'HEAD')}")


# ---- plots ----

COLOURS = {"mgm": "#1f6feb", "bare": "#999999"}


def svg(name, title, unit, groups):
    """Bars: groups is a list of (label, [(who, value)])."""
    bar, gap, height, left, top = 26, 22, 220, 64, 40
    most = max((value for _, bars in groups for _, value in bars), default=1) or 1
    width = left + sum(len(bars) * bar + gap for _, bars in groups) + gap
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top + height + 60}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="100%" height="100%" fill="white"/><text x="8" y="18" font-size="13">{title}</text>']
    for step in range(5):
        y = top + height - height * step / 4
        out.append(f'<line x1="{left}" x2="{width}" y1="{y}" y2="{y}" stroke="#ddd"/>'
                   f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{most * step / 4:.3g}</text>')
    out.append(f'<text x="8" y="{top - 6}">{unit}</text>')
    x = left + gap
    for label, bars in groups:
        for who, value in bars:
            tall = height * value / most
            out.append(f'<rect x="{x}" y="{top + height - tall:.1f}" width="{bar - 3}" height="{tall:.1f}" '
                       f'fill="{COLOURS.get(who, "#d29922")}"><title>{who}: {value:.4g} {unit}</title></rect>')
            x += bar
        middle = x - len(bars) * bar / 2
        out.append(f'<text x="{middle}" y="{top + height + 16}" text-anchor="middle">{label}</text>')
        names = "/".join(who for who, _ in bars)
        out.append(f'<text x="{middle}" y="{top + height + 32}" text-anchor="middle" fill="#666">{names}</text>')
        x += gap
    out.append("</svg>\n")
    os.makedirs(os.path.join(ROOT, "docs/plots"), exist_ok=True)
    with open(os.path.join(ROOT, "docs/plots", name), "w", encoding="utf-8") as file:
        file.write("\n".join(out))


def pairs(what, sizes, runs=None, names=("mgm", "bare")):
    groups = []
    for entries in sizes:
        bars = [(who, median(what, entries, who, runs)) for who in names]
        bars = [(who, value) for who, value in bars if value is not None]
        if bars:
            groups.append((f"{entries:,}", bars))
    return groups


def plots():
    sizes = (1000, 100000, 1000000)
    for file, what in [("get.svg", "MgmGetMfe hit"), ("sweep.svg", "sweep, 64 KiB"),
                       ("membership.svg", "delete and add"), ("new-flow.svg", "new flow")]:
        svg(file, f"{what}: ns by number of entries", "ns", pairs(what, sizes))
    svg("flows.svg", "New flows in the kernel: resolved per second", "flows/s",
        pairs("flows burst: resolved/s", (10000, 50000)))
    svg("change.svg", "One (*,G) join over so many kernel entries: ns each", "ns",
        pairs("(*,G) join over MFEs, ns each", (10000, 100000)))
    svg("statistics.svg", "Statistics of so many kernel entries: ns each", "ns",
        pairs("statistics of all, ns each", (10000, 100000)))
    if PEERS:
        svg("peers.svg", "New flows resolved per second, one oif", "flows/s",
            pairs("flows burst: resolved/s", (1000, 10000), PEERS,
                  ("bare", "mgm", "pimd", "smcroute", "igmpproxy")))


def criterion(directory):
    """One line for each round of each benchmark: its median, by operation."""
    lines = []
    for path in glob.glob(os.path.join(directory, "**", "new", "benchmark.json"), recursive=True):
        with open(path, encoding="utf-8") as file:
            bench = json.load(file)
        with open(os.path.join(os.path.dirname(path), "estimates.json"), encoding="utf-8") as file:
            nanoseconds = json.load(file)["median"]["point_estimate"]
        entries, turn = bench["value_str"].split()
        each = bench["throughput"]["Elements"]
        lines.append((bench["group_id"], int(entries), int(turn), bench["function_id"], nanoseconds / each))
    for what, entries, _, who, value in sorted(lines):
        print(f"{what}\t{entries}\t{who}\t{value:.3f}")


def quick(path):
    """The ratio of each pair that was measured one after the other, and how far they spread."""
    runs, rows = load(path), []
    for (what, entries, who), ours in runs.items():
        if who != "mgm":
            continue
        bare = runs.get((what, entries, "bare"))
        row = [what, entries, f"{statistics.median(ours):.4g}", "", "", ""]
        if bare:
            ratios = [a / b for a, b in zip(ours, bare) if b]
            row[3] = f"{statistics.median(bare):.4g}"
            if ratios:
                row[4] = f"{statistics.median(ratios):.2f}"
                row[5] = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append(row)
    print(plain(("what", "entries", "libmgm", "bare", "ratio", "spread"), rows))


def main():
    targets = ("what", "entries", "libmgm", "reference", "ratio", "target", "met")
    columns = ("what", "entries", "who", "median", "least", "most", "runs")
    text = ["# Results", "", "Written by `make bench` and `make bench-peers`; see docs/PERFORMANCE.md.", "",
            machine(), ""]
    if RUNS:
        rows = against_targets()
        print(plain(targets, rows))
        text += ["## Against the targets", "", markdown(targets, rows), "",
                 "## Everything", "", "Times in ns unless the name says otherwise; start in ms, size in kB.", "",
                 markdown(columns, everything(RUNS)), ""]
    if PEERS:
        rows = list(everything(PEERS))
        print(plain(columns, rows))
        text += ["## Other routers", "", markdown(columns, rows), ""]
    with open(os.path.join(HERE, "RESULTS.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(text))
    plots()


if sys.argv[1:2] == ["quick"]:
    quick(os.path.abspath(sys.argv[2]))
elif sys.argv[1:2] == ["criterion"]:
    criterion(sys.argv[2])
else:
    main()
