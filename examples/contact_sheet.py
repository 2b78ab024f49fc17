"""Draw what a search found: the query, then the best hits with time and distance, as one picture.

    python examples/contact_sheet.py query.jpg sheet.png [--url http://127.0.0.1:8000] [--top 5]

Needs Pillow beside the client.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from hashreel import Client

WIDTH, HEIGHT, GAP, CAPTION = 256, 144, 12, 40
INK, PAPER, ACCENT = "#1d2433", "#ffffff", "#2457c5"


def fit(picture: Image.Image) -> Image.Image:
    """Return the picture scaled into a tile, on the paper's colour."""
    picture.thumbnail((WIDTH, HEIGHT))
    tile = Image.new("RGB", (WIDTH, HEIGHT), "#e9ecf2")
    tile.paste(picture, ((WIDTH - picture.width) // 2, (HEIGHT - picture.height) // 2))
    return tile


def main() -> None:
    """Search and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("query", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--top", type=int, default=5)
    arguments = parser.parse_args()

    with Client(arguments.url) as client:
        hits = client.search(arguments.query, top=arguments.top, group_by="video")
        tiles = [(fit(Image.open(arguments.query).convert("RGB")), "query", arguments.query.stem, ACCENT)]
        for hit in hits:
            picture = Image.open(io.BytesIO(client.thumbnail(hit.frame_id, WIDTH)))
            title = f"{hit.time_s:.1f} s    distance {hit.distance} of {hits.answer.bits}"
            tiles.append((fit(picture), title, Path(hit.source).name, INK))

    sheet = Image.new("RGB", (len(tiles) * (WIDTH + GAP) + GAP, HEIGHT + CAPTION + 2 * GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, (tile, title, name, colour) in enumerate(tiles):
        left = GAP + column * (WIDTH + GAP)
        sheet.paste(tile, (left, GAP))
        draw.text((left, GAP + HEIGHT + 5), title, fill=colour, font=font)
        draw.text((left, GAP + HEIGHT + 23), name, fill="#5b6475", font=font)
    sheet.save(arguments.sheet)


if __name__ == "__main__":
    main()
