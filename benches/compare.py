"""Runs commands in turn and prints a table of medians: ROUNDS NAMES COMMANDS."""

import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time

rounds = int(sys.argv[1])
names = open(sys.argv[2]).read().splitlines()
commands = [shlex.split(line) for line in open(sys.argv[3])]
walls = [[] for _ in commands]
cpus = [[] for _ in commands]
for number in range(rounds + 1):
    for at, command in enumerate(commands):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if number > 0:  # the first round warms the caches
            walls[at].append(wall)
            cpus[at].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

print(f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, medians of {rounds} runs in turn\n")
print("| | wall s | x floor | user+sys s | x floor |")
print("|---|---|---|---|---|")
floor_wall, floor_cpu = statistics.median(walls[0]), statistics.median(cpus[0])
for name, wall, cpu in zip(names, walls, cpus):
    wall, cpu = statistics.median(wall), statistics.median(cpu)
    print(f"| {name} | {wall:.3f} | {wall / floor_wall:.2f} | {cpu:.3f} | {cpu / floor_cpu:.2f} |")
