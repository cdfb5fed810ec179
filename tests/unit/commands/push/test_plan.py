from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from uploader.artifact import Artifact, Digest, Kind, LocalFile, WebFile
from uploader.commands.push.plan import (
    Item,
    PlanOptions,
    PushStep,
    Reach,
    RemoteListing,
    choose_route,
    clashes,
    make_plan,
    settle_route,
)
from uploader.errors import Exists, NoPermission, NoSpace, NoSuchRoot, RemoteRefused, RouteUnavailable, UsageError
from uploader.result import Evidence
from uploader.state.manifest import PlacedFile
from uploader.steps import Action, Route

FOLDER = "models/Stable-diffusion"
LORAS = "models/Lora"
LOCAL = Artifact("dream.safetensors", "dream.safetensors", 1000, LocalFile(Path("/d"), 1), "0123abcd")
WEB = replace(LOCAL, source="https://x/dream", origin=WebFile("https://x/dream", '"v1"', ranges=True))
ITEM = Item(LOCAL, Kind.CHECKPOINT, LOCAL.name, Route.LOCAL, f"webui/{FOLDER}/{LOCAL.name}", FOLDER)

LINKED = replace(ITEM, artifact=WEB, route=Route.RELAY)
ABLE = Reach("curl")
UNABLE = Reach(None, "it has no curl")
NONE = PlanOptions()


def decide(
    listing: RemoteListing, options: PlanOptions = NONE, *, item: Item = ITEM, free: int | None = None
) -> PushStep:
    (step,) = make_plan([item], [listing], options, root="webui", free={} if free is None else {item.folder: free})
    return step


def refusal(step: PushStep, error: type[Exception]) -> str:
    assert step.action is Action.REFUSE
    assert isinstance(step.error, error)
    assert step.error.remedy
    assert step.reason == step.error.message
    assert step.bytes == 0
    return step.reason


# files on the server ----------------------------------------------------------------------------------


def test_plan_absent_item_is_sent() -> None:
    step = decide(RemoteListing())
    assert (step.action, step.reason, step.bytes, step.make) == (Action.SEND, "is not there yet", 1000, ())


def test_plan_part_of_earlier_run_is_resumed() -> None:
    step = decide(RemoteListing(part=800, claimed=600))
    assert (step.action, step.bytes) == (Action.RESUME, 400)
    assert "600 bytes of an earlier run" in step.reason


def test_part_without_record_counts_for_nothing() -> None:
    step = decide(RemoteListing(part=800))
    assert (step.action, step.bytes) == (Action.SEND, 1000)


def test_plan_record_without_part_is_ignored() -> None:
    assert decide(RemoteListing(claimed=600)).action is Action.SEND


def test_plan_file_of_same_size_is_compared() -> None:
    step = decide(RemoteListing(final=1000))
    assert (step.action, step.bytes, step.error) == (Action.COMPARE, 0, None)


def test_plan_compare_with_replace_counts_payload() -> None:
    step = decide(RemoteListing(final=1000), PlanOptions(replace=True))
    assert (step.action, step.bytes) == (Action.COMPARE, 1000)


def test_plan_file_of_other_size_is_refused() -> None:
    assert "999 bytes where this file has 1,000" in refusal(decide(RemoteListing(final=999)), Exists)


def test_file_of_another_size_is_replaced_when_allowed() -> None:
    step = decide(RemoteListing(final=999), PlanOptions(replace=True))
    assert (step.action, step.bytes, step.reason) == (Action.REPLACE, 1000, "takes the place of a file of 999 bytes")


@pytest.mark.parametrize("options", [PlanOptions(), PlanOptions(replace=True)])
def test_file_of_unknown_size_is_compared(options: PlanOptions) -> None:
    item = replace(ITEM, artifact=replace(WEB, size=None))
    step = decide(RemoteListing(final=999), options, item=item)
    assert (step.action, step.error, step.bytes) == (Action.COMPARE, None, 0)
    assert "once this one is downloaded" in step.reason


def test_refusal_about_one_item_is_its_own_error() -> None:
    refused = NoPermission("the folder may not be read", remedy="Ask its owner.")
    steps = make_plan(
        [ITEM, ITEM], [RemoteListing(error=refused), RemoteListing()], NONE, root="webui", free={FOLDER: 1000}
    )
    assert refusal(steps[0], NoPermission) == "the folder may not be read"
    assert steps[1].action is Action.SEND


