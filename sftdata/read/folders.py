"""A folder as its owner means it: a saved Dataset or DatasetDict, a clone of a hub repository, or all its files."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sftdata.errors import SourceError, plural, pluralize
from sftdata.read.file_names import SUFFIXES, File, kind_of, why_skipped
from sftdata.read.not_data import MANIFEST, is_checkpoint, is_prepared, is_skipped_folder
from sftdata.read.readers.hub import local_splits
from sftdata.read.readers.open_files import open_unit
from sftdata.read.splits import Choice, first_names, may_be_for_tests, splits_by_name
from sftdata.remote.stores import is_url

Note = Callable[[str], None]
_PREPARED = "is a dataset that sftdata prepared, not raw data"


class _Entry(NamedTuple):
    """A data file, or the files of a saved Dataset or a repository, which stay together and in their order."""

    name: str
    files: list[File]


class Folder:
    """The files of a folder, local or on a store, and which of them are its data.

    `skipped` is what else is in it, and why it is not read.
    """

    def __init__(
        self, path: str, names: Sequence[str], choice: Choice, note: Note, skipped: Sequence[str] = ()
    ) -> None:
        self._path = path
        self._names: dict[str, list[str]] = {}  # folder, relative -> its files
        self._folders: dict[str, list[str]] = {}  # folder, relative -> its folders
        self._choice = choice
        self._note = note
        self._skipped: list[str] = [*skipped]
        self._is_dataset = False  # whether the folder itself is a saved Dataset, or a repository that names its files
        for name in sorted(names):
            if not any(is_skipped_folder(part) for part in name.split("/")[:-1]):
                self._add(name)

    def _add(self, name: str) -> None:
        folder = posixpath.dirname(name)
        if folder not in self._names:
            self._names[folder] = []
            child = folder
            while child:
                parent = posixpath.dirname(child)
                if child in self._folders.setdefault(parent, []):
                    break
                self._folders[parent].append(child)
                child = parent
        self._names[folder].append(posixpath.basename(name))

    def data_files(self) -> list[File]:
        """The data files, in order: by name, but those of a saved Dataset as its state.json lists them.

        Raises SourceError where there are none, or no such split; says by `note` what is not read.
        """
        entries = self._visit("")
        files = [file for entry in (entries if self._is_dataset else self._of_split(entries)) for file in entry.files]
        if not files:
            self._refuse_empty()
        if self._skipped:
            self._note(f"skipped {first_names(self._skipped)}")
        return files

    def _refuse_empty(self) -> None:
        number = sum(map(len, self._names.values()))
        if not number:
            raise SourceError(self._path, "matches no file", "check the path")
        what = "its only file cannot be read" if number == 1 else f"none of its {number:,} files can be read"
        what += " by sftdata"
        if self._skipped and any(kind_of(name) for names in self._names.values() for name in names):
            what = f"holds no data: it has only {first_names(self._skipped)}"
        raise SourceError(self._path, what, f"it reads {SUFFIXES}")

    def _visit(self, folder: str) -> list[_Entry]:
        """The entries of a folder and of those below it."""
        names = set(self._names.get(folder, ()))
        if MANIFEST in names and is_prepared(self._json(folder, MANIFEST)):
            return self._refuse_or_skip(folder, _PREPARED, "give the raw files that it was made from")
        if is_checkpoint(posixpath.basename(folder or self._path.rstrip("/")), names):
            return self._refuse_or_skip(folder, "is a checkpoint of a training run", "give the folder of the data")
        dataset = self._dataset(folder, names)
        if dataset is not None:
            self._is_dataset = not folder or self._is_dataset
            return [dataset]
        entries = []
        for base in self._names.get(folder, ()):
            name = posixpath.join(folder, base)
            what = why_skipped(base)
            if kind_of(base) and what is None:
                entries.append(_Entry(name, [File(self._at(name), name)]))
            elif what is not None and not base.startswith("."):
                self._skipped.append(f"{name} ({what})")
        for child in self._folders.get(folder, ()):
            entries += self._visit(child)
        return sorted(entries, key=lambda entry: entry.name)

    def _dataset(self, folder: str, names: set[str]) -> _Entry | None:
        """The wanted part of a folder with these files that is a whole by itself; None if it is none."""
        if "dataset_dict.json" in names:
            return self._saved_dict(folder)
        if "state.json" in names and "_data_files" in self._state(folder):
            return self._saved(folder)
        if "README.md" in names and not is_url(self._path) and self._has_configs(folder):
            return self._repository(folder)
        return None

    def _refuse_or_skip(self, folder: str, what: str, hint: str) -> list[_Entry]:
        """No entries: a folder below is skipped, the source itself is refused."""
        if not folder:
            raise SourceError(self._path, what, hint)
        self._skipped.append(f"{folder}/ ({what})")
        return []

    def _of_split(self, entries: list[_Entry]) -> list[_Entry]:
        """The entries of the wanted split, where names say which files are which split; else all of them.

        Train files alone are no sign of splits, unless a split is asked for: beside them, other files are data too.
        """
        splits = splits_by_name(entry.name for entry in entries)
        asked = self._choice.source.split is not None
        others = {split: names for split, names in splits.items() if split != self._choice.wanted}
        if not splits or (not others and not asked):
            self._say_together(splits, entries)
            return entries
        if self._choice.default == "test" and not asked and not splits.keys() & {"test", "train"}:
            return entries
        if self._choice.wanted not in splits:
            self._refuse_split(splits, [entry.name for entry in entries])
        chosen = set(self._choice.of(splits, self._path))
        left = [(entry.name, [split for split in others if entry.name in others[split]]) for entry in entries]
        unread = [f"{name} ({' and '.join(of) or 'no split'})" for name, of in left if name not in chosen]
        if unread:
            read = first_names([name for name, _ in left if name in chosen])
            self._note(f"the split {self._choice.wanted} is read ({read}), not {first_names(unread)}")
        return [entry for entry in entries if entry.name in chosen]

    def _refuse_split(self, splits: Mapping[str, list[str]], names: Sequence[str]) -> None:
        """Raise SourceError: no files are named for the wanted split. The hint names no split of another kind, such as
        test files to train on, where something else may be meant.
        """
        wanted, known = self._choice.wanted, [*splits]
        what = f"has files that are named for the split {known[0]} ({first_names(splits[known[0]])})"
        if len(known) > 1:
            what = f"has files that are named for the splits {first_names(known)}"
        inside = {name for members in splits.values() for name in members}
        outside = [name for name in names if name not in inside]
        alike = [split for split in known if split.startswith(wanted)]
        if self._choice.source.split is not None:
            hint = f"set split to one that it has: {', '.join(known)}"
        elif len(alike) == 1:
            hint = f"set split: {alike[0]} to read those, or name the files to read"
        elif alike:
            hint = f"set split to one of them, such as {' or '.join(alike)}, or name the files to read"
        elif outside:
            hint = f"to read what is named for no split ({first_names(outside)}), name it: {self._at(outside[0])}"
        elif len(known) == 1:
            hint = f"if these are the rows to use, set split: {known[0]}"
        else:
            hint = "set split to the one to use, or name the files to read, by a pattern such as *.jsonl"
        raise SourceError(self._path, f"{what}, and none for {wanted}", hint)

    def _say_together(self, splits: Mapping[str, list[str]], entries: Sequence[_Entry]) -> None:
        """Say which files are read together with others, where their names or those of the others may say that they
        are a split by themselves.
        """
        if self._choice.wanted != "train" or len(entries) < 2:
            return
        named = {name for members in splits.values() for name in members}
        others = [entry.name for entry in entries if entry.name not in named]
        for_tests = [name for name in others if may_be_for_tests(name)]
        if named and others:
            read = f"{first_names(sorted(named))} and {first_names(others)} are read together"
            self._note(f"{read}; to read only what is named for the split, set split: {self._choice.wanted}")
        elif for_tests:
            self._note(
                f"{first_names(for_tests)} may be for tests, and is read like the others; to leave files out, "
                "name those to read"
            )

    def _saved_dict(self, folder: str) -> _Entry:
        """The wanted split of a saved DatasetDict."""
        listed = self._json(folder, "dataset_dict.json")
        names = listed.get("splits") if isinstance(listed, Mapping) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SourceError(self._at(posixpath.join(folder, "dataset_dict.json")), "lists no splits", "save it again")
        chosen = self._choice.of({name: posixpath.join(folder, name) for name in names}, self._at(folder))
        if "state.json" not in self._names.get(chosen, ()):
            raise SourceError(self._at(chosen), "is listed in dataset_dict.json, but is not there", "save it again")
        if len(names) > 1:
            others = first_names([name for name in names if name != self._choice.wanted])
            self._note(f"{self._below(folder)}the split {self._choice.wanted} is read, not {others}")
        return self._saved(chosen)

    def _saved(self, folder: str) -> _Entry:
        """The files of a saved Dataset: those that its state.json lists, in that order, and no others."""
        state = self._state(folder)
        if self._choice.source.split is not None and state.get("_split") == self._choice.source.split:
            self._choice.split_used = True
        tables, indices = (self._listed(folder, state, key) for key in ("_data_files", "_indices_data_files"))
        indices += self._listed(folder, state, "_indices_files")
        where = posixpath.join(folder, "state.json")
        if not indices:
            return _Entry(where, [File(self._at(name), name) for name in tables])
        if is_url(self._path):
            hint = "copy the folder to the local disk"
            raise SourceError(self._at(folder), "has an indices file, which is read on local disks only", hint)
        paths, chosen = (tuple(map(self._at, names)) for names in (tables, indices))
        return _Entry(where, [File(self._at(where), where, paths, chosen)])

    def _listed(self, folder: str, state: Mapping[str, Any], key: str) -> list[str]:
        """The files under a key of state.json. Raises SourceError where one of them is not there."""
        try:
            names = [posixpath.join(folder, str(item["filename"])) for item in state.get(key) or ()]
        except (KeyError, TypeError) as error:
            where = self._at(posixpath.join(folder, "state.json"))
            raise SourceError(where, "is not the state of a saved Dataset", "save it again") from error
        for name in names:
            if posixpath.basename(name) not in self._names.get(posixpath.dirname(name), ()):
                raise SourceError(self._at(name), "is listed in state.json, but is not there", "copy it again")
        return names

    def _state(self, folder: str) -> Mapping[str, Any]:
        state = self._json(folder, "state.json")
        return state if isinstance(state, Mapping) else {}

    def _has_configs(self, folder: str) -> bool:
        """Whether a README names the files of its splits."""
        text = self._read(folder, "README.md").decode("utf-8", "replace").replace("\r\n", "\n")
        head, mark, _ = text.removeprefix("\ufeff")[3:].partition("\n---")
        return text.removeprefix("\ufeff").startswith("---") and bool(mark) and "\nconfigs:" in head

    def _repository(self, folder: str) -> _Entry:
        """The files of the wanted split and subset of a clone of a hub repository, as its README says."""
        where = self._at(folder)
        by_split, subset, others = local_splits(where, self._choice.source)
        self._choice.subset_used = True
        paths = self._choice.of(by_split, where)
        self._say_left(folder, by_split, subset, others)
        files = []
        for path in paths:
            name = posixpath.relpath(path, self._path) if not is_url(path) else posixpath.basename(path)
            if kind_of(name) is None:
                raise SourceError(path, "has a suffix that sftdata cannot read", f"it reads {SUFFIXES}")
            files.append(File(path, name))
        return _Entry(posixpath.join(folder, "README.md"), files)

    def _say_left(self, folder: str, by_split: Mapping[str, list[str]], subset: str, others: Sequence[str]) -> None:
        """Say what of a clone is not read: other splits and subsets, and data files that belong to none of the splits
        of this subset.
        """
        wanted = self._choice.wanted
        left = [
            f"the split {split} ({pluralize(len(paths), 'file')})"
            for split, paths in by_split.items()
            if split != wanted
        ]
        if others:
            left.append(f"the {plural('subset', len(others))} {first_names(others)}")
        named = {path for paths in by_split.values() for path in paths}
        data = [
            posixpath.join(at, base)
            for at, bases in self._names.items()
            for base in bases
            if f"{at}/".startswith(f"{folder}/" if folder else "") and kind_of(base)
        ]
        loose = [name for name in data if self._at(name) not in named and why_skipped(name) is None]
        if loose:
            left.append(f"{pluralize(len(loose), 'other file')} ({first_names(sorted(loose))})")
        if left:
            what = f"the split {wanted}" + (f" of the subset {subset}" if others else "")
            self._note(f"{self._below(folder)}{what} is read; not read: {'; '.join(left)}")

    def _at(self, name: str) -> str:
        return posixpath.join(self._path, name) if name else self._path

    def _below(self, folder: str) -> str:
        """A folder below the source, for notes; nothing for the source itself."""
        return f"{folder}: " if folder else ""

    def _json(self, folder: str, base: str) -> Any:
        try:
            return json.loads(self._read(folder, base))
        except ValueError:
            return None

    def _read(self, folder: str, base: str) -> bytes:
        name = posixpath.join(folder, base)
        with open_unit(self._at(name), name, None) as reader:
            return reader.read()
