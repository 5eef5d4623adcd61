"""The table and the picture of benches/compare."""

import datetime
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from html import escape

BEGIN, END = "<!-- written by benches/compare -->", "<!-- end of what benches/compare writes -->"


@dataclass
class Row:
    """Medians of one tool; or the trouble with it."""

    name: str
    version: str
    trouble: str
    wall: float = 0
    processor: float = 0
    peak_mib: str = ""


@dataclass
class Machine:
    """Where, on what, and when it was measured."""

    hardware: str
    tree: str
    command: str
    load: float

    @staticmethod
    def here(tree, options):
        cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
        # The tree may still have to be made.
        there = next(place for place in (tree, *tree.parents) if place.exists())
        system = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(there)]
        file_system = subprocess.run(system, capture_output=True, text=True, check=True).stdout.split()[-1]
        hardware = (
            f"{os.cpu_count()} cores ({cpu.group(1) if cpu else platform.machine()}), {memory:.0f} GiB, "
            f"Linux {platform.release()}, {file_system}"
        )
        if options.tree:
            what, chosen = "a given tree", "--tree …"
        else:
            what = f"{options.files:,} empty files in {options.directories:,} directories"
            chosen = f"--files {options.files} --directories {options.directories}"
        tree = f"{what}, caches warm, medians of {options.rounds} rounds in turn"
        command = f"benches/compare {chosen} --rounds {options.rounds}"
        return Machine(hardware, tree, command, os.getloadavg()[0])

    def sentences(self):
        day = datetime.date.today().strftime("%-d %B %Y")
        busy = f" **The machine was busy (load {self.load:.1f}): wall times say little.**" if self.load > 1 else ""
        return f"{day}: {self.tree}; {self.hardware}.{busy} Made by `{self.command}`."


def table(rows, machine):
    """As Markdown."""
    floor = rows[0]
    lines = [
        machine.sentences(),
        "",
        "| nothing changed | wall s | x floor | user+sys s | x floor | peak MiB | version |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.trouble:
            lines.append(f"| {row.name} | {row.trouble} | | | | | {row.version} |")
            continue
        ratios = [f"{one / other:.2f}" if other else "" for one, other in ((row.wall, floor.wall), (row.processor, floor.processor))]
        lines.append(
            f"| {row.name} | {row.wall:.3f} | {ratios[0]} | {row.processor:.3f} | {ratios[1]} | {row.peak_mib} | {row.version} |"
        )
    return "\n".join(lines)


WIDTH, LEFT, BAR, ROW, TOP = 860, 330, 11, 40, 74
STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 16px; font-weight: 600 }
    .small { font-size: 11px; fill: #59636e }
    .ground { fill: #ffffff } .wall { fill: #8c959f } .processor { fill: #d0d7de }
    .ours .wall { fill: #0969da } .ours .processor { fill: #54aeff }
    .line { stroke: #d1d9e0 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .small { fill: #9198a1 } .ground { fill: #0d1117 }
      .wall { fill: #768390 } .processor { fill: #444c56 }
      .ours .wall { fill: #4493f8 } .ours .processor { fill: #1f6feb }
      .line { stroke: #3d444d }
    }"""


def picture(rows, machine):
    """As SVG: two bars a tool, on one linear scale, for light and dark pages."""
    height = TOP + ROW * len(rows) + 34
    longest = max([row.wall for row in rows] + [row.processor for row in rows])
    scale = (WIDTH - LEFT - 150) / longest
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
        "  <title>Whole runs that find nothing changed</title>",
        f"  <style>{STYLE}\n  </style>",
        f'  <rect class="ground" width="{WIDTH}" height="{height}"/>',
        '  <text class="title" x="16" y="28">A run that finds nothing changed</text>',
        f'  <text class="small" x="16" y="46">{escape(machine.tree)}</text>',
        f'  <text class="small" x="16" y="62">{escape(machine.hardware)}</text>',
    ]
    for at, row in enumerate(rows):
        parts += one_row(row, TOP + ROW * at, scale, rows[0])
    bottom = TOP + ROW * len(rows)
    parts += [
        f'  <line class="line" x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{bottom}"/>',
        f'  <rect class="wall" x="{LEFT}" y="{bottom + 12}" width="11" height="11"/>',
        f'  <text class="small" x="{LEFT + 17}" y="{bottom + 22}">wall time (and how often the floor)</text>',
        f'  <rect class="processor" x="{LEFT + 230}" y="{bottom + 12}" width="11" height="11"/>',
        f'  <text class="small" x="{LEFT + 247}" y="{bottom + 22}">user + system time</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def one_row(row, top, scale, floor):
    middle = top + ROW / 2
    name, _, detail = row.name.partition(", ")
    label = f'<text x="{LEFT - 10}" y="{middle + (0 if detail else 4):.0f}" text-anchor="end">{escape(name)}</text>'
    if detail:
        label += f'<text class="small" x="{LEFT - 10}" y="{middle + 14:.0f}" text-anchor="end">{escape(detail)}</text>'
    if row.trouble:
        return [f'  <g>{label}<text class="small" x="{LEFT + 8}" y="{middle + 4:.0f}">{escape(row.trouble)}</text></g>']
    bars = ""
    for offset, kind, seconds in ((-BAR - 1, "wall", row.wall), (1, "processor", row.processor)):
        width = max(1, seconds * scale)
        text = f"{seconds:.2f} s" + (f" · {row.wall / floor.wall:.2f} ×" if kind == "wall" else "")
        y = middle + offset
        bars += f'<rect class="{kind}" x="{LEFT}" y="{y:.0f}" width="{width:.1f}" height="{BAR}"/>'
        bars += f'<text class="small" x="{LEFT + width + 6:.1f}" y="{y + 10:.0f}">{text}</text>'
    ours = ' class="ours"' if row.name.startswith("treeferry") else ""
    return [f"  <g{ours}>{label}{bars}</g>"]


def write(rows, machine, docs):
    """Into docs/performance.md, between the marks, and docs/performance.svg."""
    (docs / "performance.svg").write_text(picture(rows, machine))
    page = docs / "performance.md"
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    shown = "![Wall time and user + system time of each tool, as in the table](performance.svg)"
    page.write_text(f"{before}{BEGIN}\n\n{shown}\n\n{table(rows, machine)}\n\n{END}{after}")
