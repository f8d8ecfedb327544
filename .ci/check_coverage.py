#!/usr/bin/env python3
"""check_coverage.py SUMMARY.json FOLDER...: prints line coverage a file and a folder.

Fails where a folder is below 90 %.
Each folder has to reach it by itself: one that is well covered must not hide another."""
import json
import sys

REQUIRED = 90.0
files = json.load(open(sys.argv[1], encoding="utf-8"))["files"]
low = False
for folder in sys.argv[2:]:
    of_folder = [file for file in files if file["filename"].startswith(folder + "/")]
    total = sum(file["line_total"] for file in of_folder)
    covered = sum(file["line_covered"] for file in of_folder)
    for file in sorted(of_folder, key=lambda file: file["line_covered"] / max(1, file["line_total"])):
        print(f"  {100 * file['line_covered'] / max(1, file['line_total']):6.1f} %  {file['filename']}")
    percent = 100 * covered / total if total else 0.0
    print(f"{percent:6.1f} %  {folder}: {covered} of {total} lines")
    if percent < REQUIRED:
        print(f"error: line coverage of {folder} is below {REQUIRED:.0f} %")
        low = True
sys.exit(1 if low else 0)
