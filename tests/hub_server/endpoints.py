"""What the stand-in answers at each address of the Hub's interface: one function for each, with the `Handler`."""

import base64
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from .store import LARGE, LARGE_SUFFIXES, Blob, Commit, Refused

if TYPE_CHECKING:
    from .server import Handler

ORGANIZATIONS = ("org",)
DATE = "2026-01-01T00:00:00.000Z"
ROUTES: list[tuple[str, re.Pattern, Callable]] = []
NAME = r"(?P<name>[^/]+/[^/]+)"
API = rf"/api/(?P<kind>model|dataset)s/{NAME}"
REVISION = r"(?P<revision>[^/]+)"


def route(method: str, pattern: str) -> Callable:
    def keep(function: Callable) -> Callable:
        ROUTES.append((method, re.compile(pattern), function))
        return function

    return keep


@route("GET", "/api/whoami-v2")
def whoami(request: "Handler") -> None:
    if request.user is None:
        raise Refused(401, "", "no token")
    orgs = [{"type": "org", "name": name} for name in ORGANIZATIONS]
    token = {"accessToken": {"role": request.role, "displayName": "test"}}
    request.send_json({"type": "user", "name": request.user, "orgs": orgs, "auth": token})


@route("POST", "/api/repos/create")
def create(request: "Handler") -> None:
    asked = json.loads(request.body)
    if request.role != "write":
        raise Refused(403 if request.user else 401, "", "a token with write access is needed")
    owner = asked.get("organization") or request.user
    if owner not in (*ORGANIZATIONS, request.user):
        raise Refused(403, "", f"{owner} is not yours")
    kind = asked.get("type") or "model"
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    name = f"{owner}/{asked['name']}"
    answer = {"url": f"{request.server.url}/{'' if kind == 'model' else 'datasets/'}{name}", "name": name, "id": name}
    try:
        request.server.store.create(kind, name, private)
    except Refused as refused:
        request.send_json(answer | {"error": refused.message}, refused.status)
        return
    request.send_json(answer)


@route("DELETE", "/api/repos/delete")
def delete(request: "Handler") -> None:
    asked = json.loads(request.body)
    kind = asked.get("type") or "model"
    name = f"{asked.get('organization') or request.user}/{asked['name']}"
    request.repository(kind, name, write=True)
    del request.server.store.repositories[kind, name]
    request.send_json({})


@route("POST", "/api/validate-yaml")
def validate_yaml(request: "Handler") -> None:
    request.send_json({"errors": [], "warnings": []})


@route("GET", rf"{API}(/revision/{REVISION})?")
def info(request: "Handler", kind: str, name: str, revision: str = "main") -> None:
    repository = request.repository(kind, name)
    commit = repository.commit_at(revision)
    siblings = [{"rfilename": path} for path in sorted(commit.files)]
    request.send_json(
        {"_id": "0", "id": name, "sha": commit.sha, "private": repository.private, "siblings": siblings, "tags": []}
        | {"lastModified": DATE, "createdAt": DATE, "downloads": 0, "likes": 0, "gated": False, "disabled": False}
    )


@route("GET", rf"{API}/refs")
def refs(request: "Handler", kind: str, name: str) -> None:
    repository = request.repository(kind, name)
    branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": s} for n, s in repository.branches.items()]
    tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": s} for n, s in repository.tags.items()]
    request.send_json({"branches": branches, "tags": tags, "converts": []})


@route("GET", rf"{API}/commits/{REVISION}")
def commits(request: "Handler", kind: str, name: str, revision: str) -> None:
    history = request.repository(kind, name).history(revision)
    request.send_json([{"id": c.sha, "title": c.message, "message": "", "date": DATE, "authors": []} for c in history])


@route("POST", rf"{API}/(?P<what>branch|tag)/{REVISION}")
def name_revision(request: "Handler", kind: str, name: str, what: str, revision: str) -> None:
    repository = request.repository(kind, name, write=True)
    asked = json.loads(request.body or b"{}")
    if what == "branch":
        names, new, old = repository.branches, revision, asked.get("startingPoint", "main")
    else:
        names, new, old = repository.tags, asked["tag"], revision
    if new in names:
        raise Refused(409, "", f"{new} exists already")
    names[new] = repository.commit_at(old).sha
    request.send_json({})


def file_row(path: str, blob: Blob) -> dict:
    row = {"type": "file", "oid": blob.oid, "size": len(blob.data), "path": path}
    if blob.large:
        row["lfs"] = {"oid": blob.oid, "size": len(blob.data), "pointerSize": 134}
    return row


def folders(commit: Commit) -> set[str]:
    return {path.rsplit("/", depth)[0] for path in commit.files for depth in range(1, path.count("/") + 1)}


@route("GET", rf"{API}/tree/{REVISION}(/(?P<folder>.*))?")
def tree(request: "Handler", kind: str, name: str, revision: str, folder: str = "") -> None:
    commit = request.repository(kind, name).commit_at(revision)
    if folder and folder not in folders(commit):
        raise Refused(404, "EntryNotFound", folder)
    start = f"{folder}/" if folder else ""
    rows = [file_row(path, blob) for path, blob in sorted(commit.files.items())]
    rows += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders(commit))]
    rows = [row for row in rows if row["path"].startswith(start)]
    if request.query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
        rows = [row for row in rows if "/" not in row["path"].removeprefix(start)]
    request.send_json(rows)


