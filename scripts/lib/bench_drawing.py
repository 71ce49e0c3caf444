"""The drawing of recall against queries a second."""

import math

from bench_ratios import by_library, front, is_ours

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 440, 70, 20, 150, 50
COLOURS = ("#c0392b", "#2c3e50", "#2980b9", "#27ae60", "#8e44ad", "#f39c12", "#16a085", "#7f8c8d",
           "#d35400")


def draw(path, rows):
    """Recall against queries per CPU second, one line a library, speed logarithmic."""
    libraries = by_library([row for row in rows if row.get("recall_at_10", 0) >= 0.9])
    rows = [row for mine in libraries.values() for row in mine]
    if not rows:
        return
    speeds = [row["queries_per_cpu_s"] for row in rows]
    low, high = math.log10(min(speeds)) - 0.05, math.log10(max(speeds)) + 0.05

    def place(recall, speed):
        # Recall by the decimal places it has: 0.9 at 0, 0.9999 at 1.
        nines = min(max(-math.log10(max(1 - recall, 1e-4)) - 1, 0), 3) / 3
        y = HEIGHT - BOTTOM - (math.log10(speed) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return LEFT + nines * (WIDTH - LEFT - RIGHT), y

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    parts += grid(place, low, high, max(speeds))
    for number, (library, mine) in enumerate(libraries.items()):
        parts.append(curve(mine, library, number, place))
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">recall@10</text>'
                 f'<text x="16" y="{HEIGHT / 2:.0f}" text-anchor="middle" '
                 f'transform="rotate(-90 16 {HEIGHT / 2:.0f})">queries per CPU second, one thread</text></svg>')
    path.write_text("\n".join(parts) + "\n")
    print(f"drawn: {path.name}")


def grid(place, low, high, fastest):
    for recall in (0.9, 0.95, 0.99, 0.999, 0.9999):
        x, _ = place(recall, fastest)
        yield (f'<line x1="{x:.0f}" y1="{TOP}" x2="{x:.0f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
               f'<text x="{x:.0f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{recall}</text>')
    for speed in (500, 1000, 2000, 5000, 10000, 20000, 50000, 100000):
        if low <= math.log10(speed) <= high:
            _, y = place(0.9, speed)
            yield (f'<line x1="{LEFT}" y1="{y:.0f}" x2="{WIDTH - RIGHT}" y2="{y:.0f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{speed:,}</text>')


def curve(rows, library, number, place):
    """Only settings no other setting of the library beats in both."""
    points = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in front(rows))
    colour = COLOURS[number % len(COLOURS)]
    return (f'<polyline points="{points}" fill="none" stroke="{colour}" '
            f'stroke-width="{3 if is_ours(library) else 1.5}"/>'
            f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 16 + 18 * number}" fill="{colour}">{library}</text>')
