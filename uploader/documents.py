"""Each answer as one JSON document, in the shapes of schema 1."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

from uploader.errors import Several, UploaderError

if TYPE_CHECKING:
    from uploader.api import (
        CacheListing,
        Cancelled,
        Cleared,
        Diagnosis,
        DiskUse,
        Identified,
        JobView,
        Listed,
        LoginResult,
        Removal,
        TokenResult,
        WebUIFacts,
        WebUISeen,
    )
    from uploader.profile import Provider, Target
    from uploader.result import Outcome, Report
    from uploader.sources import Hit
    from uploader.steps import Plan, Step

Document: TypeAlias = dict[str, object]

SCHEMA = 1


def of_report(report: Report) -> Document:
    return {"schema": SCHEMA, "ok": report.ok, "outcomes": [of_outcome(outcome) for outcome in report.outcomes]}


def of_plan(plan: Plan[Step]) -> Document:
    several = len({step.target for step in plan.steps}) > 1
    steps = [
        {
            **({"target": step.target} if several else {}),
            "source": step.source,
            "name": step.name,
            "kind": step.kind,
            "action": step.action,
            "route": step.route,
            "path": plan.shown(step),
            "size": step.size,
            "reason": "; ".join((step.reason, *step.warnings)),
        }
        for step in plan.steps
    ]
    return {"schema": SCHEMA, "plan": steps}


def of_error(error: UploaderError) -> Document:
    """Return the document of a command that ended before it had an answer."""
    return {"schema": SCHEMA, "ok": False, "error": _error(error)}


def of_failed_push(error: UploaderError) -> Document:
    """Return the document of a push, sync or pull that ended before its first item: no outcomes, and the error."""
    return {"schema": SCHEMA, "ok": False, "outcomes": [], "error": _error(error)}


def of_login(result: LoginResult) -> Document:
    facts = result.facts
    found = None if facts is None else {**_listed(asdict(facts)), "root": result.root, "free": result.free}
    return {
        "schema": SCHEMA,
        "ok": True,
        "target": asdict(result.target),
        "updated": result.updated,
        "found": found,
        "secrets": list(result.secrets),
        "keyring_error": _error(result.keyring_fault) if result.keyring_fault else None,
        "webui": _seen(result.webui) if result.webui else None,
    }


def _seen(seen: WebUISeen) -> Document:
    return {
        "found": _webui(seen.facts) if seen.facts else None,
        "error": _error(seen.fault) if seen.fault else None,
    }


def of_webui(facts: WebUIFacts) -> Document:
    files = [{**asdict(trouble), "kind": trouble.kind} for trouble in facts.problems]
    return {"schema": SCHEMA, "webui": _webui(facts), "files": files}


def _webui(facts: WebUIFacts) -> Document:
    return {
        "target": facts.target,
        "address": facts.address,
        "webuis": list(facts.webuis),
        "fits": facts.fits,
        "version": facts.version,
        "checkpoint": facts.checkpoint,
        "models": dict(facts.models),
        "folders": {kind: list(folders) for kind, folders in facts.folders.items()},
        "differences": [asdict(difference) for difference in facts.differences],
    }


def of_token(result: TokenResult) -> Document:
    return {
        "schema": SCHEMA,
        "ok": True,
        "source": result.service,
        "user": result.user,
        "checked": result.checked,
        "secrets": ["token"],
    }


def of_search(hits: Iterable[Hit]) -> Document:
    return {"schema": SCHEMA, "search": [asdict(hit) for hit in hits]}


def of_logout(removed: Iterable[str]) -> Document:
    return {"schema": SCHEMA, "ok": True, "removed": list(removed)}


def of_jobs(views: Iterable[JobView]) -> Document:
    return {"schema": SCHEMA, "jobs": [_job(view) for view in views]}


def of_cancelled(cancelled: Cancelled) -> Document:
    left = {} if cancelled.left is None else {"left": cancelled.left}
    return {"schema": SCHEMA, "ok": True, "cancelled": cancelled.record.id, "server_told": cancelled.there, **left}


def of_identified(found: Iterable[Identified]) -> Document:
    return {"schema": SCHEMA, "files": [_identified(one) for one in found]}


def _identified(one: Identified) -> Document:
    identity = one.identity
    return {
        "file": one.source,
        "container": identity.container if identity else None,
        "kind": identity.kind if identity else None,
        "architecture": identity.described if identity else None,
        "size": one.size,
        "complete": identity.complete if identity else None,
        "problems": list(one.problems) if one.error is None else [one.error.message],
    }


def of_targets(targets: Iterable[Target]) -> Document:
    return {"schema": SCHEMA, "targets": [asdict(target) for target in targets]}


def of_providers(providers: Iterable[Provider]) -> Document:
    return {"schema": SCHEMA, "providers": [_listed(asdict(provider)) for provider in providers]}


def _job(view: JobView) -> Document:
    record = view.record
    return {
        "job": record.id,
        "target": record.target,
        "source": record.source,
        "name": record.name,
        "kind": record.kind,
        "path": record.path,
        "size": record.size,
        "done": view.done,
        "state": view.state,
        "reason": view.reason,
        "began": _time(record.began),
    }


def of_cache(kept: CacheListing) -> Document:
    entries = [
        {
            "name": entry.name,
            "size": entry.size,
            "sha256": entry.sha256,
            "used": _time(entry.used),
            "state": entry.state,
        }
        for entry in kept.entries
    ]
    return {"schema": SCHEMA, "cache": entries, "limit": kept.limit, "total": kept.total}


def of_cleared(cleared: Cleared) -> Document:
    return {"schema": SCHEMA, "ok": not cleared.in_use, **_listed(asdict(cleared))}


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def of_change(outcome: Outcome) -> Document:
    """Return the document of one outcome: with `--watch --json` each change is one line."""
    return {"schema": SCHEMA, **of_outcome(outcome)}


def of_outcome(outcome: Outcome) -> Document:
    error = outcome.error
    return {
        "target": outcome.target,
        "source": outcome.source,
        "name": outcome.name,
        "kind": outcome.kind,
        "status": outcome.status,
        "route": outcome.route,
        "path": outcome.path,
        "size": outcome.size,
        "sha256": outcome.sha256,
        "evidence": outcome.evidence,
        "bytes_sent": outcome.bytes_sent,
        "resumed_from": outcome.resumed_from,
        "seconds": outcome.seconds,
        "webui": asdict(outcome.webui) if outcome.webui else None,
        "error": {"code": error.code, "message": error.message, "remedy": error.remedy} if error else None,
    }


def _error(error: UploaderError) -> Document:
    if not isinstance(error, Several):
        return {"code": error.code, "message": error.message, "remedy": error.remedy}
    codes = {fault.code for fault in error.faults}
    remedies = dict.fromkeys(fault.remedy for fault in error.faults if fault.remedy)
    code = codes.pop() if len(codes) == 1 else error.code
    return {"code": code, "message": error.message, "remedy": "\n".join(remedies) or None}


def _listed(fields: Document) -> Document:
    """Return the fields with sets sorted: a document has the same order in each run."""
    return {key: sorted(value) if isinstance(value, frozenset) else value for key, value in fields.items()}


def of_diagnosis(diagnosis: Diagnosis) -> Document:
    checks = [
        {"name": check.name, "state": check.state, "detail": check.detail, "remedy": check.remedy}
        for check in diagnosis.checks
    ]
    return {"schema": SCHEMA, "ok": diagnosis.ok, "target": diagnosis.target, "checks": checks}


def of_models(models: Sequence[Listed]) -> Document:
    return {"schema": SCHEMA, "files": [asdict(model) for model in models]}


def of_disk(use: DiskUse) -> Document:
    used = None if use.total is None or use.free is None else use.total - use.free
    kinds = {str(kind): bytes_ for kind, bytes_ in use.kinds.items()}
    return {"schema": SCHEMA, "free": use.free, "total": use.total, "used": used, "kinds": kinds}


def of_removals(removals: Sequence[Removal]) -> Document:
    return {
        "schema": SCHEMA,
        "ok": True,
        "removed": [{"path": removal.path, "size": removal.size, "shares": removal.shares} for removal in removals],
    }
