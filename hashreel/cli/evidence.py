"""``hashreel evidence``."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import click

from hashreel.cli.options import client_options, connect, json_option, parse_between, parse_tag_filter, print_json
from hashreel.cli.search_clip import PREFIX

__all__ = ["cli"]


@click.command(epilog="Example: hashreel evidence query.jpg --top 20 --tag case=17 --out case-17.zip")
@click.argument("query")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="ZIP file to write.")
@click.option("--top", type=click.IntRange(1, 200), default=10, show_default=True, help="Number of hits.")
@click.option("--radius", type=click.IntRange(0, 256), help="Largest Hamming distance, inclusive.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Only videos with this tag; repeatable.")
@click.option("--video", "videos", type=int, multiple=True, metavar="ID", help="Only this video; repeatable.")
@click.option("--between", nargs=2, metavar="A B", help="Only frames from time A up to time B, such as 0s 1:30.")
@click.option("--collection", help="Collection to search.")
@client_options
@json_option
def cli(
    query: str,
    out: Path,
    top: int,
    radius: int | None,
    tags: tuple[str, ...],
    videos: tuple[int, ...],
    between: tuple[str, str] | None,
    collection: str | None,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Search for QUERY and pack the hits as evidence.

    The ZIP holds the frames (PNG), the sources' SHA-256, exact times, distances, the query, model fingerprint and index
    position, and SHA256SUMS over all of it. QUERY is a picture file or its URL, frame:ID, code:HEX, or clip:FILE: then
    the ZIP holds the clip and the stretches that match it, with a frame of each.
    """
    filters: dict[str, Any] = {
        "tags": parse_tag_filter(tags),
        "videos": list(videos) or None,
        "between": parse_between(between),
        "collection": collection,
    }
    if query.startswith(PREFIX) and radius is not None:
        raise click.UsageError("--radius does not go with clip:FILE")
    with connect(url, data, api_key) as client:
        if query.startswith(PREFIX):
            client.clip_evidence(query.removeprefix(PREFIX), out, top=top, **filters)
        else:
            client.evidence(query, out, top=top, radius=radius, **filters)
    with zipfile.ZipFile(out) as archive:
        manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    if as_json:
        print_json(manifest)
        return
    noun = "hits" if "hits" in manifest else "stretches"
    found = manifest[noun]
    missing = [hit for hit in found if hit["file"] is None]
    changed = [source for source in manifest["sources"] if source["is_unchanged"] is False]
    click.echo(f"{out}: {len(found)} {noun} from {len(manifest['sources'])} videos")
    for hit in missing:
        click.echo(f"no frame for hit {hit['rank']}: {hit['reason']}", err=True)
    for source in changed:
        click.echo(f"{source['source']} is not what was indexed: its SHA-256 differs", err=True)
