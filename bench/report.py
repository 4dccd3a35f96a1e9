#!/usr/bin/env python3
"""Writes benchmarks.md and benchmarks.svg from the rows that the benchmarks left: report.py FOUND DOCS."""
import math
import pathlib
import sys
from html import escape

TITLES = {
    "truth": "The two-way lane against unison",
    "full": "Truth and two logs against the pipeline by hand",
    "rclone": "The two-way lane against rclone bisync",
    "logs": "Pulling a log against the least that ssh can do",
    "publish": "Publishing against a loop of rsync",
    "watch": "From an edit until it is seen on the other side",
    "growth": "Larger trees",
    "targets": "More targets",
    "rollback": "Taking a run back",
    "screens": "Screens",
}
READING = """\
Each ratio is the time of ubos-sync divided by the time of what it is compared with, of two runs that followed each other; who goes first
alternates. Below 1, ubos-sync is faster. A machine's speed sways from minute to minute, so times of different rows, and of different
days, say nothing beside each other: **judge by the median of the ratios**, and by how far its minimum and maximum lie apart. The aim is
for the median, and was set before it was measured; `missed` means that it is. *Cold* pays for a new connection in every run, as
`unison`, `rsync` and `ssh` by hand always do; *warm* finds the one that `keep_connection` left. Both sides do the same work on their own
copies of the same tree over the same sshd on the same machine, where no network hides what a program costs, unless a row says how much
latency was put in between."""


def number(text, unit):
    value = float(text)
    return f"{value:.2f}" if unit == "ratio" and value < 10 else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def seconds(text):
    return "" if text == "-" else f"{float(text):.2f} s"


def aim_of(row):
    return "" if row["aim"] == "-" else f"≤ {row['aim']}{'' if row['unit'] == 'ratio' else ' ' + row['unit']}"


def met(row):
    return None if row["aim"] == "-" else float(row["middle"]) <= float(row["aim"])


def read(path):
    part = {"name": path.stem, "rows": [], "said": []}
    for line in path.read_text().splitlines():
        words = line.split("\t")
        if words[0] == "@":
            part["when"], part["program"], part["load"] = words[1:]
        elif words[0] == "#":
            part["said"].append(words[1])
        elif words[2] == "absent":
            part["rows"].append(dict(zip(("title", "against", "unit", "aim", "why"), words)))
        else:
            keys = ("title", "against", "unit", "aim", "count", "low", "middle", "high", "ours", "other")
            part["rows"].append(dict(zip(keys, words)))
    return part


def table(part):
    ratios = [r for r in part["rows"] if r["unit"] == "ratio"]
    figures = [r for r in part["rows"] if r["unit"] not in ("ratio", "absent")]
    lines = []
    verdict = {None: "", True: "met", False: "**missed**"}
    if ratios:
        lines += ["| | against | ubos-sync | the other | pairs | min | median | max | aim | |", "|---|---|--:|--:|--:|--:|--:|--:|--:|---|"]
    for r in ratios:
        low, middle, high = (number(r[k], "ratio") for k in ("low", "middle", "high"))
        cells = (r["title"], r["against"], seconds(r["ours"]), seconds(r["other"]), r["count"], low, f"**{middle}**", high, aim_of(r), verdict[met(r)])
        lines.append(f"| {' | '.join(cells)} |")
    if figures:
        lines += [""] * bool(ratios) + ["| | low | middle | high | | aim | |", "|---|--:|--:|--:|---|--:|---|"]
    for r in figures:
        low, middle, high = (number(r[k], r["unit"]) for k in ("low", "middle", "high"))
        if r["count"] == "1":
            low = high = ""
        lines.append(f"| {r['title']} | {low} | **{middle}** | {high} | {r['unit']} | {aim_of(r)} | {verdict[met(r)]} |")
    for r in part["rows"]:
        if r["unit"] == "absent":
            lines += ["", f"Not measured: {r['title']} against {r['against']}: {r['why']}."]
    return lines


