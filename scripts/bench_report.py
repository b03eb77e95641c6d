"""What every benchmark prints: a table, or one JSON object."""

import json
import os
import platform
import statistics


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), "unknown")
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release()}


def print_report(benchmark, title, unit, values, absent, as_json):
    """values: {(work, system): [the value of each run]}, in the order to print the works in; absent: {system: why}."""
    works = list(dict.fromkeys(work for work, _ in values))
    results = [
        {"work": work, "system": system, "value": round(statistics.median(runs), 2), "unit": unit, "runs": len(runs)}
        for (work, system), runs in sorted(values.items(), key=lambda item: (works.index(item[0][0]), statistics.median(item[1])))
    ]
    if as_json:
        print(json.dumps({
            "benchmark": benchmark,
            "machine": machine(),
            "results": results,
            "absent": [{"system": system, "why": why} for system, why in absent.items()],
        }, indent=2))
        return
    print(f"{title}; the middle of the runs, lower is better.")
    print("{cpus} CPUs: {cpu}; Linux {kernel}\n".format(**machine()))
    print(f"{'work':<32}{'system':<14}{'value':>12}      {'to lisafs':>9}")
    ours = {result["work"]: result["value"] for result in results if result["system"] == "lisafs"}
    for result in results:
        ratio = f"{result['value'] / ours[result['work']]:8.2f}x" if result["work"] in ours else ""
        print(f"{result['work']:<32}{result['system']:<14}{result['value']:>12.2f} {result['unit']:<5}{ratio:>9}")
    for system, why in absent.items():
        print(f"absent: {system}: {why}")
