from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.world import App
from tests.servers.http_origin import Origin
from tests.servers.models import PRESETS, gguf, safetensors
from tests.servers.torch_files import Name, embedding, torch_zip, weights
from uploader.artifact import Kind
from uploader.documents import of_identified


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(environ={}, prompter=None, state=tmp_path / "state", ssh_folder=tmp_path, wait=lambda _seconds: False)


def test_identify_keeps_the_order_with_faults(app: App, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(safetensors("sdxl-lora"))
    (tmp_path / "b.pt").write_bytes(torch_zip({"hook": Name("os", "system")}, modern=True))
    (tmp_path / "c.safetensors").write_bytes(safetensors("vae")[:-1])
    names = ("a.safetensors", "not-there.safetensors", "b.pt", "c.safetensors")
    found = app.identify([str(tmp_path / name) for name in names])
    assert [Path(one.source).name for one in found] == list(names)
    files: Any = of_identified(found)["files"]
    lora, missing, evil, cut = files
    assert lora == {
        "file": str(tmp_path / "a.safetensors"),
        "container": "safetensors",
        "kind": "lora",
        "architecture": "sdxl",
        "size": (tmp_path / "a.safetensors").stat().st_size,
        "complete": True,
        "problems": [],
    }
    assert (missing["container"], missing["complete"], len(missing["problems"])) == (None, None, 1)
    assert "os.system" in evil["problems"][0]
    assert "AUTOMATIC1111" in evil["problems"][1]
    assert (cut["complete"], cut["kind"]) == (False, "vae")
    assert "cut short" in cut["problems"][0]


def test_identify_link_reads_a_few_ranges(app: App) -> None:
    large = {"state_dict": weights({"decoder.conv_in.weight": (1000, 4, 30, 30)})}
    files = {
        "/a.safetensors": (safetensors("checkpoint", size_bytes=5_000_000), Kind.CHECKPOINT),
        "/b.ckpt": (torch_zip(large), Kind.VAE),
        "/c.gguf": (gguf("flux", PRESETS["diffusion-model"]), Kind.DIFFUSION_MODEL),
        "/d.pt": (torch_zip(embedding()), Kind.EMBEDDING),
    }
    with Origin() as origin:
        for path, (content, _) in files.items():
            origin.serve(path, content)
        found = app.identify([origin.url(path) for path in files])
        read = sum(length for _, length in ranges(origin))
    assert [one.identity.kind if one.identity else None for one in found] == [kind for _, kind in files.values()]
    assert all(one.identity is not None and one.identity.complete for one in found)
    assert read < 2_500_000 < sum(len(content) for content, _ in files.values())


def ranges(origin: Origin) -> list[tuple[int, int]]:
    """Return start and length in bytes of every requested range."""
    asked = []
    for request in origin.requests:
        first, _, last = (request.range or "bytes=0-0").removeprefix("bytes=").partition("-")
        asked.append((int(first), int(last) - int(first) + 1))
    return asked
