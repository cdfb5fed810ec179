"""ModelScope as its SDK uses it: the list of a model's files, and the file behind a redirect to a store.

    with ModelScope() as scope:
        scope.model("org/name", {"a.safetensors": content})
        ...                                    # $MODELSCOPE_ENDPOINT is scope.url("")

Follows modelscope's `hub/file_download.py` and `HubApi.get_model_files`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.http_origin import Origin, Request, Resource
from tests.servers.storage import Storage


class ModelScope(Origin):
    """`hashes` False: the list tells no Sha256. `models` are files by model and revision; `private` ones want a
    login."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Storage()
        self.models: dict[tuple[str, str], dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.hashes = True
        self._said: object = None

    def __enter__(self) -> Self:
        self.storage.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.storage.__exit__(kind, error, trace)

    def model(self, name: str, files: Mapping[str, bytes], revision: str = "master") -> None:
        self.models[name, revision] = dict(files)

    def serve_list(self, said: object) -> None:
        """Let every list of files be this document, with status 200."""
        self._said = said

    def choose(self, request: Request) -> Resource | None:
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match [unquote(part) for part in parts.path.strip("/").split("/")]:
            case ["api", "v1", "models", owner, name, "repo", "files"]:
                return self._files(f"{owner}/{name}", query)
            case ["api", "v1", "models", owner, name, "repo"]:
                return self._file(f"{owner}/{name}", query)
        return None

    def _files(self, name: str, query: Mapping[str, str]) -> Resource:
        files = self.models.get((name, query.get("Revision", "master")))
        if self._said is not None:
            return _json(self._said)
        if name in self.private:
            return _failed(403, 10010205003, "you have no permission to access this model")
        if files is None:
            return _failed(404, 10010205001, "the model or revision does not exist")
        root = query.get("Root", "")
        listed = [self._entry(path, content) for path, content in files.items() if path.startswith(root)]
        folders = sorted({path.rpartition("/")[0] for path in files if "/" in path})
        listed += [{"Name": path, "Path": path, "Type": "tree", "Size": 0, "Sha256": ""} for path in folders]
        return _json({"Code": 200, "Data": {"Files": listed}, "Message": "success", "Success": True})

    def _entry(self, path: str, content: bytes) -> dict[str, object]:
        return {
            "Name": path.rpartition("/")[2],
            "Path": path,
            "Type": "blob",
            "Size": len(content),
            "Sha256": hashlib.sha256(content).hexdigest() if self.hashes else "",
            "IsLFS": len(content) > 1000,
            "Revision": hashlib.sha1(content).hexdigest(),
        }

    def _file(self, name: str, query: Mapping[str, str]) -> Resource:
        files = self.models.get((name, query.get("Revision", "master")), {})
        content = files.get(query.get("FilePath", ""))
        if name in self.private:
            return _failed(403, 10010205003, "you have no permission to access this model")
        if content is None:
            return _failed(404, 10010205001, "the file does not exist")
        return Resource(b"", status=302, location=self.storage.link(content))


def _json(value: object, status: int = 200) -> Resource:
    return Resource(json.dumps(value).encode(), content_type="application/json", status=status, ranges=False)


def _failed(status: int, code: int, message: str) -> Resource:
    return _json({"Code": code, "Message": message, "RequestId": "x", "Success": False}, status)
