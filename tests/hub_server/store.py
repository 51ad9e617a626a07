"""What a Hub remembers: repositories with commits, branches and tags, and large files by their checksum.

A commit is checked as a whole and becomes visible as a whole; until then the files of an upload belong to nobody.
"""

import hashlib
import itertools
import threading
from dataclasses import dataclass, field

LARGE = 10 * 1024 * 1024
LARGE_SUFFIXES = (".safetensors", ".parquet", ".png", ".bin")


class Refused(Exception):
    """A request that the Hub answers with an error status and, mostly, a code that its clients know."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Blob:
    """The content of one file; `large` ones are kept apart and addressed by sha256, others as git does."""

    data: bytes
    large: bool = False

    @property
    def oid(self) -> str:
        if self.large:
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


@dataclass(frozen=True)
class Commit:
    sha: str
    message: str
    parent: str | None
    files: dict[str, Blob]


@dataclass
class Repository:
    kind: str
    id: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit_at(self, revision: str) -> Commit:
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        if sha not in self.commits:
            raise Refused(404, "RevisionNotFound", f"no revision {revision} in {self.id}")
        return self.commits[sha]

    def history(self, revision: str) -> list[Commit]:
        """The commit of a revision and those before it, newest first."""
        found, sha = [], self.commit_at(revision).sha
        while sha is not None:
            found.append(self.commits[sha])
            sha = found[-1].parent
        return found


class Store:
    """All repositories of a Hub and its large files; every method may be called from any thread."""

    def __init__(self):
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._counter = itertools.count()

    def create(self, kind: str, name: str, private: bool) -> Repository:
        with self._lock:
            if (kind, name) in self.repositories:
                raise Refused(409, "", f"{name} exists already")
            repository = self.repositories[kind, name] = Repository(kind, name, private)
            self._add(
                repository, "main", "initial commit", None, {".gitattributes": Blob(b"*.safetensors filter=lfs\n")}
            )
            return repository

    def find(self, kind: str, name: str) -> Repository:
        if (kind, name) not in self.repositories:
            raise Refused(404, "RepoNotFound", f"no {kind} {name}")
        return self.repositories[kind, name]

    def keep_large(self, oid: str, data: bytes) -> None:
        """Keep an uploaded large file if it is whole."""
        if hashlib.sha256(data).hexdigest() != oid:
            raise Refused(400, "", f"content is not {oid}")
        self.large[oid] = data

    def commit(
        self, repository: Repository, branch: str, message: str, expected: str | None, operations: list[dict]
    ) -> Commit:
        """Add a commit to a branch; nothing of it is visible unless all operations can be done."""
        with self._lock:
            parent = repository.commit_at(branch)
            if branch not in repository.branches:
                raise Refused(400, "", f"{branch} is no branch")
            if expected is not None and not parent.sha.startswith(expected):
                raise Refused(412, "", f"{branch} has moved on to {parent.sha}")
            files = dict(parent.files)
            for operation in operations:
                self._apply(files, operation["key"], operation["value"])
            return self._add(repository, branch, message, parent.sha, files)

    def _apply(self, files: dict[str, Blob], key: str, value: dict) -> None:
        path = value["path"]
        if key == "file":
            files[path] = Blob(value["data"])
        elif key == "lfsFile":
            data = self.large.get(value["oid"])
            if data is None or len(data) != value["size"]:
                raise Refused(400, "", f"{path} was not uploaded")
            files[path] = Blob(data, large=True)
        elif key == "deletedFile":
            if path not in files:
                raise Refused(404, "EntryNotFound", path)
            del files[path]
        elif key == "deletedFolder":
            for name in [name for name in files if name.startswith(f"{path.rstrip('/')}/")]:
                del files[name]
        else:
            raise Refused(400, "", f"unknown operation {key}")

    def _add(
        self, repository: Repository, branch: str, message: str, parent: str | None, files: dict[str, Blob]
    ) -> Commit:
        seed = f"{repository.kind} {repository.id} {next(self._counter)}"
        commit = Commit(hashlib.sha1(seed.encode()).hexdigest(), message, parent, files)
        repository.commits[commit.sha] = commit
        repository.branches[branch] = commit.sha
        return commit
