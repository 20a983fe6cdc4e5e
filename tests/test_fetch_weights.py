"""fetch_weights.sh against a loopback server and folders, with small files in place of the real ones."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirror_server import BYTES, ROOT, SCRIPT, Place, Server, hash_of
from train.zoo import FAMILIES

OTHER = b"another form of the same weights" * 50

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().serving() as serving:
        yield serving


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home = tmp_path / "home"
    home.mkdir()
    return Place(tmp_path / "table.tsv", tmp_path / "the weights", home)


def one_sentence(error: str) -> bool:
    return error.count("\n") == 1 and error.startswith("fetch_weights.sh: ") and error.endswith(".\n")


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    result = subprocess.run([shellcheck, str(SCRIPT)], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout


def test_is_executable_and_explains_itself() -> None:
    result = subprocess.run([str(SCRIPT), "--help"], capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0
    for word in ("--mirror", "--dest", "--list", "NAME", "Exit status"):
        assert word in result.stdout


def test_the_table_agrees_with_keras_and_with_the_training_code() -> None:
    rows = [line.split("\t") for line in (ROOT / "weights" / "SOURCES.tsv").read_text().splitlines()]
    rows = [row for row in rows if not row[0].startswith("#")]
    assert all(len(row) == 6 for row in rows)
    zoo = (ROOT / "train" / "zoo" / "__init__.py").read_text()
    assert all(f'"{row[1]}"' in zoo for row in rows)

    found = [Path(folder) / "keras/src/applications" for folder in sys.path]
    sources = next((path for path in found if path.is_dir()), None)
    if sources is None:
        pytest.skip("keras is not installed")
    modules = {"densenet121": "densenet", "xception": "xception", "resnet50": "resnet", "mobilenet_v2": "mobilenet_v2"}
    for official in (row for row in rows if row[5] != "-"):
        text = (sources / f"{modules[official[0]]}.py").read_text()
        folder, file = official[5].rsplit("/", 1)
        assert file == official[1] and f"{folder.rsplit('/', 1)[1]}/" in text
        # Of mobilenet_v2 Keras publishes no hash, and puts the file's name together.
        published = f'"{official[4]}"' in text
        assert (official[3], published) == (("sha256", False) if "mobilenet" in file else ("md5", True))
    assert '"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_"' in (sources / "mobilenet_v2.py").read_text()


def test_what_training_may_start_from_can_be_fetched() -> None:
    lines = (ROOT / "weights" / "SOURCES.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    for name, family in FAMILIES.items():
        files = {row[1] for row in rows if row[0] == name and row[5] != "-"}
        assert bool(files) == bool(family.imagenet_files) and files <= set(family.imagenet_files)


def test_wrong_usage_is_refused(place: Place) -> None:
    place.describe(("net", "net.h5", BYTES, "sha256", "-"))
    for arguments in (["--nonsense"], ["--mirror"], ["no-such-net"]):
        result = place.run(*arguments)
        assert result.returncode == 2
        assert one_sentence(result.stderr)


@pytest.mark.parametrize("file", ["../net.h5", "-net.h5", "net h5", "a/b.h5"])
def test_a_table_cannot_name_a_path(place: Place, tmp_path: Path, file: str) -> None:
    place.describe(("net", file, BYTES, "sha256", "-"))
    result = place.run("--mirror", str(tmp_path))
    assert result.returncode == 1
    assert "line 2" in result.stderr


@needs_curl
@pytest.mark.parametrize("check", ["md5", "sha256"])
def test_fetches_from_the_official_address(place: Place, server: Server, check: str) -> None:
    server.files["deep/net.h5"] = BYTES
    place.describe(("net", "net.h5", BYTES, check, f"{server.address}/deep/net.h5"))
    result = place.run()
    assert result.returncode == 0, result.stderr
    assert (place.dest / "net.h5").read_bytes() == BYTES
    assert [path.name for path in place.dest.iterdir()] == ["net.h5"]
    # A check weaker than sha256 is said to be one.
    assert (hash_of("sha256", BYTES) in result.stdout) == (check == "md5")


@needs_curl
def test_goes_on_where_the_download_broke_off(place: Place, server: Server) -> None:
    server.files["net.h5"] = BYTES
    server.break_off_after = 30_000
    place.describe(("net", "net.h5", BYTES, "sha256", f"{server.address}/net.h5"))
    result = place.run()
    assert result.returncode == 0, result.stderr
    assert (place.dest / "net.h5").read_bytes() == BYTES
    assert server.asked == [("/net.h5", None), ("/net.h5", "bytes=30000-")]


@needs_curl
def test_a_later_run_goes_on_with_the_half_file_of_an_earlier_one(place: Place, server: Server) -> None:
    server.files["net.h5"] = BYTES
    place.describe(("net", "net.h5", BYTES, "sha256", f"{server.address}/net.h5"))
    place.dest.mkdir()
    (place.dest / "net.h5.partial").write_bytes(BYTES[:1000])
    assert place.run().returncode == 0
    assert (place.dest / "net.h5").read_bytes() == BYTES
    assert server.asked == [("/net.h5", "bytes=1000-")]
    assert not (place.dest / "net.h5.partial").exists()


@needs_curl
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [1000, len(BYTES), len(BYTES) + 7])
def test_a_half_file_of_something_else_is_started_over(place: Place, server: Server, ranges: bool, size: int) -> None:
    server.files["net.h5"] = BYTES
    server.ranges = ranges
    place.describe(("net", "net.h5", BYTES, "sha256", f"{server.address}/net.h5"))
    place.dest.mkdir()
    (place.dest / "net.h5.partial").write_bytes(b"x" * size)
    result = place.run()
    assert result.returncode == 0, result.stderr
    assert (place.dest / "net.h5").read_bytes() == BYTES


@needs_curl
def test_a_half_file_that_is_whole_needs_no_network(place: Place, closed_port: int) -> None:
    place.describe(("net", "net.h5", BYTES, "sha256", f"http://127.0.0.1:{closed_port}/net.h5"))
    place.dest.mkdir()
    (place.dest / "net.h5.partial").write_bytes(BYTES)
    result = place.run()
    assert result.returncode == 0, result.stderr
    assert (place.dest / "net.h5").read_bytes() == BYTES


@needs_curl
def test_a_server_with_less_than_the_half_file_is_refused_for_what_it_holds(place: Place, server: Server) -> None:
    server.files["net.h5"] = b"short"
    place.describe(("net", "net.h5", BYTES, "sha256", f"{server.address}/net.h5"))
    place.dest.mkdir()
    (place.dest / "net.h5.partial").write_bytes(BYTES[:1000])
    result = place.run()
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert hash_of("sha256", BYTES) in result.stderr
    assert list(place.dest.iterdir()) == []


@needs_curl
@pytest.mark.parametrize("name", ["-dash", "a $(touch evil) b", "quote'\""])
def test_an_odd_destination(place: Place, server: Server, name: str) -> None:
    server.files["net.h5"] = BYTES
    place.describe(("net", "net.h5", BYTES, "sha256", f"{server.address}/net.h5"))
    result = place.run(f"--dest={name}")
    assert result.returncode == 0
    assert result.stderr == ""
    assert (place.home / name / "net.h5").read_bytes() == BYTES
    assert [path.name for path in place.home.iterdir()] == [name]


@needs_curl
def test_a_wrong_hash_is_refused(place: Place, server: Server) -> None:
    server.files["net.h5"] = BYTES[:-1] + b"!"
    place.describe(("net", "net.h5", BYTES, "sha256", f"{server.address}/net.h5"))
    result = place.run()
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert hash_of("sha256", BYTES) in result.stderr
    assert list(place.dest.iterdir()) == []
    assert len(server.asked) == 1


@needs_curl
def test_what_is_there_and_right_is_left_alone(place: Place, server: Server) -> None:
    place.describe(("net", "net.h5", BYTES, "sha256", f"{server.address}/net.h5"))
    place.dest.mkdir()
    (place.dest / "net.h5").write_bytes(BYTES)
    result = place.run()
    assert result.returncode == 0
    assert "there and right" in result.stdout
    assert server.asked == []


@needs_curl
def test_what_is_there_and_wrong_is_fetched_again(place: Place, server: Server) -> None:
    server.files["net.h5"] = BYTES
    place.describe(("net", "net.h5", BYTES, "sha256", f"{server.address}/net.h5"))
    place.dest.mkdir()
    (place.dest / "net.h5").write_bytes(b"not the weights")
    result = place.run()
    assert result.returncode == 0, result.stderr
    assert "there but wrong" in result.stdout
    assert (place.dest / "net.h5").read_bytes() == BYTES


@needs_curl
def test_what_is_wrong_does_not_stay_under_its_name_offline(place: Place, closed_port: int) -> None:
    place.describe(("net", "net.h5", BYTES, "sha256", f"http://127.0.0.1:{closed_port}/net.h5"))
    place.dest.mkdir()
    (place.dest / "net.h5").write_bytes(BYTES[:500])
    assert place.run().returncode == 1
    assert not (place.dest / "net.h5").exists()


@needs_curl
@pytest.mark.parametrize("as_mirror", [True, False])
def test_offline_is_one_sentence_with_the_address_and_the_remedy(
    place: Place, closed_port: int, as_mirror: bool
) -> None:
    address = f"http://127.0.0.1:{closed_port}"
    place.describe(("net", "net.h5", BYTES, "sha256", f"{address}/net.h5"))
    result = place.run(*(["--mirror", address] if as_mirror else []))
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert f"{address}/net.h5" in result.stderr
    assert "--mirror" in result.stderr
    assert list(place.dest.iterdir()) == []


def test_without_curl_it_says_so(place: Place, tmp_path: Path) -> None:
    place.describe(("net", "net.h5", BYTES, "sha256", "http://127.0.0.1:9/net.h5"))
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("dirname", "mkdir", "mv", "rm", "wc", "cp", "sha256sum", "cat"):
        (tools / tool).symlink_to(shutil.which(tool) or pytest.skip(f"{tool} is not installed"))
    result = place.run(path=str(tools))
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert "curl" in result.stderr
    # A folder needs none.
    (tmp_path / "net.h5").write_bytes(BYTES)
    result = place.run("--mirror", str(tmp_path), path=str(tools))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("form", ["folder", "relative", "file-url", "raw-file-url"])
@pytest.mark.parametrize("name", ["mirror", 'a mirror\'s $(touch evil) 100% "folder"', "-dash", "back\\x41slash"])
def test_a_folder_as_mirror(place: Place, form: str, name: str) -> None:
    mirror = place.home / name
    mirror.mkdir()
    (mirror / "net.h5").write_bytes(BYTES)
    (mirror / "net.h5").chmod(0o444)
    place.describe(("net", "net.h5", BYTES, "sha256", "-"))
    if form == "raw-file-url" and "%" in name:
        pytest.skip("a percent sign in an address is an escape")
    forms = {"folder": str(mirror), "relative": name, "file-url": mirror.as_uri()}
    where = forms.get(form, f"file://localhost{mirror}")
    result = place.run(f"--mirror={where}")
    assert result.returncode == 0, result.stderr
    assert (place.dest / "net.h5").read_bytes() == BYTES
    assert (place.dest / "net.h5").stat().st_mode & 0o200
    assert not (place.home / "evil").exists()


def test_a_mirror_that_is_not_there(place: Place) -> None:
    place.describe(("net", "net.h5", BYTES, "sha256", "-"))
    for where in (str(place.home / "nowhere"), "ftp://127.0.0.1/", "nowhere"):
        result = place.run("--mirror", where)
        assert result.returncode == 1
        assert one_sentence(result.stderr)
        assert where in result.stderr


def test_a_broken_file_in_a_mirror_is_refused(place: Place) -> None:
    (place.home / "net.h5").write_bytes(BYTES[:-1])
    place.describe(("net", "net.h5", BYTES, "sha256", "-"))
    result = place.run("--mirror", str(place.home))
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert list(place.dest.iterdir()) == []


def describe_two_forms(place: Place, address: str) -> None:
    place.describe(("net", "official.h5", BYTES, "md5", address), ("net", "small.h5", OTHER, "sha256", "-"))


@needs_curl
@pytest.mark.parametrize("held", ["official.h5", "small.h5"])
@pytest.mark.parametrize("by_http", [True, False])
def test_a_mirror_may_hold_either_form(place: Place, server: Server, held: str, by_http: bool) -> None:
    data = {"official.h5": BYTES, "small.h5": OTHER}[held]
    server.files[f"deep/{held}"] = data
    (place.home / held).write_bytes(data)
    describe_two_forms(place, "http://127.0.0.1:9/official.h5")
    result = place.run("--mirror", f"{server.address}/deep/" if by_http else str(place.home))
    assert result.returncode == 0, result.stderr
    assert [path.name for path in place.dest.iterdir()] == [held]
    assert (place.dest / held).read_bytes() == data


@needs_curl
@pytest.mark.parametrize("by_http", [True, False])
def test_a_mirror_that_holds_neither_form(place: Place, server: Server, by_http: bool) -> None:
    describe_two_forms(place, "http://127.0.0.1:9/official.h5")
    result = place.run("--mirror", server.address if by_http else str(place.home))
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert "official.h5 nor small.h5" in result.stderr


@needs_curl
def test_either_form_is_enough(place: Place, server: Server) -> None:
    describe_two_forms(place, f"{server.address}/official.h5")
    place.dest.mkdir()
    (place.dest / "small.h5").write_bytes(OTHER)
    assert place.run().returncode == 0
    assert server.asked == []


def test_what_only_a_mirror_has_asks_for_one(place: Place) -> None:
    place.describe(("net", "net.h5", BYTES, "sha256", "-"))
    result = place.run()
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert "--mirror" in result.stderr


def test_only_what_is_named_is_fetched_and_one_failure_does_not_stop_the_rest(place: Place) -> None:
    (place.home / "b.h5").write_bytes(OTHER)
    place.describe(("a", "a.h5", BYTES, "sha256", "-"), ("b", "b.h5", OTHER, "sha256", "-"))
    result = place.run("--mirror", str(place.home), "b")
    assert result.returncode == 0, result.stderr
    assert [path.name for path in place.dest.iterdir()] == ["b.h5"]
    (place.dest / "b.h5").unlink()
    assert place.run("--mirror", str(place.home)).returncode == 1
    assert [path.name for path in place.dest.iterdir()] == ["b.h5"]


def test_list_shows_every_file_and_changes_nothing(place: Place) -> None:
    rows = [(state, f"{state}.h5", BYTES, "sha256", "-") for state in ("present", "wrong", "partial", "missing")]
    place.describe(*rows, ("weak", "weak.h5", BYTES, "md5", "https://127.0.0.1/weak.h5"))
    place.dest.mkdir()
    (place.dest / "present.h5").write_bytes(BYTES)
    (place.dest / "wrong.h5").write_bytes(OTHER)
    (place.dest / "partial.h5.partial").write_bytes(BYTES[:10])
    before = sorted(path.name for path in place.dest.iterdir())
    result = place.run("--list")
    assert result.returncode == 0, result.stderr
    listed = [line.split() for line in result.stdout.splitlines() if line and not line.startswith(("NAME", " "))]
    sha256, md5 = hash_of("sha256", BYTES), hash_of("md5", BYTES)
    assert listed == [
        *([state, f"{state}.h5", str(len(BYTES)), state, "sha256", sha256] for state, *_ in rows),
        ["weak", "weak.h5", str(len(BYTES)), "missing", "md5", md5],
    ]
    assert "https://127.0.0.1/weak.h5" in result.stdout
    assert sorted(path.name for path in place.dest.iterdir()) == before
