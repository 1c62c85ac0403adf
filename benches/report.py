"""Medians, ratios and plots of benches/results.tsv, results-peers.tsv and results-protocols.tsv.

Prints the table against the targets, and writes benches/RESULTS.md and docs/plots/*.svg. Needs
nothing but Python.

    report.py               all of it; of the machine, what RESULTS.md says
    report.py measured      all of it, just measured on this machine
    report.py criterion DIR lines of results, from what criterion left in DIR
    report.py quick FILE    only the ratios of FILE, printed
    report.py machine       a line for results-protocols.tsv: where it is measured
"""

import collections
import glob
import json
import os
import platform
import subprocess
import sys
from statistics import median

import plots
from protocols import targets as protocols

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SIZES = (1000, 100000, 1000000)


class Results:
    """Every value of a file, by what was measured, the number of entries, and whose it is; and its first line, if that is a
    comment."""

    def __init__(self, path):
        self.values = collections.defaultdict(list)
        self.comment = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                for line in lines:
                    if line.startswith("# "):
                        self.comment = line[2:].rstrip("\n")
                        continue
                    what, entries, who, value = line.rstrip("\n").split("\t")
                    self.values[what, int(entries), who].append(float(value))

    def of(self, what, entries, who="mgm"):
        return self.values.get((what, entries, who), [])

    def median(self, what, entries, who="mgm"):
        found = self.of(what, entries, who)
        return median(found) if found else None


def ratios(ours, theirs):
    """Of the values that were measured one after the other."""
    return [a / b for a, b in zip(ours, theirs) if b]


def number(value):
    return "" if value is None else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(values):
    return f"{number(min(values))} to {number(max(values))}" if values else ""


# ---- the targets ----

# How values compare: at most, at least.
MOST, LEAST = "≤", "≥"

# Held against a bare reference in the same run, the best of those named: (what, entries, references,
# how, target, what is still acceptable). Times may be at most, rates at least so many times the
# reference's.
AGAINST_BARE = [
    ("flows burst: resolved/s", 10000, ("bare", "bare64"), LEAST, 0.95, 0.90),
    ("flows burst: resolved/s", 50000, ("bare", "bare64"), LEAST, 0.90, 0.90),
    ("flows single: resolved/s", 10000, ("bare64",), LEAST, 0.90, 0.90),
    ("flows paced: p50 µs", 10000, ("bare",), MOST, 1.10, 1.10),
    *((f"(*,G) {change} over MFEs, ns each", entries, ("bare",), MOST, 1.00, 1 / 0.85)
      for entries in (10000, 100000) for change in ("join", "leave", "first join", "last leave")),
    ("statistics of all, ns each", 100000, ("bare",), MOST, 1.05, 1.05),
    ("MgmGetMfe hit", 1000000, ("bare",), MOST, 1.50, 1.50),
    ("sweep, 64 KiB", 1000000, ("bare",), MOST, 1.50, 1.50),
    *((f"{what}: {share} ns", 1, ("bare",), MOST, 2.00, 2.00)
      for what in ("a call and its answer", "an alert in another process") for share in ("p50", "p99")),
    ("a sweep from another process, ns each", 1000000, ("bare",), MOST, 3.00, 3.00),
]

# What goes on while something else is due.
LARGE = ("a release of memberships", "a (*,*) add", "a (*,*) delete", "an oif that goes down", "an oif that comes up",
         "an iif that goes down", "a sweep", "statistics", "an enumeration", "the state")

# Held against a figure: (what, entries, how, figure). Without a figure it is shown and not judged.
ABSOLUTE = [
    *((f"{what} beside {large}: p99.9 µs", 1000000, MOST, 10000)
      for what in ("read", "change", "new flow") for large in LARGE),
    ("flows single: lost", 10000, MOST, 0),
    ("delete and add", 1000000, MOST, 1000),
    ("two readers ÷ one", 100000, None, None),
    ("reader beside a writer ÷ alone", 100000, MOST, 2),
    ("change beside a sweep, p99.9 µs", 1000000, MOST, 1000),
    ("change beside statistics, p99.9 µs", 1000000, MOST, 1000),
    ("new flow beside a sweep, p99.9 µs", 1000000, MOST, 1000),
    ("new flow beside statistics, p99.9 µs", 1000000, MOST, 1000),
    ("bytes per MFE, malloc", 1000000, MOST, 128),
    ("bytes per (*,G), malloc", 1000000, MOST, 96),
    ("size", 1, MOST, 600),
    ("start", 1, MOST, 1),
]

# What is measured at all sizes, and whose growth is held against the hash map's own.
GROWING = ("delete and add", "delete and add, no alert", "delete and add over a flow", "add", "new flow",
           "MgmGetMfe hit", "MgmGetMfe miss", "sweep, 64 KiB", "sweep, 4 KiB", "group enumeration")

# Other routers, and what of theirs is comparable.
OTHERS = (("pimd", "burst"), ("smcroute", "burst"), ("igmpproxy", "burst"), ("frr", "installed"))


def met(value, how, target, acceptable):
    def within(limit):
        return value <= limit if how == MOST else value >= limit
    return "yes" if within(target) else "at the least" if within(acceptable) else "no"


