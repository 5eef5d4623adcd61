#!/usr/bin/env python3
"""Is every byte of a first backup read from the disk once, though it is hashed here and read again by rclone?

usage: read_once.py TREEFERRY RCLONE FOLDER [MIB]

Makes a tree of MIB mebibytes (default 1024, in files of 1 MiB and one of an eighth of all) in FOLDER, which must be on
a disk and not in memory, takes it out of the page cache, and backs it up to a folder beside it. Prints the bytes
that the kernel read from disk for treeferry and its rclone, and their ratio to the size of the tree.
"""
import os, resource, shutil, subprocess, sys

treeferry, rclone, folder = (os.path.abspath(path) for path in sys.argv[1:4])
mebibytes = int(sys.argv[4]) if len(sys.argv) > 4 else 1024
world = os.path.join(folder, "read-once")
shutil.rmtree(world, ignore_errors=True)
os.makedirs(f"{world}/source")
sizes = [mebibytes // 8] + [1] * (mebibytes - mebibytes // 8)
for number, size in enumerate(sizes):
    with open(f"{world}/source/{number}", "wb") as file:
        for _ in range(size):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
with open(f"{world}/config.toml", "w") as file:
    file.write(f'state_dir = "{world}/state"\n[rclone]\nprogram = "{rclone}"\n[[job]]\nname = "job"\n')
    file.write(f'source = "{world}/source"\nremote = ":local:{world}/remote/mirror"\n')
os.makedirs(f"{world}/remote")


def read_so_far():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock * 512


# The programs themselves are not to be counted.
subprocess.run([treeferry, "--version"], stdout=subprocess.DEVNULL, check=True)
subprocess.run([rclone, "version"], stdout=subprocess.DEVNULL, check=True)
before = read_so_far()
subprocess.run([treeferry, "-c", f"{world}/config.toml", "-q", "backup"], check=True)
read = read_so_far() - before
print(f"{sum(sizes)} MiB backed up, {read / (1 << 20):.0f} MiB read from disk: {read / (1 << 20) / sum(sizes):.2f}")
shutil.rmtree(world)
