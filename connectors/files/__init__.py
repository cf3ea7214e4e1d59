"""Files of contacts: CSV, TSV, XLSX, vCard and JSContact as a source (pull only), and exports of all of them.

Known layouts: Google (old and new), Outlook (English, German), LinkedIn `Connections.csv`, Mailchimp, Salesforce, our
own export; any other table whose headers say what they are, in whatever order, among the first 20 rows.

Who a row is: our `sync_id`, else another program's id column, else LinkedIn's profile address, else the first e-mail
address, else the first phone number, else name and company. Where people share that key, their names tell them apart.
Rows of one person are made one if they agree, else the later ones are refused. A row is also refused if it says
nobody, has more cells than headers, or has a cell that cannot be trusted (undecodable bytes, a formula without a
result, a number that Excel has rounded); the reason names row and column. `sync_action` = delete deletes.

What is never done: phones are not normalised, letter case is not changed, a name is split only where it is beyond doubt
(names.py), a date like 03/07/1980 is read only if its column shows which comes first, a column that means nothing to a
card is not dropped but kept in it under `concord:column:<header>`, consent columns among them (no card field).

Limits: 1 GB a file, 1,000 columns, cells of 131,072 characters, workbooks that unpack to 512 MB; .xls, .ods, .xlsb,
macros and passwords are refused with what to do. An edited key (a new e-mail address in a row without sync_id) is a new
record id; the record is followed to it where its name is the only one of its kind (edits.py).

Sources: spreadsheets, linkedin, mailchimp and jscontact notes.
"""

from connectors.contract import System
from connectors.files.connector import FileSettings, open_files

CONNECTOR = System(name="files", title="Files (CSV, XLSX, vCard, JSContact)", settings=FileSettings, open=open_files)