@pytest.mark.parametrize("options", [PlanOptions(), PlanOptions(replace=True, mkdir=True)])
def test_plan_folder_at_the_name_is_refused(options: PlanOptions) -> None:
    assert "is a folder" in refusal(decide(RemoteListing(final=4096, final_is_folder=True), options), RemoteRefused)


# folders ----------------------------------------------------------------------------------------------


def test_plan_kind_folder_with_parent_is_created() -> None:
    step = decide(RemoteListing(missing=(FOLDER,)))
    assert (step.action, step.make) == (Action.SEND, (FOLDER,))
    assert step.reason == f"is not there yet; makes the folder {FOLDER}"


def test_plan_missing_root_is_refused() -> None:
    assert "the root webui is not there" in refusal(decide(RemoteListing(missing=("", "models", FOLDER))), NoSuchRoot)


def test_plan_missing_parent_is_refused() -> None:
    assert "nor the folder above it" in refusal(decide(RemoteListing(missing=("models", FOLDER))), NoSuchRoot)


@pytest.mark.parametrize("missing", [("models", FOLDER), ("", "models", FOLDER)])
def test_plan_mkdir_creates_all_missing_folders(missing: tuple[str, ...]) -> None:
    step = decide(RemoteListing(missing=missing), PlanOptions(mkdir=True))
    assert (step.action, step.make, step.error) == (Action.SEND, missing, None)


# space ------------------------------------------------------------------------------------------------


def test_plan_item_that_fits_exactly_is_sent() -> None:
    assert decide(RemoteListing(), free=1000).error is None


def test_plan_too_large_item_error_names_both_sizes() -> None:
    step = decide(RemoteListing(), free=999)
    assert step.action is Action.REFUSE
    assert isinstance(step.error, NoSpace)
    assert "needs 1,000 bytes" in step.reason
    assert "999 left" in step.reason


def test_plan_resumed_item_needs_space_for_the_rest() -> None:
    assert decide(RemoteListing(part=600, claimed=600), free=400).error is None
    assert decide(RemoteListing(part=600, claimed=600), free=399).error is not None


@pytest.mark.parametrize(
    ("listing", "options"),
    [
        (RemoteListing(part=800), NONE),
        (RemoteListing(part=800, claimed=100), NONE),
        (RemoteListing(part=800, final=999), PlanOptions(replace=True)),
        (RemoteListing(part=800, final=1000), PlanOptions(replace=True)),
    ],
)
def test_plan_leftover_part_counts_as_free_space(listing: RemoteListing, options: PlanOptions) -> None:
    assert decide(listing, options, free=200).error is None
    assert "needs 200 bytes" in refusal(decide(listing, options, free=199), NoSpace)


def test_part_longer_than_its_file_frees_no_space() -> None:
    steps = make_plan([ITEM, ITEM], [RemoteListing(part=5000), RemoteListing()], NONE, root="webui", free={FOLDER: 999})
    assert [step.action for step in steps] == [Action.SEND, Action.REFUSE]


def test_plan_compare_needs_no_space() -> None:
    assert decide(RemoteListing(final=1000), free=0).error is None


def test_plan_space_goes_to_first_item_and_smaller_ones() -> None:
    small = replace(ITEM, artifact=replace(LOCAL, size=100), path="webui/small")
    steps = make_plan([ITEM, ITEM, small], [RemoteListing()] * 3, PlanOptions(), root="webui", free={FOLDER: 1100})
    assert [step.action for step in steps] == [Action.SEND, Action.REFUSE, Action.SEND]


def test_plan_refused_item_needs_no_space() -> None:
    steps = make_plan(
        [ITEM, ITEM], [RemoteListing(final=1), RemoteListing()], PlanOptions(), root="webui", free={FOLDER: 1000}
    )
    assert [type(step.error) for step in steps] == [Exists, type(None)]


