"""A driver that sends the table: MASTER FOLDER PATH OPTIONS."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from support import COLUMNS, session, table

from commbox.spark import update_users

master, folder, path, options = sys.argv[1:]
spark = session(master, Path(folder))
outcomes = update_users(table(spark), path, **COLUMNS, **json.loads(options))
print(outcomes.where("ok").count(), outcomes.where("not ok").count(), flush=True)
spark.stop()
