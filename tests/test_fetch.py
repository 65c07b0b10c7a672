"""`gdpkit prior fetch`, against a server on loopback that cuts connections, changes files, and lies."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gdpkit import download as module
from gdpkit.cli import main
from gdpkit.download import download
from gdpkit.errors import GdpkitError
from gdpkit.priors import checkpoint, inspection, known
from gdpkit.priors.known import Known
from gdpkit.priors.unet import UNet

CONTENT = bytes(range(256)) * 40
DIGEST = sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What is served, and how badly; `asked` are the Range headers that came."""

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    etag: str = '"one"'
    ranges: bool = True
    length: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        if request.path != "/net.safetensors":
            request.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.ranges else 0  # type: ignore[index]
        if request.headers.get("If-Range", self.etag) != self.etag:
            start = 0
        if start and start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.content)}")
            request.end_headers()
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.length:
            request.send_header("Content-Length", str(len(body)))
        if self.etag:
            request.send_header("ETag", self.etag)
        request.end_headers()
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        served.url = f"http://127.0.0.1:{http.server_address[1]}/net.safetensors"
        try:
            yield served
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


def part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def only(target: Path) -> bool:
    return [f.name for f in target.parent.iterdir()] == [target.name]


# -- the download -----------------------------------------------------------------------------------------------------


def test_the_embedded_prior_needs_no_fetching(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prior", "fetch", "embedded"]) == 0
    told = capsys.readouterr()
    assert "installed already" in told.err and told.out == f"{known.checkpoint_file('embedded')}\n"
    assert main(["prior", "fetch", "embedded", "--sha256", "0" * 64]) == 2


def test_a_file_comes_whole_and_progress_is_told(server: Server, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    found = download(server.url, target, ".part", sha256=DIGEST, on_bytes=lambda *now: seen.append(now))
    assert (found, target.read_bytes()) == (DIGEST, CONTENT)
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))
    assert only(target)


def test_a_cut_connection_goes_on_where_it_was(server: Server, target: Path) -> None:
    server.cuts = [1000, 0, 2000]
    download(server.url, target, ".part", sha256=DIGEST)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-", "bytes=1000-", "bytes=3000-"]


def test_a_server_that_gives_nothing_is_given_up_and_the_next_call_goes_on(server: Server, target: Path) -> None:
    server.cuts = [1000, *[0] * module.ATTEMPTS]
    with pytest.raises(GdpkitError, match=r"the connection was cut after 1000 bytes; the same command goes on"):
        download(server.url, target, ".part")
    assert part(target).read_bytes() == CONTENT[:1000] and not target.exists()
    server.asked.clear()
    assert download(server.url, target, ".part") == DIGEST
    assert server.asked == ["bytes=1000-"] and target.read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_begun_anew(server: Server, target: Path) -> None:
    server.cuts = [1000, *[0] * module.ATTEMPTS]
    with pytest.raises(GdpkitError):
        download(server.url, target, ".part")
    server.content, server.etag = CONTENT[::-1], '"two"'
    download(server.url, target, ".part")
    assert target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("known_hash", [True, False])
def test_without_a_version_only_a_hash_allows_going_on(server: Server, target: Path, known_hash: bool) -> None:
    server.etag, server.cuts = "", [1000]
    download(server.url, target, ".part", sha256=DIGEST if known_hash else None)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-" if known_hash else None]


def test_a_server_without_ranges_or_lengths(server: Server, target: Path) -> None:
    server.ranges, server.cuts = False, [1000]
    download(server.url, target, ".part", sha256=DIGEST)
    assert target.read_bytes() == CONTENT
    target.unlink()
    server.length = False
    assert download(server.url, target, ".part") == DIGEST


def test_a_part_that_was_complete_only_needs_its_name(server: Server, target: Path) -> None:
    server.cuts = [1000, *[0] * module.ATTEMPTS]
    with pytest.raises(GdpkitError):
        download(server.url, target, ".part")
    part(target).write_bytes(CONTENT)
    assert download(server.url, target, ".part") == DIGEST
    assert only(target)


def test_a_part_that_is_longer_than_the_file_is_begun_anew(server: Server, target: Path) -> None:
    server.cuts = [1000, *[0] * module.ATTEMPTS]
    with pytest.raises(GdpkitError):
        download(server.url, target, ".part")
    part(target).write_bytes(CONTENT * 2)
    assert download(server.url, target, ".part") == DIGEST


