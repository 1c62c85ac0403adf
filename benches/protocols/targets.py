"""What is held against other routers of benches/results-protocols.tsv."""

from statistics import median

# (what, entries, ours, theirs, at most so many times the best of theirs, at most this figure or None)
TARGETS = [
    *((f"channel change: {share} µs", 100, who, ("igmpproxy", "FRR"), 1, 5000 if share == "p99" else None)
      for share in ("p50", "p99") for who in ("mgm-proxy", "mgmd, mgm-igmp, mgm-proxy")),
    *(("groups joined: ms", groups, who, ("igmpproxy", "pimd", "FRR"), 1, None)
      for groups in (1000, 10000) for who in ("mgm-proxy", "mgmd, mgm-igmp, mgm-proxy", "mgm-pim")),
    ("reroute: ms until the last flow is on its new interface", 10000, "mgm-pim", ("FRR",), 0.1, 100),
    *(("link failure: packets lost of 1,000 a second", 1, who, ("FRR",), 1, None) for who in ("mgm-pim, dense", "mgm-pim")),
]

COLUMNS = ("what", "entries", "who", "median", "beside", "median", "ratio", "least to most", "target", "met")


def rows(results, number, spread):
    """Ours beside the best of the others; `number` and `spread` write them."""
    for what, entries, who, theirs, most, figure in TARGETS:
        ours = results.of(what, entries, who)
        known = [(median(results.of(what, entries, name)), name) for name in theirs if results.of(what, entries, name)]
        if not ours:
            continue
        best, name = min(known, default=(None, ""))
        each = [a / b for a, b in zip(ours, results.of(what, entries, name)) if b]
        met = (figure is None or median(ours) <= figure) and (not each or median(each) <= most)
        target = " and ".join([f"≤ {most:g} ×"] + ([f"≤ {figure:g}"] if figure is not None else []))
        yield (what, entries, who, number(median(ours)), name, number(best), number(median(each)) if each else "",
               spread(each), target, "yes" if met else "no")
