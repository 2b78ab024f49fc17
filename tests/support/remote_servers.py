"""Servers of sources by URL, each behind a proxy that can lose connections: S3 (moto), Cloud Storage (an emulator),
SFTP (asyncssh). They speak the real protocols over TCP, and refuse who may not read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from cutting_proxy import CuttingProxy

__all__ = ["Place", "refusing_server", "remote_places"]

BUCKET = "films"


class Place(Protocol):
    """A server with files.

    Attributes:
        url: How the addresses of its files begin.
        proxy: What everybody reaches it through.
        environment: What a process needs to read from it.
        wrong: The same with credentials that are refused.
        secrets: What may be seen nowhere.
    """

    url: str
    proxy: CuttingProxy
    environment: Mapping[str, str]
    wrong: Mapping[str, str]
    secrets: list[str]

    def put(self, name: str, content: bytes) -> None:
        """Write a file."""


class S3Place:
    """A bucket that only a user with a key of its own may read."""

    def __init__(self, port: int) -> None:
        self.proxy = CuttingProxy(port)
        self.url = f"s3://{BUCKET}/"
        own = f"http://127.0.0.1:{port}"
        self._client = _boto("s3", own, "admin", "admin")
        self._client.create_bucket(Bucket=BUCKET)
        self._client.create_bucket(Bucket="closed")
        key = _reader_key(own)
        self.secrets = [key["SecretAccessKey"]]
        self.environment = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.proxy.port}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.wrong = {**self.environment, "AWS_SECRET_ACCESS_KEY": "Falsch-0123456789"}
        self._client.close()
        # From now on every request must be signed by somebody who may do it.
        _post(f"{own}/moto-api/reset-auth", b"0")
        self._client = _boto("s3", own, key["AccessKeyId"], key["SecretAccessKey"])

    def put(self, name: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=name, Body=content)

    def close(self) -> None:
        self._client.close()
        self.proxy.close()


def _boto(service: str, endpoint: str, key: str, secret: str) -> Any:
    import boto3

    return boto3.client(
        service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )


def _reader_key(endpoint: str) -> dict[str, str]:
    iam = _boto("iam", endpoint, "admin", "admin")
    names = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    rule = {"Effect": "Allow", "Action": "s3:*", "Resource": names}
    document = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="films", PolicyDocument=document)
    key: dict[str, str] = iam.create_access_key(UserName="reader")["AccessKey"]
    iam.close()
    return key


@contextmanager
def s3_place() -> Iterator[S3Place]:
    """Run a server of S3's protocol."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with ExitStack() as stack:
        stack.callback(lambda: server._server and server._server.server_close())
        stack.callback(server.stop)
        place = S3Place(server.get_host_and_port()[1])
        stack.callback(place.close)
        yield place


class GsPlace:
    """A bucket of an emulator, which lets everybody read."""

    def __init__(self, port: int, refusing: int) -> None:
        self._own = f"http://127.0.0.1:{port}"
        self.proxy = CuttingProxy(port)
        self.url = f"gs://{BUCKET}/"
        self.environment = {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{self.proxy.port}",
            "FSSPEC_GS": json.dumps({"token": "anon"}),
        }
        self.wrong = {**self.environment, "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{refusing}"}
        self.secrets: list[str] = []
        _post(f"{self._own}/storage/v1/b?project=test", json.dumps({"name": BUCKET}).encode())

    def put(self, name: str, content: bytes) -> None:
        from urllib.parse import quote

        place = f"{self._own}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(name, safe='')}"
        _post(place, content, "video/mp4")

    def close(self) -> None:
        self.proxy.close()


def _post(url: str, content: bytes, kind: str = "application/json") -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, content, {"Content-Type": kind}), timeout=60) as reply:
        reply.read()


@contextmanager
def gs_place() -> Iterator[GsPlace]:
    """Run a server of Cloud Storage's protocol."""
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    with ExitStack() as stack:
        stack.callback(server.stop)
        place = GsPlace(server._api._httpd.server_address[1], stack.enter_context(refusing_server()))
        stack.callback(place.close)
        yield place


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"error": {"code": 403, "message": "reader does not have storage.objects.get access"}}'
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def refusing_server() -> Iterator[int]:
    """Answer every request with status 403, as Cloud Storage words it; yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class SftpPlace:
    """A folder behind SSH, which takes one key and has one host key."""

    def __init__(self, folder: Path) -> None:
        import asyncssh

        self._folder = folder / "served"
        self._folder.mkdir()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        host_key, user_key, other_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))
        (folder / "authorized").write_bytes(user_key.export_public_key())
        options = {
            "server_host_keys": [host_key],
            "authorized_client_keys": str(folder / "authorized"),
            "sftp_factory": lambda channel: asyncssh.SFTPServer(channel, chroot=str(self._folder)),
        }

        async def listen() -> asyncssh.SSHAcceptor:
            return await asyncssh.listen("127.0.0.1", 0, **options)

        self._server = self._run(listen())
        self.proxy = CuttingProxy(self._server.get_port())
        self.url = f"sftp://reader@127.0.0.1:{self.proxy.port}/"
        known = f"[127.0.0.1]:{self.proxy.port} {host_key.export_public_key().decode()}"
        homes = {
            "home": (user_key, known),
            "wrong": (other_key, known),
            "stranger": (user_key, known.replace(str(self.proxy.port), "1")),
        }
        self.environment, self.wrong, self.stranger = (
            {"HOME": str(_home(folder / name, *values)), "SSH_AUTH_SOCK": ""} for name, values in homes.items()
        )
        self.secrets = [user_key.export_private_key().decode().splitlines()[2]]

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def put(self, name: str, content: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def close(self) -> None:
        self.proxy.close()

        async def end() -> None:
            self._server.close()
            await self._server.wait_closed()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


def _home(folder: Path, key: Any, known_hosts: str) -> Path:
    (folder / ".ssh").mkdir(parents=True)
    (folder / ".ssh" / "id_ed25519").write_bytes(key.export_private_key())
    (folder / ".ssh" / "known_hosts").write_text(known_hosts)
    return folder


@contextmanager
def sftp_place(folder: Path) -> Iterator[SftpPlace]:
    """Run an SFTP server over a new folder in ``folder``."""
    place = SftpPlace(folder)
    try:
        yield place
    finally:
        place.close()


@contextmanager
def remote_places(folder: Path) -> Iterator[dict[str, Place]]:
    """Run all servers."""
    with s3_place() as s3, gs_place() as gs, sftp_place(folder) as sftp:
        yield {"s3": s3, "gs": gs, "sftp": sftp}