@pytest.mark.parametrize(
    ("free", "actions"),
    [
        pytest.param({FOLDER: 1500, LORAS: 1500}, [Action.SEND, Action.REFUSE], id="the-same-number-is-one-disk"),
        pytest.param({FOLDER: 1500, LORAS: 1501}, [Action.SEND, Action.SEND], id="another-number-is-another-disk"),
        pytest.param({FOLDER: 10, LORAS: 1000}, [Action.REFUSE, Action.SEND], id="a-full-disk-is-only-its-own-items'"),
        pytest.param({LORAS: 1000}, [Action.SEND, Action.SEND], id="a-disk-that-is-not-told-is-not-judged"),
    ],
)
def test_plan_space_is_counted_for_each_disk(free: dict[str, int], actions: list[Action]) -> None:
    lora = replace(ITEM, kind=Kind.LORA, folder=LORAS, path="webui/lora")
    assert [
        step.action for step in make_plan([ITEM, lora], [RemoteListing()] * 2, NONE, root="webui", free=free)
    ] == actions


def test_plan_unknown_space_refuses_nothing() -> None:
    assert decide(RemoteListing(), free=None).error is None


def test_plan_steps_keep_the_order_of_the_items() -> None:
    items = [replace(ITEM, path=f"webui/{n}") for n in range(5)]
    assert [
        step.item for step in make_plan(items, [RemoteListing()] * 5, PlanOptions(), root="webui", free={})
    ] == items


# routes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["auto", "local"])
def test_route_of_a_local_file_is_local(wanted: str) -> None:
    assert choose_route(LOCAL, wanted) is Route.LOCAL


def test_route_relay_of_a_local_file_is_refused() -> None:
    with pytest.raises(RouteUnavailable, match="nothing to relay"):
        choose_route(LOCAL, "relay")


@pytest.mark.parametrize("artifact", [LOCAL, replace(WEB, size=None)])
def test_route_server_is_not_for_local_or_unsized_files(artifact: Artifact) -> None:
    with pytest.raises(RouteUnavailable) as caught:
        choose_route(artifact, "server")
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def settled(wanted: str, reach: Reach, item: Item = LINKED, **options: bool) -> tuple[Route, str]:
    chosen = settle_route(item, wanted, reach, **options)
    return chosen.route, chosen.way


def test_route_server_is_taken_and_names_the_downloader() -> None:
    assert settled("auto", ABLE) == (Route.SERVER, "the server downloads it by itself with curl")
    assert settled("server", ABLE)[0] is Route.SERVER


def test_route_of_an_unable_server_tells_why() -> None:
    route, way = settled("auto", UNABLE)
    assert route is Route.RELAY
    assert "it has no curl" in way
    with pytest.raises(RouteUnavailable, match="it has no curl") as caught:
        settled("server", UNABLE)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("wanted", ["local", "relay"])
def test_route_that_was_asked_for_is_kept(wanted: str) -> None:
    assert settled(wanted, ABLE) == (Route.RELAY, "")


def test_verify_full_without_digest_goes_by_this_machine() -> None:
    assert settled("auto", ABLE, whole=True)[0] is Route.RELAY
    with pytest.raises(RouteUnavailable, match="--verify full"):
        settled("server", ABLE, whole=True)
    hashed = replace(LINKED, artifact=replace(WEB, digest=Digest("0" * 64)))
    assert settled("auto", ABLE, hashed, whole=True)[0] is Route.SERVER


@pytest.mark.parametrize(("item", "wanted"), [(None, "auto"), (ITEM, "auto"), (None, "relay")])
def test_detach_is_refused_for_what_this_machine_sends(item: Item | None, wanted: str) -> None:
    with pytest.raises(RouteUnavailable, match=r"cannot download|has to stay"):
        settle_route(item or LINKED, wanted, UNABLE, alone=True)


def test_server_download_sends_nothing_and_needs_space() -> None:
    fetched = replace(LINKED, route=Route.SERVER, way="with curl")
    step = decide(RemoteListing(), item=fetched, free=1000)
    assert (step.action, step.bytes, step.reason) == (Action.SEND, 0, "is not there yet; with curl")
    assert decide(RemoteListing(), item=fetched, free=999).error is not None
    assert decide(RemoteListing(final=9), PlanOptions(replace=True), item=fetched).bytes == 0
    assert decide(RemoteListing(final=1000), PlanOptions(replace=True), item=fetched).bytes == 0