def against_targets(runs, peers):
    apart, together = (runs.of("flows burst: resolved/s", 10000, who) for who in ("apart", "two"))
    if apart and together:
        each = ratios(apart, together)
        yield ("flows burst: resolved/s, both clients elsewhere", 10000, number(median(apart)), number(median(together)),
               number(median(each)), spread(each), f"{LEAST} 0.5 ×", met(median(each), LEAST, 0.5, 0.5))
    for what, entries, references, how, target, acceptable in AGAINST_BARE:
        ours = runs.of(what, entries)
        known = [runs.of(what, entries, who) for who in references if runs.of(what, entries, who)]
        if not ours or not known:
            continue
        theirs = (max if how == LEAST else min)(known, key=median)
        each = ratios(ours, theirs)
        yield (what, entries, number(median(ours)), number(median(theirs)), number(median(each)), spread(each),
               f"{how} {target:g} ×", met(median(each), how, target, acceptable))
    for what, entries, how, target in ABSOLUTE:
        ours, theirs = runs.of(what, entries), runs.of(what, entries, "bare")
        if not ours:
            continue
        each = ratios(ours, theirs)
        verdict = (f"{how} {target:g}", met(median(ours), how, target, target)) if how else ("", "")
        yield (what, entries, number(median(ours)), number(median(theirs)) if theirs else "",
               number(median(each)) if each else "", spread(each), *verdict)
    best = best_peer(peers, 10000)
    if best:
        name, ours, theirs = best
        yield (f"flows resolved/s, beside {name}", 10000, number(ours), number(theirs), number(ours / theirs), "",
               f"{LEAST} 4 ×", met(ours / theirs, LEAST, 4, 4))
    base = growth(runs, "MgmGetMfe hit", "bare")
    for what in GROWING:
        ours = growth(runs, what, "mgm")
        if ours and base:
            yield (f"growth of: {what}", SIZES[-1], number(ours), number(base), number(ours / base), "",
                   f"{MOST} 2 ×", met(ours / base, MOST, 2, 2))


def best_peer(peers, entries):
    """The best of the other routers: its name, our rate and its rate."""
    found = []
    for name, how in OTHERS:
        what = f"flows {how}: resolved/s"
        ours, theirs = peers.median(what, entries), peers.median(what, entries, name)
        if ours and theirs:
            found.append((theirs / ours, name, ours, theirs))
    return max(found)[1:] if found else None


def growth(runs, what, who):
    """How many times more an operation takes among the most entries than among the least."""
    small, large = runs.median(what, SIZES[0], who), runs.median(what, SIZES[-1], who)
    return large / small if small and large else None


def growths(runs):
    for what in GROWING:
        for who in ("mgm", "bare"):
            times = [runs.median(what, entries, who) for entries in SIZES]
            if all(times):
                yield (what, who, *(number(time) for time in times), number(times[-1] / times[0]))


def everything(runs):
    for (what, entries, who), values in runs.values.items():
        yield (what, entries, who, number(median(values)), number(min(values)), number(max(values)), len(values))


# ---- output ----

TARGETS = ("what", "entries", "libmgm", "reference", "ratio", "least to most", "target", "met")
COLUMNS = ("what", "entries", "who", "median", "least", "most", "runs")


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
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "?")
    return (f"{model}, {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f} at the end), Linux {platform.release()}, "
            f"{said('rustc', '--version')}, "
            f"{said('cc', '--version').splitlines()[0]}, libmgm {said('git', '-C', ROOT, 'rev-parse', '--short', 'HEAD')}")


def machine_of_results():
    """What RESULTS.md says of the machine that was measured."""
    with open(os.path.join(HERE, "RESULTS.md"), encoding="utf-8") as lines:
        return next(line.rstrip("\n") for line in lines if ", libmgm " in line)


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
    runs, rows = Results(path), []
    for (what, entries, who), ours in runs.values.items():
        if who not in ("mgm", "apart"):
            continue
        known = ("two",) if who == "apart" else ("bare", "bare64")
        references = [name for name in known if runs.of(what, entries, name)]
        for name in references or [""]:
            theirs = runs.of(what, entries, name)
            each = ratios(ours, theirs)
            rows.append((what, entries, number(median(ours)), number(median(theirs)) if theirs else "", name,
                         number(median(each)) if each else "", spread(each)))
    print(plain(("what", "entries", "libmgm", "reference", "", "ratio", "least to most"), rows))


def main(measured):
    runs, peers, others = (Results(os.path.join(HERE, f"results{name}.tsv")) for name in ("", "-peers", "-protocols"))
    rows = list(against_targets(runs, peers))
    print(plain(TARGETS, rows))
    text = ["# Results", "", "Written by `make bench`, `make bench-peers` and `make bench-protocols`; see docs/PERFORMANCE.md.", "",
            machine() if measured else machine_of_results(), "",
            "## Against the targets", "",
            "Medians; the ratio is the median of the ratios of what was measured one after the other, with the least and",
            "the most of them. Times in ns unless the name says otherwise; start in ms, size in kB. \"At the least\": the",
            "target is missed by no more than was allowed for.", "", markdown(TARGETS, rows), "",
            "## Growth", "", "ns by the number of entries, and how many times more it is at the end.", "",
            markdown(("what", "who", *(f"{size:,}" for size in SIZES), "growth"), growths(runs)), "",
            "## Everything", "", markdown(COLUMNS, everything(runs)), "",
            "## Other routers", "", "One outgoing interface. \"Installed\" counts the kernel's entries instead of deliveries.", "",
            markdown(COLUMNS, everything(peers)), "",
            "## Protocols beside other routers", "", f"`make bench-protocols`: {others.comment}", "",
            markdown(protocols.COLUMNS, protocols.rows(others, number, spread)), "", markdown(COLUMNS, everything(others)), ""]
    with open(os.path.join(HERE, "RESULTS.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(text))
    plots.write(runs, peers, SIZES, os.path.join(ROOT, "docs/plots"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["quick"]:
        quick(sys.argv[2])
    elif sys.argv[1:2] == ["criterion"]:
        criterion(sys.argv[2])
    elif sys.argv[1:2] == ["machine"]:
        print("#", machine())
    else:
        main(sys.argv[1:2] == ["measured"])
