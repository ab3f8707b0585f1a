"""Sends an export of customers to CommBox, and writes the rows that failed to a file of their own.

    COMMBOX_API_KEY=my-api-key python nightly.py customers.csv rejects.csv

The first column is the user's id. The others have the API's names of the fields, with "Content."
before the name of a custom field. An empty cell leaves its field unchanged. SIGTERM ends the run in
good order: rejects.csv is then complete, and can be sent the next time.
"""

import csv
import logging
import signal
import sys
from typing import Any

from commbox import Client, CommBoxError


def fields(row: dict[str, str]) -> dict[str, Any]:
    """The cells that are not empty, the custom fields in their place."""
    user: dict[str, Any] = {}
    for name, value in row.items():
        outer, _, custom = name.partition(".")
        if value and custom:
            user.setdefault(outer, {})[custom] = value
        elif value and outer != "UserId":
            user[outer] = value
    return user


def main(source: str, rejects: str) -> int:
    logging.basicConfig(
        format="%(levelname)s %(message)s"
    )  # warnings: throttling, outages, a rejected key
    with open(source, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    errors = dict.fromkeys(range(len(rows)), "it was not sent")
    updates = ((int(row["UserId"]), fields(row)) for row in rows)
    with (
        Client(timeout=20) as client,
        client.update_users(updates, progress=True, total=len(rows)) as results,
    ):
        signal.signal(signal.SIGTERM, lambda *_: results.cancel())
        for result in results:
            if result.ok:
                del errors[result.index]
            else:
                errors[result.index] = str(result.error)
    with open(rejects, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*(rows[0] if rows else ()), "Error"])
        writer.writeheader()
        writer.writerows({**rows[index], "Error": error} for index, error in errors.items())
    print(f"{len(rows) - len(errors)} updated, {len(errors)} not")
    return 1 if errors else 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except CommBoxError as error:
        sys.exit(str(error))
