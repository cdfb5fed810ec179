"""Whether the shell and SFTP show the same folders: asked by several connections at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.contract.world import serve
from tests.unit.remote.visitors import Notes, Visitor


def test_shared_folders_asked_at_once_are_all_believed(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "full") as server:
        folder = server.make_folder("models")  # type: ignore[union-attr]
        (folder / "a").write_bytes(b"a" * 1000)
        connector = Visitor(tmp_path / "visitor", Notes()).connector(server, identity_file=str(server.identity_file))  # type: ignore[union-attr]
        connections = [connector.connect() for _ in range(4)]
        try:
            with ThreadPoolExecutor(4) as threads:
                seen = list(
                    threads.map(lambda connection: connection.sees(connection.files.resolve("models/a")), connections)
                )
        finally:
            for connection in connections:
                connection.close()
        assert seen == [True] * 4
        assert [path.name for path in folder.iterdir()] == ["a"]
