"""What people type: options before and after subcommands, waits that outlive a restart, paths, completion."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from memory_service import Switch

from hashreel import Client
from hashreel.cli import COMMANDS, cli
from hashreel.cli.enqueue import _as_the_service_sees
from hashreel.cli.groups import OptionsAnywhere
from hashreel.client import waiting
from hashreel.errors import UnavailableError


@pytest.mark.parametrize(
    "words",
    [
        ["videos", "--json", "--url", "URL", "show", "1"],
        ["videos", "show", "1", "--json", "--url", "URL"],
        ["videos", "--json", "show", "--url=URL", "1"],
        ["videos", "show", "--url", "URL", "--json", "--", "1"],
    ],
)
def test_shared_options_stand_before_and_after_a_subcommand(service, words):
    done = CliRunner().invoke(cli, [word.replace("URL", service.url) for word in words])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["id"] == 1


def test_an_option_without_its_value_is_a_usage_error(service):
    done = CliRunner().invoke(cli, ["videos", "show", "1", "--url"])
    assert done.exit_code == 2
    assert "requires an argument" in done.stderr


def test_every_group_that_talks_to_a_service_takes_its_options_anywhere():
    for name in COMMANDS:
        command = cli.get_command(cli.make_context("hashreel", ["--help-not"], resilient_parsing=True), name)
        options = {text for parameter in command.params for text in parameter.opts}
        if hasattr(command, "commands") and "--url" in options:
            assert isinstance(command, OptionsAnywhere), name
            for sub in command.commands.values():
                assert "--json" in {text for parameter in sub.params for text in parameter.opts}, sub.name


def test_a_wait_outlives_a_restart_of_the_service(server: tuple[Switch, str], service, monkeypatch):
    switch, url = server
    app = switch.app

    async def away(scope, receive, send):
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with Client(url) as client:
        service.queue.paused = True
        job = client.enqueue("archive/new.mp4")
        switch.app = away

        def back() -> None:
            service.queue.paused = False
            switch.app = app

        timer = threading.Timer(1.5, back)
        timer.start()
        assert job.wait(timeout_s=60).counts.indexed == 1
        timer.join()
        job = client.enqueue("archive/other.mp4")
        switch.app = away
        monkeypatch.setattr(waiting, "OUTAGE_S", 0.5)
        with pytest.raises(UnavailableError):
            job.wait(timeout_s=60)


def test_enqueue_names_its_job_before_it_waits(service):
    done = CliRunner().invoke(cli, ["enqueue", "archive/a.mp4", "--wait", "--url", service.url])
    assert done.exit_code == 0, done.output
    assert "job job-1: waiting" in done.stderr


def test_jobs_are_listed_watched_and_deleted(service):
    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, [*words, "--url", service.url])
        assert done.exit_code == 0, done.output
        return done.output

    run("enqueue", "archive/a.mp4", "--bulk")
    assert [wish.lane for wish in service.queue.wishes.values()] == ["bulk"]
    said = run("jobs", "watch", "job-1")
    assert "1/1 sources" in said
    assert "job job-1 done: 1 sources = 1 indexed" in said
    listed = json.loads(run("jobs", "--state", "done", "--json"))["jobs"]
    assert [(job["id"], job["lane"]) for job in listed] == [("job-1", "bulk")]
    assert "interactive" not in run("jobs", "--limit", "1")
    assert run("jobs", "delete", "job-1") == "deleted 1\n"
    done = CliRunner().invoke(cli, ["jobs", "show", "job-1", "--url", service.url])
    assert done.exit_code == 1


def test_ids_are_printed_first_and_what_is_known_of_them_later(service):
    def invoke(service, *words: str, exit_code: int = 0, input: str | None = None) -> Result:
        done = CliRunner().invoke(cli, [*words, "--url", service.url], input=input)
        assert done.exit_code == exit_code, done.output
        return done

    code = "00" * 6
    full = invoke(service, "search", f"code:{code}", "--top", "9", "--csv").stdout.splitlines()
    ids = invoke(service, "search", f"code:{code}", "--top", "9", "--ids", "--csv").stdout.splitlines()
    rows = [dict(zip(full[0].split(","), line.split(","), strict=True)) for line in full[1:]]
    assert ids == ["rank,distance,frame_id", *(f"{r['rank']},{r['distance']},{r['frame_id']}" for r in rows)]
    wanted = "\n".join(row["frame_id"] for row in rows)
    later = invoke(service, "frames", "-", "--code", code, "--csv", input=wanted).stdout.splitlines()
    assert later[0] == "distance,video,source,time_ms,frame_id,code,member"
    assert later[1:] == [line.partition(",")[2] for line in full[1:]]
    found = json.loads(invoke(service, "search", f"code:{code}", "--ids", "--json").stdout)
    assert found["frame_ids"] == [row["frame_id"] for row in rows] + found["frame_ids"][9:]
    lost = invoke(service, "frames", rows[0]["frame_id"], "9", exit_code=1)
    assert rows[0]["source"] in lost.stdout
    assert "1 frames are not in the collection: 9" in lost.stderr
    refused = invoke(service, "search", "clip:a.mp4", "--ids", exit_code=2)
    assert "--ids does not go with clip:FILE" in refused.stderr


def test_a_webhook_gets_a_new_secret_that_is_shown_once(service):
    def run(*words: str) -> Result:
        done = CliRunner().invoke(cli, ["watch", *words, "--url", service.url])
        assert done.exit_code == 0, done.output
        return done

    made = json.loads(run("add", "code:" + "00" * 6, "--webhook", "https://desk.example/hits", "--json").stdout)
    rotated = run("rotate-secret", made["id"], "--grace", "24h")
    secret = rotated.stdout.rpartition(": ")[2].strip()
    assert secret.startswith("whsec_")
    assert secret != made["secret"]
    assert "the one before signs, too, until" in rotated.stderr
    again = json.loads(run("rotate-secret", made["id"], "--json").stdout)
    assert (again["id"], again["old_secret_until"]) == (made["id"], None)
    assert again["secret"] not in {secret, made["secret"]}
    assert secret not in run("list", "--json").stdout
    assert json.loads(run("change", made["id"], "--pause", "--json").stdout)["paused"]
    assert not json.loads(run("change", made["id"], "--resume", "--json").stdout)["paused"]


def test_sources_are_listed_in_files_and_on_standard_input(service, tmp_path: Path) -> None:
    listed = tmp_path / "quellen ü.txt"
    listed.write_bytes("\ufeffarchive/a.mp4\r\n\narchive/ö b.mp4\n".encode())
    command = ["enqueue", "archive/c.mp4", "--from", str(listed), "--from", "-", "--url", service.url]
    done = CliRunner().invoke(cli, command, input=b"archive/line\nbreak.mp4\0archive/d.mp4\0")
    assert done.exit_code == 0, done.output
    asked = ["archive/c.mp4", "archive/a.mp4", "archive/ö b.mp4", "archive/line\nbreak.mp4", "archive/d.mp4"]
    assert list(service.queue.wishes.values())[-1].sources == asked
    done = CliRunner().invoke(cli, ["enqueue", "-", "archive/c.mp4", "--url", service.url], input=b"archive/d.mp4\n")
    assert done.exit_code == 0, done.output
    assert list(service.queue.wishes.values())[-1].sources == ["archive/c.mp4", "archive/d.mp4"]
    (tmp_path / "empty.txt").touch()
    for words in (["--from", str(tmp_path / "empty.txt")], []):
        done = CliRunner().invoke(cli, ["enqueue", *words, "--url", service.url])
        assert done.exit_code == 2
        assert "there is no source" in done.stderr


def test_paths_of_this_machine_are_whole_for_a_service_on_it_and_explained_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").touch()
    given = ("clip.mp4", "*.mp4", "archive/x.mp4", "uploads/y.mp4", "http://h/z.mp4")
    whole = [f"{tmp_path}/clip.mp4", f"{tmp_path}/*.mp4", *given[2:]]
    for url in ("http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:9"):
        assert _as_the_service_sees(given, url) == whole
    assert _as_the_service_sees(given, "http://archive.lan:8000") == list(given)
    assert "clip.mp4 exists on this machine" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_hashreel(shell):
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert "_HASHREEL_COMPLETE" in done.stdout
    completed = CliRunner().invoke(
        cli,
        env={"_HASHREEL_COMPLETE": f"{shell}_complete", "COMP_WORDS": "hashreel jobs sh", "COMP_CWORD": "2"},
        prog_name="hashreel",
    )
    assert "show" in completed.stdout or shell == "fish"
