"""Faces of a topology from the .ply or .obj file that a data set comes with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import PTalkerError

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A .ply (text or binary) or .obj file -> vertices [V, 3] float64 in the file's order, faces [F, 4] int64, -1 pads.

    Faces of more than four corners become fans of triangles. Raises PTalkerError("data_missing" | "data_damaged").
    """
    if not path.is_file():
        raise PTalkerError("data_missing", f"The mesh file '{path}' does not exist.")
    try:
        vertices, polygons = _read_obj(path) if path.suffix.lower() == ".obj" else _read_ply(path)
        faces = _padded(polygons)
        if not len(vertices) or not len(faces) or faces.max() >= len(vertices) or faces[:, :3].min() < 0:
            raise ValueError("its faces name vertices that it does not have")
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise PTalkerError("data_damaged", f"'{path.name}' cannot be read as a mesh: {error}.") from error
    return vertices, faces


def _padded(polygons: list[list[int]]) -> np.ndarray:
    out: list[list[int]] = []
    for p in polygons:
        if len(p) == 3:
            out.append([*p, -1])
        elif len(p) == 4:
            out.append(list(p))
        else:
            out += [[p[0], p[i], p[i + 1], -1] for i in range(1, len(p) - 1)]
    return np.array(out, np.int64).reshape(-1, 4)


def _read_obj(path: Path) -> tuple[np.ndarray, list[list[int]]]:
    vertices: list[list[float]] = []
    polygons: list[list[int]] = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            vertices.append([float(w) for w in words[1:4]])
        elif words[:1] == ["f"]:
            corners = [int(w.split("/")[0]) for w in words[1:]]  # from 1; negative ones count from the end
            polygons.append([c - 1 if c > 0 else len(vertices) + c for c in corners])
    return np.array(vertices, np.float64).reshape(-1, 3), polygons


def _read_ply(path: Path) -> tuple[np.ndarray, list[list[int]]]:
    data = path.read_bytes()
    head, mark, body = data.partition(b"end_header")
    if not data.startswith(b"ply") or not mark:
        raise ValueError("it has no ply header")
    body = body[body.index(b"\n") + 1 :]
    kind = ""
    elements: list[tuple[str, int, list[list[str]]]] = []  # name, count, properties
    for words in (line.split() for line in head.decode("ascii").splitlines()):
        if words[:1] == ["format"]:
            kind = words[1]
        elif words[:1] == ["element"]:
            elements.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"]:
            elements[-1][2].append(words[1:])
    read = _Text(body) if kind == "ascii" else _Binary(body, ">" if kind == "binary_big_endian" else "<")
    vertices, polygons = np.zeros((0, 3)), []
    for name, count, properties in elements:
        names = [p[-1] for p in properties]
        if name == "vertex":
            table = read.table(count, [p[0] for p in properties])
            vertices = table[:, [names.index(axis) for axis in "xyz"]]
        else:
            rows = [[read.values(p) for p in properties] for _ in range(count)]
            if name == "face":
                column = next(i for i, n in enumerate(names) if n in ("vertex_indices", "vertex_index"))
                polygons = [[int(v) for v in row[column]] for row in rows]
    return vertices, polygons


class _Text:
    """The body of a text ply, word by word."""

    def __init__(self, body: bytes) -> None:
        self.words, self.at = body.split(), 0

    def table(self, count: int, types: list[str]) -> np.ndarray:
        part = self.words[self.at : self.at + count * len(types)]
        self.at += count * len(types)
        return np.array(part, np.float64).reshape(count, len(types))

    def values(self, declared: list[str]) -> list[float]:
        count = 1
        if declared[0] == "list":
            count = int(self.words[self.at])
            self.at += 1
        self.at += count
        return [float(w) for w in self.words[self.at - count : self.at]]


class _Binary:
    """The body of a binary ply, byte by byte."""

    def __init__(self, body: bytes, order: str) -> None:
        self.body, self.order, self.at = body, order, 0

    def table(self, count: int, types: list[str]) -> np.ndarray:
        dtype = np.dtype([(str(i), self.order + _TYPES[t]) for i, t in enumerate(types)])
        rows = np.frombuffer(self.body, dtype, count, self.at)
        self.at += rows.nbytes
        return np.stack([rows[str(i)].astype(np.float64) for i in range(len(types))], 1)

    def values(self, declared: list[str]) -> list[float]:
        count, kind = 1, declared[0]
        if kind == "list":
            count, kind = int(self._take(declared[1], 1)[0]), declared[2]
        return self._take(kind, count).tolist()

    def _take(self, kind: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.body, self.order + _TYPES[kind], count, self.at)
        self.at += values.nbytes
        return values
