"""Every form in which people paste a model, and what it names."""

from __future__ import annotations

import pytest

from uploader.errors import ReferenceInvalid
from uploader.reference import (
    CivitaiReference,
    GitHubReference,
    HuggingFaceReference,
    ModelScopeReference,
    Reference,
    UrlReference,
    parse,
)

C, H, G, M = CivitaiReference, HuggingFaceReference, GitHubReference, ModelScopeReference

CIVITAI = {
    "https://civitai.com/models/4384": C(4384),
    "https://civitai.com/models/4384/dreamshaper": C(4384),
    "https://civitai.com/models/4384/dreamshaper?modelVersionId=128713": C(4384, 128713),
    "https://civitai.com/models/4384?version=128713#gallery": C(4384, 128713),
    "https://www.civitai.com/models/4384": C(4384),
    "https://civitai.red/models/4384?modelVersionId=128713": C(4384, 128713),
    "https://www.civitai.green/models/4384": C(4384),
    "HTTPS://Civitai.com/models/4384": C(4384),
    "http://civitai.com/models/4384": C(4384),
    "civitai.com/models/4384?modelVersionId=128713": C(4384, 128713),
    "https://civitai.com/model-versions/128713": C(None, 128713),
    "https://civitai.com/api/v1/models/4384": C(4384),
    "https://civitai.com/api/v1/model-versions/128713": C(None, 128713),
    "https://civitai.com/api/v1/model-versions/mini/128713?modelFileId=9": C(None, 128713, 9),
    "https://civitai.com/api/download/models/128713": C(None, 128713),
    "https://civitai.com/api/download/models/128713?fileId=77&token=SECRET": C(None, 128713, 77),
    "https://civitai.com/api/download/models/128713?token=SECRET&type=Model&format=SafeTensor&fp=fp16": C(
        None, 128713, None, (("type", "Model"), ("format", "SafeTensor"), ("fp", "fp16"))
    ),
    "civitai:4384": C(4384),
    "civitai:4384@128713": C(4384, 128713),
    "CIVITAI:4384@128713+99": C(4384, 128713, 99),
    "civitai:4384+99": C(4384, None, 99),
    "civitai:@128713": C(None, 128713),
    "civitai:@128713?type=Pruned+Model": C(None, 128713, None, (("type", "Pruned Model"),)),
    "urn:air:sd1:checkpoint:civitai:4384@128713": C(4384, 128713),
    "urn:air:sd1:checkpoint:civitai:4384@128713+99": C(4384, 128713, 99),
    "urn:air:sd1:lora:civitai:4384@128713.safetensor": C(4384, 128713, None, (("format", "safetensor"),)),
    "air:flux1:lora:civitai:4384": C(4384),
    "sdxl:lora:civitai:4384@128713": C(4384, 128713),
    "air:civitai:4384@128713": C(4384, 128713),
    "civitai:4384@128713.ckpt": C(4384, 128713, None, (("format", "ckpt"),)),
    "urn:air:sd1:model:civitai:4384@128713:main": C(4384, 128713),
}