def picture(parts):
    """A bar from the least to the largest ratio, a dot for the median, a tick for the aim, on a logarithmic scale."""
    shown = [(p, [r for r in p["rows"] if r["unit"] == "ratio"]) for p in parts if p["name"] not in ("growth", "rollback")]
    values = [float(r[k]) for _, rows in shown for r in rows for k in ("low", "high")] + [0.5, 2]
    least, most = math.log2(min(values)) - 0.1, math.log2(max(values)) + 0.1
    left, width = 400, 440

    def x(value):
        return left + width * (math.log2(float(value)) - least) / (most - least)

    body, y = [], 62
    for part, rows in shown:
        if not rows:
            continue
        y += 30
        body.append(f'<text class="h" x="20" y="{y}">{escape(TITLES[part["name"]])}</text>')
        for r in rows:
            y += 20
            kind = {None: "none", True: "met", False: "missed"}[met(r)]
            body.append(f'<text x="34" y="{y}">{escape(r["title"])}</text>')
            body.append(f'<rect class="{kind} span" x="{x(r["low"]):.1f}" y="{y - 8}" width="{max(1.0, x(r["high"]) - x(r["low"])):.1f}" height="7" rx="3"/>')
            if r["aim"] != "-":
                at = x(r["aim"])
                body.append(f'<path class="aim" d="M{at:.1f} {y - 12}v15"/>')
            body.append(f'<circle class="{kind}" cx="{x(r["middle"]):.1f}" cy="{y - 4.5}" r="4.5"/>')
            body.append(f'<text class="n" x="{left + width + 60}" y="{y}">{number(r["middle"], "ratio")}</text>')
    bottom = y + 16
    grid = []
    for power in range(math.ceil(least), math.floor(most) + 1):
        at, label = x(2.0**power), f"{2**power}" if power >= 0 else f"1/{2**-power}"
        grid.append(f'<path class="{"one" if power == 0 else "grid"}" d="M{at:.1f} 66V{bottom}"/><text class="m" x="{at:.1f}" y="58">{label}</text>')
    height = bottom + 40
    wide = left + width + 80
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{height}" viewBox="0 0 {wide} {height}" role="img" '
            'aria-label="Time of ubos-sync divided by the time of what it is compared with, for every row of the tables">',
            "<style>",
            ".bg{fill:#fdfdfb;stroke:#d5d5cd}text{font:13px ui-sans-serif,system-ui,sans-serif;fill:#24292f}.h{font-weight:600}.m{text-anchor:middle}"
            ".n{text-anchor:end}.grid{stroke:#e3e3dc}.one{stroke:#6b7075;stroke-width:1.5}.aim{stroke:#24292f;stroke-width:2}"
            ".span{opacity:.4}.met{fill:#1a7f37}.missed{fill:#b3261e}.none{fill:#0550ae}",
            "@media (prefers-color-scheme:dark){.bg{fill:#16181c;stroke:#33363c}text{fill:#e6e6e1}.grid{stroke:#2b2e34}.one{stroke:#9a9fa5}"
            ".aim{stroke:#e6e6e1}.met{fill:#7ee787}.missed{fill:#ff8a80}.none{fill:#79c0ff}}",
            "</style>",
            f'<rect class="bg" x="0.5" y="0.5" width="{wide - 1}" height="{height - 1}" rx="8"/>',
            '<text class="h" x="20" y="30">Time of ubos-sync ÷ time of the other; left of the line at 1, ubos-sync is faster</text>',
            *grid,
            *body,
            f'<text x="20" y="{bottom + 22}">bar: least to largest of the paired ratios · dot: median (green: aim met, red: missed, blue: none set) · tick: the aim</text>',
            "</svg>\n",
        ]
    )


def main():
    found, docs = map(pathlib.Path, sys.argv[1:])
    facts = [line.split("\t", 1) for line in (found / "facts").read_text().splitlines()]
    parts = [read(found / f"{name}.tsv") for name in TITLES if (found / f"{name}.tsv").exists()]
    aimed = [met(r) for p in parts for r in p["rows"] if r["unit"] != "absent" and met(r) is not None]
    lines = ["# Benchmarks", "", "Written by `make bench`; nothing here was typed by hand.", ""]
    lines += ["| | |", "|---|---|"] + [f"| {name} | {'`' + what + '`' if name == 'command' else what} |" for name, what in facts]
    lines += ["", "## How to read it", "", READING, ""]
    lines += [f"Of {len(aimed)} aims, {sum(aimed)} are met.", "", "![Each ratio: from the least to the largest, its median, and the aim](benchmarks.svg)"]
    for part in parts:
        lines += ["", f"## {TITLES[part['name']]}", "", *(text[:1].upper() + text[1:] + "." for text in part["said"])]
        lines += [f"Measured {part['when']}, {part['program']}, load {part['load']} when it began.", "", *table(part)]
    (docs / "benchmarks.md").write_text("\n".join(lines) + "\n")
    (docs / "benchmarks.svg").write_text(picture(parts))
    print(f"{docs / 'benchmarks.md'}: of {len(aimed)} aims, {sum(aimed)} are met")


main()