def test_running_download_is_joined_and_ended_one_continued() -> None:
    fetched = replace(LINKED, route=Route.SERVER, way="with curl")
    step = decide(RemoteListing(part=600, job="running"), item=fetched)
    assert (step.action, step.error) == (Action.RESUME, None)
    assert "joins in" in step.reason
    step = decide(RemoteListing(part=600, job="left"), item=fetched)
    assert (step.action, step.reason) == (
        Action.RESUME,
        "the server goes on after 600 bytes of a download that ended; with curl",
    )
    whole = decide(RemoteListing(part=1000, job="left"), item=fetched, free=0)
    assert (whole.action, whole.reason) == (
        Action.RESUME,
        "the server has downloaded it: it is proven and gets its name",
    )
    assert decide(RemoteListing(part=600), item=fetched).action is Action.SEND


def test_route_auto_of_a_link_with_ranges_is_relay() -> None:
    assert choose_route(WEB, "auto") is Route.RELAY


@pytest.mark.parametrize(("size", "ranges"), [(None, True), (1000, False), (None, False)])
def test_link_without_ranges_goes_by_the_disk(size: int | None, ranges: bool) -> None:
    artifact = replace(WEB, size=size, origin=WebFile("https://x", None, ranges))
    assert choose_route(artifact, "auto") is Route.LOCAL


@pytest.mark.parametrize("wanted", ["local", "relay"])
def test_route_option_of_a_link_is_used(wanted: str) -> None:
    assert choose_route(replace(WEB, origin=WebFile("https://x", None, ranges=False)), wanted) is Route(wanted)


def test_route_relay_without_size_is_refused() -> None:
    with pytest.raises(RouteUnavailable, match="does not tell its size"):
        choose_route(replace(WEB, size=None), "relay")


# names ------------------------------------------------------------------------------------------------


def test_clashes_report_each_of_two_sources() -> None:
    rival = replace(ITEM, artifact=WEB)
    (mine, error), (theirs, same) = clashes([ITEM, replace(ITEM, path="webui/other"), rival])
    assert (mine, theirs, error) == (ITEM, rival, same)
    assert isinstance(error, UsageError)
    assert error.message == f"dream.safetensors and https://x/dream would both become {ITEM.path}"


def test_clashes_of_many_sources_have_a_short_message() -> None:
    found = clashes([replace(ITEM, artifact=replace(LOCAL, source=f"{n}/x")) for n in range(9)])
    assert len(found) == 9
    assert found[0][1].message == f"0/x, 1/x, 2/x, 3/x and 5 more would all become {ITEM.path}"


def test_clashes_of_different_names_are_none() -> None:
    assert clashes([ITEM, replace(ITEM, path="webui/other")]) == []


# what the manifest proves -----------------------------------------------------------------------------

KNOWN = PlacedFile(1000, "ab" * 32, mtime_ns=1, seen=50, origin=str(Path("/d")), evidence=Evidence.REMOTE_HASH)


def test_unchanged_file_is_kept_without_payload() -> None:
    step = decide(RemoteListing(final=1000, known=KNOWN))
    assert (step.action, step.bytes, step.space, step.listing.known) == (Action.KEEP, 0, 0, KNOWN)
    assert decide(RemoteListing(final=1000, known=KNOWN), PlanOptions(replace=True)).action is Action.KEEP


@pytest.mark.parametrize(
    "known",
    [
        None,
        replace(KNOWN, mtime_ns=2),
        replace(KNOWN, origin="/other"),
        replace(KNOWN, seen=None),
        replace(KNOWN, sha256=None),
        replace(KNOWN, evidence=None),
        replace(KNOWN, evidence=Evidence.SIZE),
        replace(KNOWN, evidence=Evidence.STRUCTURE),
    ],
)
def test_plan_file_without_manifest_proof_is_compared(known: PlacedFile | None) -> None:
    assert decide(RemoteListing(final=1000, known=known)).action is Action.COMPARE


def test_verify_full_compares_an_unchanged_file() -> None:
    assert decide(RemoteListing(final=1000, known=KNOWN), PlanOptions(verify="full")).action is Action.COMPARE


def test_only_the_recorded_sha256_keeps_a_file() -> None:
    for digest, action in (("ab" * 32, Action.KEEP), ("cd" * 32, Action.COMPARE)):
        item = replace(ITEM, artifact=replace(LOCAL, digest=Digest(digest)))
        assert decide(RemoteListing(final=1000, known=KNOWN), item=item).action is action


def test_link_is_compared_also_when_the_manifest_knows_it() -> None:
    assert decide(RemoteListing(final=1000, known=KNOWN), item=LINKED).action is Action.COMPARE