HUGGING_FACE = {
    "hf://org/repo": H("org/repo"),
    "hf://org/repo@v1": H("org/repo", "v1"),
    "hf://org/repo/a/b.safetensors": H("org/repo", None, "a/b.safetensors"),
    "hf://org/repo@refs/pr/3/b.safetensors": H("org/repo", "refs/pr/3", "b.safetensors"),
    "hf://org/repo@refs%2Fpr%2F3/b.safetensors": H("org/repo", "refs/pr/3", "b.safetensors"),
    "HF://datasets/org/repo/x.pt": H("org/repo", None, "x.pt", "dataset"),
    "hf://spaces/org/repo/x.pt": H("org/repo", None, "x.pt", "space"),
    "hf://models/org/repo/x.pt": H("org/repo", None, "x.pt"),
    "hf://models/org/repo@v1/a/x.pt": H("org/repo", "v1", "a/x.pt"),
    "hf://models/org/repo": H("org/repo"),
    "hf://buckets/org/repo": H("org/repo", None, None, "bucket"),
    "hf://buckets/org/repo/a/x.pt": H("org/repo", None, "a/x.pt", "bucket"),
    "hf://buckets/org/repo/main/x%20y.pt": H("org/repo", None, "main/x y.pt", "bucket"),
    "hf://buckets/org/repo/resolve/a/x.pt?download=true": H("org/repo", None, "a/x.pt", "bucket"),
    "https://huggingface.co/buckets/org/repo": H("org/repo", None, None, "bucket"),
    "https://huggingface.co/buckets/org/repo/resolve/a/x%20y.pt?download=true": H(
        "org/repo", None, "a/x y.pt", "bucket"
    ),
    "https://huggingface.co/buckets/org/repo/resolve/a%2Fx.pt": H("org/repo", None, "a/x.pt", "bucket"),
    "hf.co/buckets/org/repo/blob/x.pt": H("org/repo", None, "x.pt", "bucket"),
    "https://huggingface.co/buckets/org/repo/tree": H("org/repo", None, None, "bucket"),
    "https://huggingface.co/buckets/org/repo/tree/a/b": H("org/repo", None, "a/b/", "bucket"),
    "hf://org/repo/blob/main/a/x.pt": H("org/repo", "main", "a/x.pt"),
    "hf://org/repo/resolve/main/x.pt?download=true": H("org/repo", "main", "x.pt"),
    "hf://datasets/org/repo/resolve/refs%2Fpr%2F1/x.pt": H("org/repo", "refs/pr/1", "x.pt", "dataset"),
    "hf://models/org/repo/raw/v1/x.pt": H("org/repo", "v1", "x.pt"),
    "hf://org/repo/tree/main": H("org/repo", "main"),
    "hf://org/repo/tree/main/vae": H("org/repo", "main", "vae/"),
    "hf://huggingface.co/org/repo/blob/main/x.pt": H("org/repo", "main", "x.pt"),
    "hf://org/repo/raw/x.pt": H("org/repo", None, "raw/x.pt"),
    "hf://org/repo@v1/blob/main/x.pt": H("org/repo", "v1", "blob/main/x.pt"),
    "hf://org/repo/%62lob/main/x.pt": H("org/repo", None, "blob/main/x.pt"),
    "https://huggingface.co/org/repo": H("org/repo"),
    "https://huggingface.co/org/repo/": H("org/repo"),
    "https://huggingface.co/org/repo/tree/main": H("org/repo", "main"),
    "https://huggingface.co/org/repo/tree/main/vae": H("org/repo", "main", "vae/"),
    "https://huggingface.co/org/repo/blob/main/a%20b.safetensors": H("org/repo", "main", "a b.safetensors"),
    "https://huggingface.co/org/repo/resolve/main/x.safetensors?download=true": H("org/repo", "main", "x.safetensors"),
    "https://huggingface.co/org/repo/raw/abc123/x.pt": H("org/repo", "abc123", "x.pt"),
    "https://huggingface.co/org/repo/blame/main/x.pt": H("org/repo", "main", "x.pt"),
    "https://huggingface.co/datasets/org/repo/resolve/refs%2Fpr%2F1/x.pt": H(
        "org/repo", "refs/pr/1", "x.pt", "dataset"
    ),
    "https://huggingface.co/org/repo/resolve/refs/pr/1/x.pt": H("org/repo", "refs/pr/1", "x.pt"),
    "https://hf.co/org/repo/blob/main/x.pt": H("org/repo", "main", "x.pt"),
    "huggingface.co/org/repo/blob/main/x.pt": H("org/repo", "main", "x.pt"),
    "hf.co/org/repo": H("org/repo"),
    "https://huggingface.co/gpt2/resolve/main/model.safetensors": H("gpt2", "main", "model.safetensors"),
    "urn:air:sdxl:vae:huggingface:org/repo": H("org/repo"),
    "urn:air:sdxl:vae:huggingface:org/repo-1.0@main/a/x.safetensors": H("org/repo-1.0", "main", "a/x.safetensors"),
    "air:sdxl:vae:huggingface:org/repo@main+x.safetensors": H("org/repo", "main", "x.safetensors"),
}

