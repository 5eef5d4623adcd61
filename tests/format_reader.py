"""Reads an index by what docs/format.md says, and by nothing else: no line of
the program was looked at for it. `python3 tests/format_reader.py DOCKET NODES` prints one
JSON object for each entry, each run record and each row of what a run moved away.

Whatever the document says a reader must check is checked; anything odd ends it
with a message and exit code 1.
"""

import json
import struct
import sys

MASK32 = (1 << 32) - 1
MASK64 = (1 << 64) - 1


class Malformed(Exception):
    pass


def require(truth, what):
    if not truth:
        raise Malformed(what)


# --- BLAKE3: the specification's compression function and tree, hash and derive_key.

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, CONTEXT, MATERIAL = 1, 2, 4, 8, 32, 64
MIXED = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


def compress(chaining, words, counter, length, flags):
    v = list(chaining) + list(IV[:4]) + [counter & MASK32, counter >> 32, length, flags]
    for number in range(7):
        for at, (a, b, c, d) in enumerate(MIXED):
            x = (v[a] + v[b] + words[2 * at]) & MASK32
            y = v[d] ^ x
            y = (y >> 16 | y << 16) & MASK32
            z = (v[c] + y) & MASK32
            w = v[b] ^ z
            w = (w >> 12 | w << 20) & MASK32
            x = (x + w + words[2 * at + 1]) & MASK32
            y ^= x
            y = (y >> 8 | y << 24) & MASK32
            z = (z + y) & MASK32
            w ^= z
            v[a], v[b], v[c], v[d] = x, (w >> 7 | w << 25) & MASK32, z, y
        if number < 6:
            words = [words[at] for at in PERMUTATION]
    return [v[at] ^ v[at + 8] for at in range(8)]


def words_of(block):
    return struct.unpack("<16I", block.ljust(64, b"\0"))


def blake3(data, context=None):
    """32 bytes; in key-derivation mode when there is a context."""
    key, flags = IV, 0
    if context is not None:
        key, flags = struct.unpack("<8I", hash_with(IV, context.encode(), CONTEXT)), MATERIAL
    return hash_with(key, data, flags)


