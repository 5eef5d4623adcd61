"""Makes a tree: ROOT DIRECTORIES FILES [LEAST MOST], up to eight folders in a folder.

The same numbers give the same names. Files are empty, or of random sizes between
LEAST and MOST bytes.
"""

import os
import random
import sys

root, directory_count, file_count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
least, most = (int(sys.argv[4]), int(sys.argv[5])) if len(sys.argv) > 5 else (0, 0)
choose = random.Random(7)
noise = choose.randbytes(1 << 20)
os.makedirs(root)
directories = [root]
above = 0
while len(directories) < directory_count:
    for _ in range(8):
        if len(directories) >= directory_count:
            break
        path = os.path.join(directories[above], "dir-%06d" % len(directories))
        os.mkdir(path)
        directories.append(path)
    above += 1
made = 0
for number, directory in enumerate(directories):
    while made < (number + 1) * file_count // directory_count:
        word = choose.choice(["file", "photo", "IMG", "report", "module"])
        ending = choose.choice(["jpg", "txt", "dat", "c", "html"])
        with open(os.path.join(directory, "%s-%05d.%s" % (word, made, ending)), "wb") as file:
            if most:
                size = choose.randint(least, most)
                start = choose.randint(0, len(noise) - size)
                file.write(noise[start : start + size])
        made += 1