OTHERS: dict[str, Reference] = {
    "https://github.com/o/r/releases/download/v1.0/a.pth": G("o", "r", "v1.0", "a.pth"),
    "https://github.com/o/r/releases/download/v1%2E0/a%20b.pth": G("o", "r", "v1.0", "a b.pth"),
    "https://github.com/o/r/releases/download/x/y/a.pth": G("o", "r", "x/y", "a.pth"),
    "https://github.com/o/r/releases/latest/download/a.pth": G("o", "r", None, "a.pth"),
    "https://github.com/o/r/releases/tag/v1.0": G("o", "r", "v1.0"),
    "github.com/o/r/releases": G("o", "r"),
    "https://github.com/o/r/releases/latest": G("o", "r"),
    "https://github.com/o/r/raw/main/a.pth": UrlReference("https://github.com/o/r/raw/main/a.pth"),
    "https://modelscope.cn/models/o/n": M("o/n"),
    "https://www.modelscope.cn/models/o/n/files": M("o/n"),
    "https://www.modelscope.ai/models/o/n/resolve/master/a/b.safetensors": M("o/n", "master", "a/b.safetensors", "ai"),
    "https://modelscope.cn/models/o/n/file/view/master/b.safetensors?status=2": M("o/n", "master", "b.safetensors"),
    "https://modelscope.cn/api/v1/models/o/n/repo?Revision=v1&FilePath=a%2Fb.pt": M("o/n", "v1", "a/b.pt"),
    "https://modelscope.cn/models/o/n/tree/master/a": M("o/n", "master", "a/"),
    "https://b2.civitai.com/file/x?token=y": UrlReference("https://b2.civitai.com/file/x?token=y"),
    "https://civitai.com:8443/models/1": UrlReference("https://civitai.com:8443/models/1"),
    "https://notcivitai.com/models/1": UrlReference("https://notcivitai.com/models/1"),
}

ALL: dict[str, Reference] = {**CIVITAI, **HUGGING_FACE, **OTHERS}


@pytest.mark.parametrize("text", ALL)
def test_parse_of_each_form_is_written_back(text: str) -> None:
    reference = parse(text)
    assert reference == ALL[text]
    assert parse(str(reference)) == reference


@pytest.mark.parametrize("text", [text for text in ALL if "SECRET" in text])
def test_parse_drops_a_token_in_a_link(text: str) -> None:
    reference = parse(text)
    assert "SECRET" not in f"{reference} {reference!r}"


@pytest.mark.parametrize(
    "text",
    [
        "https://civitai.com/",
        "https://civitai.com/images/1",
        "https://civitai.com/user/somebody",
        "https://civitai.com/models/none",
        "https://civitai.com/api/download/models/12?fileId=x",
        "https://civitai.com/api/download/models/12?format=%00",
        "civitai:",
        "civitai:+3",
        "civitai:0",
        "civitai:12@",
        "civitai:@12?what=else",
        "urn:air:sd1:lora:orchestrator:12@3",
        "urn:air:sd1:lora:civitai-r2:12@3",
        "urn:air:sd1",
        "https://huggingface.co/",
        "https://huggingface.co/somebody",
        "https://huggingface.co/docs/hub",
        "https://huggingface.co/org/repo/resolve/main",
        "https://huggingface.co/org/repo/discussions/3",
        "https://huggingface.co/org/repo/blob/main/../x",
        "hf://repo",
        "hf://org/repo@",
        "hf://org/repo/a//b",
        "hf://org/../x",
        "hf://org/repo/a?b",
        "hf://models/gpt2",
        "hf://model/org/repo/x.pt",
        "hf://bucket/org/name/x.pt",
        "hf://kernels/org/name/x.pt",
        "hf://buckets/org",
        "hf://buckets/org/name@v1/x.pt",
        "hf://org/repo/blob/main/../x",
        "https://huggingface.co/buckets/org/name/resolve",
        "https://huggingface.co/buckets/org/name/settings",
        "https://huggingface.co/kernels/org/name",
        "air:sdxl:vae:huggingface:datasets/org",
        "https://modelscope.cn/datasets/o/n",
        "https://modelscope.cn/models/o/n/resolve/master",
    ],
)
def test_parse_of_a_page_without_a_model_has_a_remedy(text: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hf://dataset/org/repo/x.pt", "hf://datasets/"),
        ("hf://bucket/org/name/x.pt", "hf://buckets/"),
        ("hf://buckets/org/name@v1/x.pt", "a bucket of Hugging Face has no revisions"),
        ("hf://kernels/org/name/x.pt", "a kernel of Hugging Face is code"),
        ("https://huggingface.co/kernels/org/name", "a kernel of Hugging Face is code"),
    ],
)
def test_parse_other_type_says_what_it_is(text: str, says: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse(text)
    assert says in f"{caught.value.message} {caught.value.remedy}"


def test_parse_of_a_lone_number_asks_for_both_forms() -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse("128713")
    remedy = caught.value.remedy or ""
    assert "civitai:128713" in remedy
    assert "civitai:@128713" in remedy
