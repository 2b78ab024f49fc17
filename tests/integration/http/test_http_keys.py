"""API keys, sessions and the audit log over a real Redis: who gets in, how far, and what is written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis
from memory_service import MemoryEngine, MemoryQueue, Switch
from redis_server import RedisServer

from hashreel import Client
from hashreel.errors import ConflictError, ForbiddenError, NotFoundError, RateLimitedError, UnauthorizedError
from hashreel.settings import Settings
from search.http import make_app
from search.http.access import Access, make_access

CODE = {"query": {"code": "00" * 6}}
ROUTES = [
    ("GET", "/v1/videos", "read"),
    ("POST", "/v1/search", "read"),
    ("GET", "/v1/videos/1/source", "read"),
    ("GET", "/metrics", "read"),
    ("POST", "/v1/jobs", "write"),
    ("PATCH", "/v1/videos/1/tags", "write"),
    ("DELETE", "/v1/videos/99", "write"),
    ("POST", "/v1/uploads", "write"),
    ("POST", "/v1/collections", "admin"),
    ("POST", "/v1/index/compact", "admin"),
    ("GET", "/v1/keys", "admin"),
    ("DELETE", "/v1/keys/000000000000", "admin"),
    ("GET", "/v1/audit", "admin"),
]


class Guarded:
    """A service with keys over a Redis."""

    def __init__(self, url: str, switch: Switch, server: RedisServer, folder: Path, **settings: object) -> None:
        self.url, self.switch, self.engine = url, switch, MemoryEngine()
        clip = folder / "bikes.mp4"
        clip.write_bytes(bytes(range(256)) * 40)
        self.engine.add_video("archive/bikes.mp4", 10, path=clip)
        self.engine.add_video("archive/secret.mp4", 10, path=clip)
        self.engine.homes[2] = "secret"
        self.client = server.client()
        self.settings = Settings(data=folder / "data", **settings)  # type: ignore[arg-type]
        self.access: Access = make_access(self.settings, self.client)
        switch.app = make_app(self.engine, MemoryQueue(self.engine), self.settings, self.access)

    def key(self, scope: str = "admin", collections: list[str] | None = None, **options: float) -> str:
        assert self.access.keyring is not None
        if self.access.keyring.is_empty:
            self.access.keyring.create("root", "admin")
        return self.access.keyring.create(f"{scope}'s", scope, collections, **options)[1]  # type: ignore[arg-type]

    def ask(self, method: str, address: str, key: str | None = None, **options: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= options.pop("headers", {})  # type: ignore[arg-type]
        return httpx.request(method, self.url + address, headers=headers, trust_env=False, **options)  # type: ignore[arg-type]

    def trail(self) -> list[dict]:
        assert self.access.audit is not None
        deadline = time.monotonic() + 10
        while self.access.audit.waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        return [entry.model_dump() for entry in self.access.audit.page().entries]


@pytest.fixture
def make(server: tuple[Switch, str], redis_server: RedisServer, tmp_path: Path) -> Iterator[Callable[..., Guarded]]:
    made: list[Guarded] = []

    def build(target: RedisServer = redis_server, **settings: object) -> Guarded:
        made.append(Guarded(server[1], server[0], target, tmp_path, **settings))
        return made[-1]

    yield build
    for guarded in made:
        if guarded.access.audit is not None:
            guarded.access.audit.close(0.1)


def test_the_first_key_closes_a_service_on_loopback_and_revoking_it_does_not_open_it_again(make):
    guarded = make()
    assert guarded.ask("GET", "/v1/videos").status_code == 200
    with Client(guarded.url) as anyone:
        with pytest.raises(ConflictError, match="first key"):
            anyone.create_key("reader")
        made = anyone.create_key("root", scope="admin")
        with pytest.raises(UnauthorizedError, match="asks for a key"):
            anyone.collections()
    with Client(guarded.url, api_key=made.secret) as root:
        assert root.session().key == made.id
        reader = root.create_key("reader", expires_s=3600)
        assert [(key.name, key.scope) for key in root.api_keys()] == [("root", "admin"), ("reader", "read")]
        root.revoke_key(made.id)
        with pytest.raises(UnauthorizedError, match="revoked"):
            root.api_keys()
    for secret in (made.secret, made.secret[:-1] + "x", reader.secret[:15], "hr_", "é"):
        answer = guarded.ask("GET", "/v1/videos", headers={"Authorization": f"Bearer {secret}".encode("latin-1")})
        assert answer.status_code == 401, secret
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert guarded.ask("GET", "/v1/videos", reader.secret).status_code == 200
    stored = b" ".join(guarded.client.hvals("hr:keys"))
    assert made.secret.encode() not in stored
    assert made.secret[16:].encode() not in stored


@pytest.mark.parametrize("setting", [{"host": "0.0.0.0"}, {"keys": "required"}])
def test_away_from_loopback_keys_are_needed_from_the_start_and_any_name_is_good(make, setting):
    guarded = make(**setting, local_key="the stack's own")
    assert guarded.ask("GET", "/v1/videos", headers={"Host": "archive.lan"}).status_code == 401
    assert guarded.ask("GET", "/v1/videos", "the stack's own", headers={"Host": "archive.lan"}).status_code == 200
    for public in ("/", "/static/app.js", "/healthz", "/readyz", "/openapi.json"):
        assert guarded.ask("GET", public).status_code == 200
    foreign = {"Origin": "https://evil.example"}
    assert guarded.ask("POST", "/v1/search", "the stack's own", json=CODE, headers=foreign).status_code == 403


@pytest.mark.parametrize(("method", "address", "needed"), ROUTES)
def test_each_scope_opens_what_it_should_and_says_what_is_missing(make, method, address, needed):
    guarded = make()
    order = ["read", "write", "admin"]
    assert guarded.key()  # the first one
    for scope in order:
        answer = guarded.ask(method, address, guarded.key(scope), json=CODE if "search" in address else None)
        if order.index(scope) >= order.index(needed):
            assert answer.status_code not in {401, 403}
        else:
            assert answer.status_code == 403
            assert f"scope {needed}" in answer.json()["detail"]
            assert f"scope {scope}" in answer.json()["detail"]


def test_a_key_for_one_collection_sees_nothing_of_another(make):
    guarded = make()
    with Client(guarded.url, api_key=guarded.key("admin", ["main"])) as client:
        assert len(client.search("code:" + "00" * 6)) == 10
        assert client.video(1).id == 1
        assert client.thumbnail(2**32 + 1)
        for call in (
            lambda: client.search("code:" + "00" * 6, collection="secret"),
            lambda: client.enqueue("archive/x.mp4", collection="secret"),
            client.api_keys,
            lambda: next(client.audit()),
            lambda: client.create_key("me", scope="admin"),
        ):
            with pytest.raises(ForbiddenError, match="limited"):
                call()
        for call in (
            lambda: client.video(2),
            lambda: client.thumbnail(2 * 2**32 + 1),
            lambda: client.delete_video(2),
            lambda: client.set_tags(2, {"a": "b"}),
            lambda: next(client.failures(video=2)),
        ):
            with pytest.raises(NotFoundError):
                call()
        assert [job.id for job in (client.enqueue("archive/y.mp4"), *client.jobs())] == ["job-1", "job-1"]
    with Client(guarded.url, api_key=guarded.key("write", ["secret"])) as client:
        assert client.collections() == []
        assert client.jobs() == []
        assert client.video(2).id == 2
        with pytest.raises(NotFoundError):
            client.job("job-1")
        with pytest.raises(ForbiddenError):
            client.search("code:" + "00" * 6)
    assert guarded.ask("GET", "/v1/videos/2/source", guarded.key("read", ["main"])).status_code == 404
    assert guarded.ask("GET", "/v1/index/export", guarded.key("read", ["secret"])).status_code == 403


def test_a_key_for_one_collection_suppresses_exports_and_views_there(make, tmp_path):
    guarded = make()
    code, own, other = "code:" + "00" * 6, f"frame:{2**32 + 1}", f"frame:{2 * 2**32 + 1}"
    package = tmp_path / "case.zip"
    with Client(guarded.url, api_key=guarded.key("write", ["main"])) as client:
        made = client.suppress(own, name="intro")
        assert [entry.id for entry in client.suppressions()] == [made.id]
        assert client.unsuppress(made.id).id == made.id
        assert client.evidence(code, package, top=3) == package.stat().st_size
        assert client.download_source(1, tmp_path / "bikes.mp4") == 256 * 40
        for call in (
            lambda: client.suppress(own, collection="secret"),
            lambda: client.suppressions(collection="secret"),
            lambda: client.unsuppress(made.id, collection="secret"),
            lambda: client.evidence(code, package, collection="secret"),
        ):
            with pytest.raises(ForbiddenError, match="limited"):
                call()
        for call in (lambda: client.suppress(other), lambda: client.download_source(2, tmp_path / "secret.mp4")):
            with pytest.raises(NotFoundError, match="there is no video 2"):
                call()
    assert not (tmp_path / "secret.mp4").exists()


def test_a_browser_signs_in_with_a_cookie_that_scripts_and_other_sites_cannot_use(make):
    guarded = make()
    assert guarded.access.keyring is not None
    key, secret = guarded.access.keyring.create("page", "admin")
    signed = guarded.ask("POST", "/v1/session", secret, headers={"Origin": guarded.url})
    cookie = signed.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Max-Age=43200", "Path=/"))
    jar = {"Cookie": cookie.partition(";")[0]}
    assert guarded.ask("GET", "/v1/videos/1/source", headers=jar).status_code == 200
    assert guarded.ask("GET", "/v1/session", headers=jar).json()["name"] == "page"
    forged = guarded.ask("POST", "/v1/search", headers=jar | {"Origin": "https://evil.example"}, json=CODE)
    assert forged.status_code == 403
    assert guarded.ask("GET", "/v1/videos", headers={"Cookie": "hashreel_session=guess"}).status_code == 401
    assert cookie.partition("=")[2][:20].encode() not in b" ".join(guarded.client.keys("*"))
    assert guarded.ask("DELETE", "/v1/session", headers=jar | {"Origin": guarded.url}).status_code == 204
    assert guarded.ask("GET", "/v1/videos", headers=jar).status_code == 401
    again = guarded.ask("POST", "/v1/session", secret).headers["set-cookie"].partition(";")[0]
    assert guarded.ask("GET", "/v1/videos", headers={"Cookie": again}).status_code == 200
    guarded.access.keyring.revoke(key.id)
    assert guarded.ask("GET", "/v1/videos", headers={"Cookie": again}).status_code == 401


def test_an_expired_key_opens_nothing(make):
    guarded = make()
    secret = guarded.key("read", expires_s=0.2)
    assert guarded.ask("GET", "/v1/videos", secret).status_code == 200
    time.sleep(0.25)
    assert guarded.ask("GET", "/v1/videos", secret).status_code == 401


def test_a_key_that_another_replica_made_or_revoked_is_known_within_moments(make):
    guarded = make()
    guarded.key()
    other = make_access(guarded.settings, guarded.client)
    assert other.keyring is not None
    other.keyring.refresh()
    key, secret = other.keyring.create("elsewhere", "read")
    wait_for(lambda: guarded.ask("GET", "/v1/videos", secret).status_code == 200)
    other.keyring.revoke(key.id)
    wait_for(lambda: guarded.ask("GET", "/v1/videos", secret).status_code == 401)


def wait_for(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_beyond_its_rate_a_key_waits_and_a_batch_counts_its_queries(make):
    guarded = make(rate_per_s=0.01, rate_burst=5)
    first, second = guarded.key("read"), guarded.key("read")
    codes = [guarded.ask("GET", "/v1/videos", first).status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]
    refused = guarded.ask("GET", "/v1/videos", first)
    assert int(refused.headers["retry-after"]) > 1
    assert "HASHREEL_RATE_PER_S" in refused.json()["detail"]
    batch = guarded.ask("POST", "/v1/search/batch", second, json={"requests": [CODE] * 8}).json()["results"]
    assert [item["problem"] and item["problem"]["status"] for item in batch] == [None] * 5 + [429] * 3
    with Client(guarded.url, api_key=second) as client, pytest.raises(RateLimitedError):
        client._run(__import__("hashreel.client.calls", fromlist=["jobs"]).jobs(1))


def test_what_was_done_and_by_whom_is_written_down(make):
    guarded = make()
    reader, writer = guarded.key("read"), guarded.key("write")
    guarded.ask("POST", "/v1/search", reader, json=CODE)
    for _ in range(3):
        guarded.ask("GET", "/v1/videos/1/source", reader, headers={"Range": "bytes=0-9"})
    guarded.ask("GET", "/v1/videos", reader)
    guarded.ask("DELETE", "/v1/videos/1", reader)
    guarded.ask("DELETE", "/v1/videos/1", writer)
    guarded.ask("GET", "/v1/videos", "hr_000000000000_" + "x" * 43)
    trail = guarded.trail()[::-1]
    told = [(entry["action"], entry["name"], entry["status"]) for entry in trail]
    assert told == [
        ("search", "read's", 200),
        ("view", "read's", 206),
        ("delete", "read's", 403),
        ("delete", "write's", 200),
    ]
    assert trail[0]["notes"]["searches"] == [{"kind": "code", "code": "00" * 6, "collection": "main", "hits": 10}]
    assert trail[1]["path"] == "/v1/videos/1/source"
    with Client(guarded.url, api_key=guarded.key()) as admin:
        assert [entry.action for entry in admin.audit(action="delete")] == ["delete", "delete"]
        assert [entry.id for entry in admin.audit()] == [entry["id"] for entry in trail[::-1]]


def test_while_redis_is_down_answers_go_on_and_the_log_is_filled_up_afterwards(make, private_redis):
    server = private_redis()
    guarded = make(server)
    secret = guarded.key("read")
    assert guarded.ask("GET", "/v1/videos", secret).status_code == 200
    server.kill()
    for _ in range(3):
        assert guarded.ask("POST", "/v1/search", secret, json=CODE).status_code == 200
    assert guarded.access.audit is not None
    assert guarded.access.audit.waiting == 3
    server.start()
    wait_for(lambda: not guarded.access.audit.waiting)
    assert [entry["action"] for entry in guarded.trail()] == ["search"] * 3


def test_a_strict_log_withholds_what_it_cannot_write_down(make, private_redis):
    server = private_redis()
    guarded = make(server, audit="strict")
    secret = guarded.key("read")
    assert guarded.ask("POST", "/v1/search", secret, json=CODE).status_code == 200
    server.kill()
    refused = guarded.ask("POST", "/v1/search", secret, json=CODE)
    assert refused.status_code == 503
    assert "audit=strict" in refused.json()["detail"]
    assert "hits" not in refused.text


def test_the_log_keeps_the_newest_entries_only(make, redis_client: redis.Redis):
    guarded = make(audit_entries=1000)
    assert guarded.access.audit is not None
    entry = {"at": 0.0, "key": "", "name": "n", "address": "", "action": "search", "method": "POST", "path": "/"}
    for number in range(3000):
        guarded.access.audit.put(entry | {"status": 200, "request_id": str(number)})
    assert guarded.trail()[0]["request_id"] == "2999"
    assert 1000 <= redis_client.xlen("hr:audit") < 1300


def test_keys_see_the_watches_of_their_collections_and_what_they_do_is_recorded(make: Callable[..., Guarded]) -> None:
    service = make()
    root, reader = service.key("admin"), service.key("read")
    theirs, others = service.key("write", ["main"]), service.key("write", ["secret"])
    body = {"queries": [CODE["query"]], "radius": 48}
    assert service.ask("POST", "/v1/watches", reader, json=body).status_code == 403
    assert service.ask("POST", "/v1/watches", others, json=body).status_code == 403
    made = service.ask("POST", "/v1/watches", theirs, json=body)
    assert made.status_code == 201
    hidden = {"queries": [CODE["query"], {"frame": str(2 << 32)}]}
    assert service.ask("POST", "/v1/watches", theirs, json=hidden).status_code == 404
    address = f"/v1/watches/{made.json()['id']}"
    for key, status in ((root, 200), (reader, 200), (theirs, 200), (others, 404)):
        for path in ("", "/hits", "/deliveries"):
            assert service.ask("GET", address + path, key).status_code == status, path
        assert service.ask("GET", "/v1/watches", key).status_code == (200 if status == 200 else 403)
    hook = "http://127.0.0.1:9/hooks/T0KEN?key=1"
    assert service.ask("PATCH", address, theirs, json={"webhook": hook}).json()["webhook"] == hook
    for key, shown in ((root, hook), (theirs, hook), (reader, "http://127.0.0.1:9/...")):
        assert service.ask("GET", address, key).json()["webhook"] == shown
        assert [one["webhook"] for one in service.ask("GET", "/v1/watches", key).json()["watches"]] == [shown]
    for key, status in ((reader, 403), (others, 404), (theirs, 200)):
        assert service.ask("POST", address + "/rotate-secret", key, json={}).status_code == status
    mark = {"frames": ["1"], "state": "dismissed"}
    assert service.ask("POST", address + "/hits/mark", reader, json=mark).status_code == 403
    assert service.ask("POST", address + "/hits/mark", others, json=mark).status_code == 404
    assert service.ask("DELETE", address, reader).status_code == 403
    assert service.ask("DELETE", address, others).status_code == 404
    assert service.ask("DELETE", address, theirs).status_code == 200
    done = {(entry["action"], entry["method"], entry["path"]) for entry in service.trail() if entry["status"] < 400}
    assert done == {
        ("change", "POST", "/v1/watches"),
        ("change", "PATCH", address),
        ("change", "POST", address + "/rotate-secret"),
        ("view", "GET", address + "/hits"),
        ("delete", "DELETE", address),
    }