def hash_with(key, data, flags):
    def subtree(first, end, root):
        if end - first == 1:
            chunk = data[1024 * first : 1024 * (first + 1)]
            chaining = key
            blocks = [chunk[at : at + 64] for at in range(0, len(chunk), 64)] or [b""]
            for at, block in enumerate(blocks):
                mine = flags | (CHUNK_START if at == 0 else 0)
                if at == len(blocks) - 1:
                    mine |= CHUNK_END | root
                chaining = compress(chaining, words_of(block), first, len(block), mine)
            return chaining
        left = 1 << (end - first - 1).bit_length() - 1
        below = subtree(first, first + left, 0) + subtree(first + left, end, 0)
        return compress(key, below, 0, 64, flags | PARENT | root)

    return struct.pack("<8I", *subtree(0, max(1, -(-len(data) // 1024)), ROOT))


# --- What everything is made of.


class Bytes:
    """Bytes, read from the front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(count <= len(self.data) - self.at, "bytes are missing")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def is_empty(self):
        return self.at == len(self.data)

    def end(self, what):
        require(self.is_empty(), f"bytes are left over in {what}")

    def u8(self):
        return self.take(1)[0]

    def fixed(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def leb(self):
        value, shift = 0, 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                require(value <= MASK64 and not (byte == 0 and shift > 0), "a LEB that is too long")
                return value
            shift += 7

    def difference(self, near):
        """LEB difference to `near`, modulo 2^64."""
        zigzag = self.leb()
        return (near + (zigzag >> 1 ^ -(zigzag & 1))) & MASK64

    def bincode_u(self):
        first = self.u8()
        if first < 251:
            return first
        require(first <= 253, "a number of an unknown width")
        return self.fixed({251: "H", 252: "I", 253: "Q"}[first])[0]

    def bincode_i(self):
        zigzag = self.bincode_u()
        return zigzag >> 1 ^ -(zigzag & 1)

    def bincode_bool(self):
        value = self.u8()
        require(value <= 1, "a bool that is neither")
        return value == 1

    def slice(self):
        return Bytes(self.take(self.bincode_u()))


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def numbers(data, count, near):
    """A column of `count` numbers."""
    if count == 0:
        return []
    form = data.u8()
    base = data.difference(near) if form & 0x80 else near
    form &= 0x7F
    if form <= 64:
        packed = int.from_bytes(data.take((form * count + 7) // 8), "little")
        require(packed >> form * count == 0, "bits are left over in a column")
        mask = (1 << form) - 1
        return [(base + (packed >> form * at & mask)) & MASK64 for at in range(count)]
    if form == 65:
        return [(base + data.leb()) & MASK64 for _ in range(count)]
    require(form == 66, "a column of an unknown form")
    values = []
    for _ in range(count):
        base = data.difference(base)
        values.append(base)
    return values


def read_names(data, count, allow_slashes=False):
    """Names one by one: whoever reads them takes what stands behind each."""
    before = b""
    for at in range(count):
        lengths = data.u8()
        shared, rest = lengths >> 4, lengths & 15
        if shared == 15:
            shared += data.leb()
        if rest == 15:
            rest += data.leb()
        require(shared <= len(before) and (at > 0 or shared == 0), "a name shares too much")
        name = before[:shared] + data.take(rest)
        if not allow_slashes:
            require(at == 0 or name > before, "names are not in order")
            require(1 <= len(name) <= 4096 and b"/" not in name, "a name of a wrong length, or with a slash")
            require(b"\0" not in name and name not in (b".", b".."), "a forbidden name")
        before = name
        yield name


# --- The node file.

UNSETTLED = 1 << 62
SCRATCH = 1 << 63
KINDS = ("file", "file", "dir", "symlink", "special", "mount")


class Nodes:
    def __init__(self, data, docket):
        self.data = data
        self.committed = docket["committed length"]
        require(len(data) >= self.committed, "the node file is shorter than was committed")
        header = data[:64]
        require(header[:8] == b"tfNOD\r\n\x1a", "no node file")
        require(struct.unpack("<H", header[8:10])[0] == 1, "a node file of another format")
        require(header[16:32] == docket["data id"], "the node file of another docket")
        require(blake3(header[:48])[:16] == header[48:64], "the header of the node file is damaged")
        self.kinds = set()

    def record(self, offset, length, digest):
        require(64 <= offset and offset + length <= self.committed, "a pointer to nowhere")
        require(length <= 64 << 20, "a record that is too long")
        data = self.data[offset : offset + length]
        require(blake3(data, "treeferry 2026 node v1")[:16] == digest, f"the record at {offset} is damaged")
        record = Bytes(data)
        kind = record.u8()
        self.kinds.add(kind)
        return kind, record

    def directory(self, pointer):
        """Attributes, entries (dictionaries), sums, as stored."""
        offset, length, digest, content = pointer
        require(not offset & SCRATCH, "a pointer into a scratch file")
        kind, record = self.record(offset & ~UNSETTLED, length, digest)
        require(kind in (1, 2), "this is no directory")
        if kind == 1:
            count = record.bincode_u()
            head = Head(record)
            entries = columns(record, count, head)
            pages = []
        else:
            slices = record.slice()
            head = Head(slices)
            slices.end("the head of a directory")
            count = record.bincode_u()
            pages, extra = record.slice(), record.slice()
            skip_extra(extra)
            entries = self.pages(pages, count)
        record.end("a directory")
        unsettled = bool(head.marks & 2)
        require(unsettled == bool(offset & UNSETTLED), "the marks of a pointer and of its directory differ")
        if head.sums is None:
            require(kind == 1 and not any(entry["type"] == "dir" for entry in entries), "sums are missing")
            files = [entry for entry in entries if entry["type"] == "file"]
            head.sums = (len(files), 0, sum(entry["size"] for entry in files) & MASK64)
        require(content_hash(entries) == content, "C of a directory is wrong")
        return head, entries

    def pages(self, pages, count):
        entries, before = [], 0
        while not pages.is_empty():
            before = pages.difference(before)
            length, digest, page_count = pages.leb(), pages.take(16), pages.leb()
            kind, record = self.record(before, length, digest)
            require(kind == 3, "this is no page")
            require(record.bincode_u() == page_count, "a page of another number of entries")
            page = columns(record, page_count, None)
            require(not entries or entries[-1]["name"] < page[0]["name"], "pages are not in order")
            ends = [at for at in range(63, page_count) if blake3(page[at]["name"])[0] == 0]
            require(page_count <= 1024 and (not ends or ends[0] == page_count - 1), "a page that ends elsewhere")
            entries += page
        require(len(entries) == count, "pages hold another number of entries")
        return entries


class Head:
    def __init__(self, data):
        self.marks = data.u8()
        self.mtime = (signed(data.difference(0)), data.fixed("I")[0])
        self.ctime = self.mtime
        if not self.marks & 0x80:
            self.ctime = (signed(data.difference(self.mtime[0])), data.fixed("I")[0])
        require(max(self.mtime[1], self.ctime[1]) < 10**9, "too many nanoseconds")
        self.inode, self.mode, self.uid, self.gid = (data.leb() for _ in range(4))
        self.sums = None if self.marks & 0x40 else tuple(data.leb() for _ in range(3))


def skip_extra(extra):
    while not extra.is_empty():
        extra.u8()
        extra.take(extra.leb())


def columns(data, count, head):
    """The entries of a directory of kind 1 (with its head) or of a page."""
    tags = numbers(data, count, 0)
    kinds = [tag & 7 for tag in tags]
    require(all(kind <= 5 for kind in kinds), "an entry of an unknown kind")
    owner = (head.uid, head.gid) if head else (0, 0)
    permissions = []
    others = [tag for tag in tags if tag & 7 != 2]
    for _ in range(max((tag >> 5 for tag in others), default=-1) + 1):
        mode = data.leb()
        owner = (data.difference(owner[0]), data.difference(owner[1]))
        permissions.append((mode, *owner))
    flags = iter(data.take(sum(1 for tag in tags if tag & 16)))
    far = sum(1 for tag in others if not tag & 8)
    near_mtime, near_ctime = (head.mtime[0], head.ctime[0]) if head else (0, 0)
    sizes = iter(numbers(data, len(others), 0))
    mtimes = iter(numbers(data, len(others), near_mtime & MASK64))
    mtime_nanoseconds = iter(numbers(data, len(others), 0))
    ctimes = iter(numbers(data, far, near_ctime & MASK64))
    ctime_nanoseconds = iter(numbers(data, far, 0))
    inodes = iter(numbers(data, len(others), head.inode if head else 0))
    digests = iter([data.take(32) for kind in kinds if kind == 0])
    entries, before = [], 0
    for tag, name in zip(tags, read_names(data, count)):
        kind = tag & 7
        entry = {"name": name, "kind": kind, "type": KINDS[kind], "marks": next(flags) if tag & 16 else 0}
        if kind == 2:
            require(tag & ~(7 | 16) == 0, "a directory with stat data of its own")
            offset = data.difference(before)
            length, digest, content = data.leb(), data.take(16), data.take(32)
            before = (offset + length) & MASK64
            entry["pointer"] = (offset, length, digest, content)
        else:
            require(tag >> 5 < len(permissions), "a row of permissions that is not there")
            entry["mode"], entry["uid"], entry["gid"] = permissions[tag >> 5]
            entry["size"], entry["inode"] = next(sizes), next(inodes)
            entry["mtime"] = (signed(next(mtimes)), next(mtime_nanoseconds))
            entry["ctime"] = entry["mtime"] if tag & 8 else (signed(next(ctimes)), next(ctime_nanoseconds))
            require(max(entry["mtime"][1], entry["ctime"][1]) < 10**9, "too many nanoseconds")
        if kind == 0:
            entry["blake3"] = next(digests)
        if kind == 3:
            entry["target"] = data.take(data.leb())
        entries.append(entry)
    skip_extra(Bytes(data.rest()))
    return entries


def leb(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def content_hash(entries):
    """C of a directory with these entries."""
    data = bytearray()
    for entry in entries:
        kind, name = entry["kind"], leb(len(entry["name"])) + entry["name"]
        if kind == 0 and not entry["marks"] & 16:
            letter = b"X" if entry["mode"] & 0o111 else b"F"
            data += letter + name + struct.pack("<Q", entry["size"]) + entry["blake3"]
        elif kind in (0, 1):
            data += b"f" + name + struct.pack("<QqI", entry["size"], *entry["mtime"])
        elif kind == 2:
            data += b"D" + name + entry["pointer"][3]
        elif kind == 3:
            data += b"L" + name + blake3(entry["target"])
        else:
            data += (b"S" if kind == 4 else b"M") + name
    return blake3(bytes(data) + struct.pack("<Q", len(entries)), "treeferry 2026 directory content v1")


# --- The docket.


def read_root(data):
    if not flag(data):
        return None
    offset, length = data.fixed("QI")
    return (offset, length, data.take(16), data.take(32)), data.fixed("QQQ")


def flag(data):
    value = data.u8()
    require(value <= 1, "a flag that is neither")
    return value == 1


def read_string(data):
    (length,) = data.fixed("I")
    require(length <= 131072, "a string that is too long")
    return data.take(length)


def read_docket(bytes_):
    require(bytes_[:8] == b"tfDOC\r\n\x1a", "no docket")
    require(len(bytes_) > 48 and blake3(bytes_[:-32]) == bytes_[-32:], "the docket is damaged")
    data = Bytes(bytes_[8:-32])
    version, _, features = data.fixed("HHI")
    require(version == 1 and features == 0, "a docket of a later version")
    docket = {"data id": data.take(16)}
    docket["committed length"], docket["live bytes"] = data.fixed("QQ")
    docket["base"], docket["kept"] = read_root(data), read_root(data)
    docket["newest"] = (*data.fixed("QI"), data.take(16)) if flag(data) else None
    data.take(16)  # mirror id
    docket["last run"] = data.fixed("Qq") if flag(data) else None
    docket["end of the last run"], docket["owner sequence"] = data.fixed("qQ")
    require(data.u8() <= 3, "an unknown name encoding")
    docket["source"] = read_string(data)
    docket["source file system"], docket["source inode"] = data.fixed("QQ")
    docket["remote"], docket["companion"] = read_string(data).decode(), read_string(data).decode()
    require(data.u8() <= 2, "a companion that is neither movable nor not")
    data.take(32)  # scope digest
    data.fixed("qI")  # start of the last complete scan
    docket["oldest retained"] = data.fixed("Q")[0]
    docket["complete"] = flag(data)
    return docket


# --- Everything, printed.


def readable(name):
    return name.decode("utf-8", "replace")


def show(where, line):
    if "path" in line:
        name = line["path"]
        line = {**line, "path": readable(name), "path_bytes": name.hex()}
    print(json.dumps({"in": where, **line}))


def walk(nodes, where, pointer, path, stored):
    """Prints what is below, and compares the sums on the way."""
    head, entries = nodes.directory(pointer)
    require(stored is None or stored == head.sums, "a root and its directory have other sums")
    sums = [0, 0, 0]
    unsettled = False
    line = {"path": path, "type": "dir", "size": 0, "mode": head.mode, "mtime": head.mtime[0]}
    if path:
        show(where, line)
    for entry in entries:
        below = path + b"/" + entry["name"] if path else entry["name"]
        if entry["kind"] == 2:
            inside = walk(nodes, where, entry["pointer"], below, None)
            sums = [one + other for one, other in zip(sums, inside)]
            sums[1] += 1
            unsettled |= bool(entry["pointer"][0] & UNSETTLED)
            continue
        unsettled |= entry["kind"] == 1 or bool(entry["marks"] & 1)
        if entry["type"] == "file":
            sums[0], sums[2] = sums[0] + 1, sums[2] + entry["size"]
        line = {"path": below, "type": entry["type"], "size": entry["size"]}
        line |= {"mode": entry["mode"], "mtime": entry["mtime"][0]}
        line["blake3"] = entry["blake3"].hex() if "blake3" in entry else None
        if "target" in entry:
            line["target"] = readable(entry["target"])
        show(where, line)
    sums = tuple(one & MASK64 for one in sums)
    require(sums == head.sums, f"the sums of {path!r} are wrong: {sums} {head.sums}")
    require(unsettled == bool(head.marks & 2), f"{path!r} is not marked as what is below it says")
    return sums


def optional_pointer(data):
    """A directory pointer with sums, or nothing."""
    if data.is_empty():
        return None
    pointer = (data.difference(0), data.leb(), data.take(16), data.take(32))
    root = pointer, tuple(data.leb() for _ in range(3))
    data.end("a root of a run record")
    return root


def runs(nodes, newest):
    """Every run record, the newest first."""
    while newest:
        kind, record = nodes.record(*newest)
        require(kind == 4, "this is no run record")
        sequence, started, finished = record.bincode_u(), record.bincode_i(), record.bincode_i()
        recovered = record.bincode_bool()
        counts = [record.bincode_u() for _ in range(8)]
        previous = record.slice()
        newest = None
        if not previous.is_empty():
            newest = (previous.difference(0), previous.leb(), previous.take(16))
            previous.end("the pointer to the record before")
        roots = [optional_pointer(record.slice()) for _ in range(3)]
        moved_count, chunks, extra = record.bincode_u(), record.slice(), record.slice()
        skip_extra(extra)
        record.end("a run record")
        rows = list(moved(nodes, chunks))
        require(len(rows) == moved_count, "another number of rows")
        require(all(one[0] < other[0] for one, other in zip(rows, rows[1:])), "rows are not in order")
        yield {"sequence": sequence, "started": started, "finished": finished, "recovered": recovered,
               "counts": counts}, roots, rows  # fmt: skip


def moved(nodes, chunks):
    before = 0
    while not chunks.is_empty():
        before = chunks.difference(before)
        kind, record = nodes.record(before, chunks.leb(), chunks.take(16))
        require(kind == 5, "these are no rows")
        count = record.bincode_u()
        require(count <= 1024, "too many rows")
        paths, stats, digests, extra = (record.slice() for _ in range(4))
        record.end("rows")
        skip_extra(extra)
        seconds = 0
        for path in read_names(paths, count, allow_slashes=True):
            has_digest = stats.u8()
            size, seconds = stats.leb(), stats.difference(seconds)
            nanoseconds = stats.leb()
            require(has_digest <= 1 and nanoseconds < 10**9, "a row with a wrong mark or time")
            digest = digests.take(32).hex() if has_digest else None
            yield path.split(b"/"), {"path": path, "size": size, "mtime": signed(seconds), "blake3": digest}
        for rest in (paths, stats, digests):
            rest.end("rows")


def main(docket_file, nodes_file):
    docket = read_docket(open(docket_file, "rb").read())
    nodes = Nodes(open(nodes_file, "rb").read(), docket)
    for where in ("base", "kept"):
        if docket[where]:
            walk(nodes, where, docket[where][0], b"", docket[where][1])
    for record, roots, rows in runs(nodes, docket["newest"]):
        show("runs", record)
        for name, root in zip(("before", "after", "kept after"), roots):
            if root and record["sequence"] >= docket["oldest retained"]:
                walk(nodes, f"{record['sequence']} {name}", root[0], b"", root[1])
        for _, row in rows:
            show(f"{record['sequence']} moved", row)
    show("kinds", {"kinds": sorted(nodes.kinds)})


if __name__ == "__main__":
    sys.setrecursionlimit(100_000)
    try:
        main(*sys.argv[1:])
    except Malformed as wrong:
        sys.exit(f"{wrong}")