def test_a_part_that_was_damaged_is_not_kept(server: Server, target: Path) -> None:
    server.cuts = [1000, *[0] * module.ATTEMPTS]
    with pytest.raises(GdpkitError):
        download(server.url, target, ".part", sha256=DIGEST)
    part(target).write_bytes(b"x" * 1000)
    with pytest.raises(GdpkitError, match="is not the file expected, and was removed"):
        download(server.url, target, ".part", sha256=DIGEST)
    assert not part(target).exists() and not target.exists()
    assert download(server.url, target, ".part", sha256=DIGEST) == DIGEST


def test_another_size_is_told_before_the_bytes_come(server: Server, target: Path) -> None:
    with pytest.raises(GdpkitError, match=f"the server has {len(CONTENT)} bytes, but 5 are expected"):
        download(server.url, target, ".part", size=5)
    assert not target.exists() and not part(target).exists()


def test_a_disk_that_is_too_small(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 100

    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(GdpkitError, match=f"{len(CONTENT)} bytes are still to come, but only 100 are free"):
        download(server.url, target, ".part")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("ftp://example.org/net.pt", "only http and https"),
        ("http://127.0.0.1:1/net.pt", "cannot be reached"),
        ("http://[::1/net.pt", "is not an address"),
        ("http://localhost:port/net.pt", "is not an address"),
        ("https:/net.pt", "only http and https"),
    ],
)
def test_addresses_that_cannot_be_fetched(
    target: Path, url: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(GdpkitError, match=message):
        download(url, target, ".part")
    assert not target.exists()


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GDPKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prior(folder: Path) -> bytes:
    checkpoint.save_unet(folder / "made", UNet((4,), (1,)), {})
    return (folder / "made").read_bytes()


def test_a_public_checkpoint_by_name_is_checked_and_found_by_name(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.content = prior(tmp_path)
    digest = sha256(server.content).hexdigest()
    entry = Known("some-net", "net.safetensors", len(server.content), digest, "CC0", server.url)
    monkeypatch.setattr(known, "table", lambda: {"embedded": known.Known("embedded", "e"), "some-net": entry})
    assert main(["prior", "fetch", "some-net"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{cache / 'net.safetensors'}\n" and digest in err and "CC0" in err and "Warning" not in err
    assert known.find_cached("net") == cache / "net.safetensors"
    assert main(["prior", "verify", "net"]) == 0
    assert main(["prior", "fetch", "some-net"]) == 0
    assert "is there already" in capsys.readouterr().err and len(server.asked) == 1
    (cache / "net.safetensors").write_bytes(b"damaged")
    assert main(["prior", "fetch", "some-net"]) == 2
    assert main(["prior", "fetch", "some-net", "--sha256", "0" * 64]) == 2
    assert "is known to have another one" in capsys.readouterr().err
    assert main(["prior", "fetch", "some-met"]) == 2
    assert "Did you mean 'some-net'" in capsys.readouterr().err


def test_a_url_without_a_known_hash_is_fetched_with_a_warning(
    server: Server, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.content = prior(tmp_path)
    assert main(["prior", "fetch", server.url]) == 0
    err = capsys.readouterr().err
    assert "Warning: no SHA-256 of net.safetensors is known" in err and "(not compared with anything)" in err
    assert inspection.verify(cache / "net.safetensors").endswith("net.safetensors.sha256")  # noted: later damage shows
    assert set(known.cached()) == {"net"}


def test_a_url_with_a_hash_goes_where_it_is_told(
    server: Server, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "priors"
    assert main(["prior", "fetch", server.url, "--to", str(folder), "--sha256", DIGEST]) == 0
    assert (folder / "net.safetensors").read_bytes() == CONTENT and not cache.exists()
    assert "Warning" not in capsys.readouterr().err
    other = tmp_path / "others"
    assert main(["prior", "fetch", server.url, "--to", str(other), "--sha256", "0" * 64]) == 2
    assert f"its SHA-256 is\n{DIGEST} instead of\n{'0' * 64}" in capsys.readouterr().err
    assert not (other / "net.safetensors").exists() and not (other / "net.safetensors.part").exists()


def test_what_the_server_does_not_have(server: Server, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prior", "fetch", server.url.replace("net", "none")]) == 2
    assert "the server says 404 Not Found" in capsys.readouterr().err
    assert len(server.asked) == 1
    for url in (server.url.removesuffix("net.safetensors"), server.url.replace("net.", ".."), f"{server.url}.exe"):
        assert main(["prior", "fetch", url]) == 2
        assert "must be a file's name" in capsys.readouterr().err
    assert len(server.asked) == 1


def test_the_public_checkpoints_have_https_and_what_is_known_of_them() -> None:
    entry = known.public()["256x256_diffusion_uncond"]
    assert entry.url is not None and entry.url.startswith("https://openaipublic.blob.core.windows.net/")
    assert (entry.bytes, entry.sha256 or "")[0] == 2_211_383_297 and known.valid_sha256(entry.sha256 or "")
