"""A small writer of plots as SVG, for plot.py."""

import math
from xml.sax.saxutils import escape


class Svg:
    """A plot with a frame, axes with names and units, and a legend on the right."""

    def __init__(self, title, subtitle, width=860, height=460, left=80):
        self.width, self.height = width, height
        self.left, self.right, self.top, self.bottom = left, width - 190, 64, height - 56
        self.parts = []
        self.text(16, 24, title, size=16, weight="bold")
        self.text(16, 44, subtitle, size=11, fill="#555")

    def text(self, x, y, words, size=12, anchor="start", fill="#111", weight="normal", turn=0):
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{fill}" font-weight="{weight}"{turned}>{escape(words)}</text>'
        )

    def line(self, points, color, width=1.0, dash=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" '
            f'stroke-width="{width}"{dashes}/>'
        )

    def dot(self, x, y, color, radius=3.0, opacity=1.0):
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{color}" '
            f'fill-opacity="{opacity}"/>'
        )

    def x_axis(self, name, ticks, place):
        for value, label in ticks:
            x = place(value)
            self.line([(x, self.top), (x, self.bottom)], "#e4e4e4")
            self.text(x, self.bottom + 18, label, size=11, anchor="middle")
        self.text((self.left + self.right) / 2, self.height - 14, name, anchor="middle")

    def y_axis(self, name, ticks, place):
        for value, label in ticks:
            y = place(value)
            self.line([(self.left, y), (self.right, y)], "#e4e4e4")
            self.text(self.left - 8, y + 4, label, size=11, anchor="end")
        self.text(18, (self.top + self.bottom) / 2, name, anchor="middle", turn=-90)

    def legend(self, names, dashes=None):
        for i, (name, color) in enumerate(names):
            y = self.top + 14 + 20 * i
            dash = (dashes or {}).get(name, "")
            self.line([(self.right + 16, y - 4), (self.right + 40, y - 4)], color, 3, dash)
            self.text(self.right + 48, y, name)

    def render(self):
        corners = [(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)]
        self.line(corners, "#333")
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="sans-serif">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
        )


# Scales: from a value to a coordinate.


def linear(low, high, begin, end):
    return lambda value: begin + (value - low) / (high - low) * (end - begin)


def logarithmic(low, high, begin, end):
    if low == high:
        low, high = low / 2, high * 2
    scale = linear(math.log(low), math.log(high), begin, end)
    return lambda value: scale(math.log(value))


def ratio_scale(values):
    """Bounds and ticks, at most a dozen, around values and 1."""
    low, high = min(min(values), 1) * 100 - 0.5, max(max(values), 1) * 100 + 0.5
    step = next(step for step in (1, 2, 5, 10, 20, 50, 10**6) if (high - low) / step <= 11)
    ticks = range(math.floor(low / step) * step, math.ceil(high / step) * step + 1, step)
    return ticks[0] / 100, ticks[-1] / 100, [(tick / 100, f"{tick / 100:.2f}") for tick in ticks]