@route("POST", rf"{API}/paths-info/{REVISION}")
def paths_info(request: "Handler", kind: str, name: str, revision: str) -> None:
    commit = request.repository(kind, name).commit_at(revision)
    if "json" in request.headers.get("Content-Type", ""):
        asked = json.loads(request.body)["paths"]
    else:
        asked = parse_qs(request.body.decode())["paths"]
    rows = [file_row(path, commit.files[path]) for path in asked if path in commit.files]
    known = folders(commit)
    request.send_json(rows + [{"type": "directory", "oid": "0" * 40, "path": path} for path in asked if path in known])


@route("POST", rf"{API}/preupload/{REVISION}")
def preupload(request: "Handler", kind: str, name: str, revision: str) -> None:
    commit = request.repository(kind, name, write=True).commit_at(revision)
    files = []
    for asked in json.loads(request.body)["files"]:
        path = asked["path"]
        large = asked["size"] >= LARGE or path.endswith(LARGE_SUFFIXES)
        oid = commit.files[path].oid if path in commit.files else None
        files.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid})
    request.send_json({"files": files, "commitOid": commit.sha})


@route("POST", rf"/(?P<kind>datasets/)?{NAME}\.git/info/lfs/objects/batch")
def large_files(request: "Handler", name: str, kind: str = "model") -> None:
    request.repository(kind.removesuffix("s/"), name, write=True)
    objects = []
    for asked in json.loads(request.body)["objects"]:
        actions = {
            "upload": {"href": f"{request.server.url}/large/{asked['oid']}", "header": {}},
            "verify": {"href": f"{request.server.url}/verify", "header": {}},
        }
        objects.append(asked | ({} if asked["oid"] in request.server.store.large else {"actions": actions}))
    request.send_json({"transfer": "basic", "objects": objects})


@route("PUT", "/large/(?P<oid>[0-9a-f]{64})")
def keep_large(request: "Handler", oid: str) -> None:
    request.server.store.keep_large(oid, request.body)
    request.send(b"", 200, {})


@route("POST", "/verify")
def verify(request: "Handler") -> None:
    asked = json.loads(request.body)
    data = request.server.store.large.get(asked["oid"])
    if data is None or len(data) != asked["size"]:
        raise Refused(404, "", "not uploaded")
    request.send_json({})


@route("POST", rf"{API}/commit/{REVISION}")
def commit(request: "Handler", kind: str, name: str, revision: str) -> None:
    repository = request.repository(kind, name, write=True)
    header, *operations = [json.loads(line) for line in request.body.splitlines()]
    for operation in operations:
        if operation["key"] == "file":
            operation["value"]["data"] = base64.b64decode(operation["value"]["content"])
    made = request.server.store.commit(
        repository, revision, header["value"]["summary"], header["value"].get("parentCommit"), operations
    )
    prefix = "" if kind == "model" else f"{kind}s/"
    url = f"{request.server.url}/{prefix}{name}/commit/{made.sha}"
    request.send_json({"success": True, "commitOid": made.sha, "commitUrl": url, "hookOutput": ""})


@route("GET", rf"/(?P<kind>datasets/)?{NAME}/resolve/{REVISION}/(?P<path>.+)")
def resolve(request: "Handler", name: str, revision: str, path: str, kind: str = "model") -> None:
    found = request.repository(kind.removesuffix("s/"), name).commit_at(revision)
    headers = {"X-Repo-Commit": found.sha, "Accept-Ranges": "bytes"}
    blob = found.files.get(path)
    if blob is None:
        gone = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", **headers}
        request.send_json({"error": "Entry not found"}, 404, gone)
        return
    if not blob.large:
        send_content(request, blob, headers | {"ETag": f'"{blob.oid}"'})
        return
    # The other host name is what makes clients keep the headers of this answer.
    place = f"http://localhost:{request.server.server_port}/large/{blob.oid}"
    linked = {"X-Linked-Size": str(len(blob.data)), "X-Linked-Etag": f'"{blob.oid}"', "Location": place}
    request.send(b"", 302, headers | linked)


@route("GET", "/large/(?P<oid>[0-9a-f]{64})")
def large(request: "Handler", oid: str) -> None:
    if oid not in request.server.store.large:
        raise Refused(404, "EntryNotFound", oid)
    send_content(request, Blob(request.server.store.large[oid], large=True), {"ETag": f'"{oid}"'})


def send_content(request: "Handler", blob: Blob, headers: dict[str, str]) -> None:
    """The content, or the range of it that was asked for."""
    data, status = blob.data, 200
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if asked:
        start, end = int(asked[1]), int(asked[2] or len(data) - 1)
        headers, status = headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"}, 206
        data = data[start : end + 1]
    request.send(data, status, headers)
