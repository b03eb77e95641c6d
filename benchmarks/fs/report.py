"""Results as a table and as a picture."""

import math

COLOURS = {"lisafs": "#d62728", "bindfs": "#1f77b4", "fuse-overlayfs": "#2ca02c", "runsc": "#9467bd", "runsc-directfs": "#ff7f0e"}
RATE = "MiB/s"


def by_work(report):
    """{work: {system: result}}, in the order of the results."""
    works = {}
    for result in report["results"]:
        works.setdefault(result["work"], {})[result["system"]] = result
    return works


def slowdown(result, native):
    """How many times native's time something took, whatever it is measured in."""
    if not result["value"] or not native["value"]:
        return None
    ratio = result["value"] / native["value"]
    return 1 / ratio if result["unit"] == RATE else ratio


def table(report, systems):
    machine = report["machine"]
    lines = [
        "Files of a container through different systems; the middle of the runs, and in brackets how many times native's time that is.",
        f"{machine['cpus']} CPUs: {machine['cpu']}; Linux {machine['kernel']}; {machine['directory']}",
        "",
        f"{'work':<26}{'unit':<7}" + "".join(f"{system:>20}" for system in systems),
    ]
    for work, results in by_work(report).items():
        native = results.get("native")
        cells = []
        for system in systems:
            result = results.get(system)
            ratio = slowdown(result, native) if result and native and system != "native" else None
            cells.append(("-" if result is None else f"{result['value']:.4g}") + ("" if ratio is None else f" ({ratio:.1f}x)"))
        unit = next(iter(results.values()))["unit"]
        lines.append(f"{work:<26}{unit:<7}" + "".join(f"{cell:>20}" for cell in cells))
    lines += [f"absent: {gap['system']}: {gap['why']}" for gap in report["absent"]]
    return "\n".join(lines)


def plot(report, systems):
    """An SVG: a line for each work, a dot for each system, at how many times native's time it took."""
    rows = {}
    for work, results in by_work(report).items():
        if "native" in results:
            dots = {system: slowdown(results[system], results["native"]) for system in systems if system in results and system != "native"}
            rows[work] = {system: ratio for system, ratio in dots.items() if ratio}
    ratios = [ratio for dots in rows.values() for ratio in dots.values()] or [1]
    low, high = math.floor(math.log10(min(ratios + [1]))), max(1, math.ceil(math.log10(max(ratios))))
    left, top, width, step = 200, 60, 700, 16
    height = top + step * len(rows) + 20

    def x(ratio):
        return left + width * (math.log10(ratio) - low) / (high - low)

    shapes = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 40}" height="{height}" font-family="sans-serif" font-size="11">',
              '<rect width="100%" height="100%" fill="white"/>',
              f'<text x="{left}" y="16" font-size="13">Time in multiples of native\'s, lower is better</text>']
    for i, system in enumerate(system for system in systems if system != "native"):
        shapes.append(f'<circle cx="{left + 8 + 130 * i}" cy="30" r="4" fill="{COLOURS[system]}"/><text x="{left + 16 + 130 * i}" y="34">{system}</text>')
    for power in range(low, high + 1):
        shapes.append(f'<line x1="{x(10**power):.1f}" x2="{x(10**power):.1f}" y1="{top - 8}" y2="{height - 20}" stroke="#ccc"/>'
                      f'<text x="{x(10**power):.1f}" y="{top - 11}" text-anchor="middle">{10.0**power:g}x</text>')
    for i, (work, dots) in enumerate(rows.items()):
        y = top + step * i + step / 2
        shapes.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{work}</text><line x1="{left}" x2="{left + width}" y1="{y}" y2="{y}" stroke="#eee"/>')
        shapes += [f'<circle cx="{x(ratio):.1f}" cy="{y}" r="4" fill="{COLOURS[system]}" fill-opacity="0.8"/>' for system, ratio in dots.items()]
    return "\n".join(shapes + ["</svg>\n"])
