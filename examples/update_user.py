"""Updates one user. COMMBOX_API_KEY holds the key; COMMBOX_BASE_URL may name a server."""

import sys

from commbox import Client, CommBoxError

content = {"Birth_Date": "01-01-1983", "VIP_Status": "8"}
try:
    with Client() as client:
        result = client.update_user(94382332, first_name="John", content=content)
except CommBoxError as error:
    sys.exit(str(error))
print(f"user {result.id} is updated")
