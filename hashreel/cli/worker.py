"""``hashreel worker``."""

from __future__ import annotations

from pathlib import Path

import click

from hashreel.cli.doctor import warn_of_problems
from hashreel.cli.options import engine_settings, service_options
from hashreel.stack import running_redis


@click.command(epilog="Example: hashreel worker --redis-url redis://10.0.0.5:6379/0 --gpus all")
@service_options
@click.option("--gpus", default="auto", show_default=True, help="auto, all, none, or numbers or UUIDs: 0,1 or MIG-7c.")
@click.option("--processes", type=click.IntRange(1, 256), help="Processes on the CPU.  [default: one for 8 cores]")
@click.option("--drain", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to finish on TERM.")
@click.option("--single", is_flag=True, hidden=True, help="Be one worker process; the supervisor starts these.")
@click.option("--name", default="", hidden=True, help="Name of a single worker, by which its supervisor watches it.")
def cli(
    redis_url: str | None,
    data: Path | None,
    model: str | None,
    gpus: str,
    processes: int | None,
    drain: float,
    single: bool,
    name: str,
) -> None:
    """Run workers that turn videos into codes: one process a GPU, or on the CPU.

    Without --redis-url they join the stack that runs over --data, if there is one. Each process decodes several
    chunks at once (HASHREEL_DECODERS) for one network. On SIGTERM it finishes them, or gives back what it cannot
    finish in time. One that is killed loses nothing: its chunks are done again.
    """
    settings = engine_settings(redis_url=redis_url, data=data, model=model)
    if settings.redis_url is None:
        settings = settings.model_copy(update=running_redis(settings.data))

    from hashreel.cli.logs import set_up_logging

    set_up_logging(settings.log_level, settings.log_format)
    if single:
        from workers.process import run_worker

        run_worker(settings, name, drain_s=drain)
        return

    from workers.devices import gpu_uuids, parse_gpus, visible_gpus

    devices = parse_gpus(gpus, visible_gpus(), gpu_uuids())
    warn_of_problems(settings)

    from workers.supervisor import Supervisor

    Supervisor(settings, devices, processes=processes or 0, drain_s=drain).run()
