"""Bar charts as SVG: medians, with a line from the least to the most."""

import os
from statistics import median

COLOURS = {"mgm": "#1f6feb", "bare": "#999999", "bare64": "#555555"}
OTHER = "#d29922"
BAR, GAP, HEIGHT, LEFT, TOP = 30, 24, 220, 64, 44
NAMES = {"mgm": "libmgm"}


def chart(path, title, unit, groups):
    """Groups are (label, [(who, values)])."""
    groups = [(label, [(who, values) for who, values in bars if values]) for label, bars in groups]
    groups = [(label, bars) for label, bars in groups if bars]
    if not groups:
        return
    most = max(max(values) for _, bars in groups for _, values in bars) or 1
    width = max(LEFT + sum(len(bars) * BAR + GAP for _, bars in groups) + GAP, 8 * len(title))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + 84}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="100%" height="100%" fill="white"/><text x="8" y="18" font-size="13">{title}</text>',
           f'<text x="8" y="{TOP - 8}">{unit}</text>']

    def level(value):
        return TOP + HEIGHT - HEIGHT * value / most

    for step in range(5):
        y = level(most * step / 4)
        out.append(f'<line x1="{LEFT}" x2="{width}" y1="{y}" y2="{y}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{most * step / 4:.3g}</text>')
    x = LEFT + GAP
    for label, bars in groups:
        out.append(f'<text x="{x + len(bars) * BAR / 2}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{label}</text>')
        for who, values in bars:
            value, middle = median(values), x + (BAR - 4) / 2
            name = NAMES.get(who, who)
            out.append(f'<rect x="{x}" y="{level(value):.1f}" width="{BAR - 4}" height="{HEIGHT * value / most:.1f}" '
                       f'fill="{COLOURS.get(who, OTHER)}"><title>{name}: {value:.4g} {unit}, '
                       f'{min(values):.4g} to {max(values):.4g}</title></rect>'
                       f'<line x1="{middle}" x2="{middle}" y1="{level(min(values)):.1f}" '
                       f'y2="{level(max(values)):.1f}" stroke="black"/>'
                       f'<text transform="translate({middle + 4},{TOP + HEIGHT + 24}) rotate(90)" '
                       f'fill="#666">{name}</text>')
            x += BAR
        x += GAP
    out.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out))


def write(runs, peers, sizes, directory):
    os.makedirs(directory, exist_ok=True)

    def plot(file, title, unit, what, entries, who=("mgm", "bare"), results=runs):
        chart(os.path.join(directory, file), title, unit,
              [(f"{n:,}", [(name, results.of(what, n, name)) for name in who]) for n in entries])

    for file, what in [("get.svg", "MgmGetMfe hit"), ("sweep.svg", "sweep, 64 KiB"),
                       ("membership.svg", "delete and add"), ("new-flow.svg", "new flow")]:
        plot(file, f"{what}: ns by number of entries", "ns", what, sizes)
    plot("flows.svg", "New flows in the kernel: resolved per second", "flows/s",
         "flows burst: resolved/s", (10000, 50000), ("mgm", "bare", "bare64"))
    plot("single.svg", "One packet for each of so many flows: resolved per second", "flows/s",
         "flows single: resolved/s", (10000,), ("mgm", "bare", "bare64"))
    plot("lost.svg", "One packet for each of so many flows: lost", "flows",
         "flows single: lost", (10000,), ("mgm", "bare", "bare64"))
    plot("change.svg", "One (*,G) join over so many kernel entries: ns each", "ns",
         "(*,G) join over MFEs, ns each", (10000, 100000))
    plot("statistics.svg", "Statistics of so many kernel entries: ns each", "ns",
         "statistics of all, ns each", (10000, 100000))
    plot("peers.svg", "New flows resolved per second, one oif", "flows/s", "flows burst: resolved/s", (1000, 10000),
         ("mgm", "bare", "pimd", "smcroute", "igmpproxy"), peers)
    plot("installed.svg", "New flows installed per second, one oif", "flows/s", "flows installed: resolved/s",
         (1000, 10000), ("mgm", "bare", "frr"), peers)
