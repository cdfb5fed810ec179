"""What this machine remembers between two runs, in one folder ($UPLOADER_HOME).

    state.db        one SQLite file: uploads that were interrupted, files that were placed, jobs, servers
    locks/          names that a run works on; a lock ends with its process
    targets.toml    the targets that the user saved
    cache/          downloads of route `local`, each with a JSON file of what is known of it

No secret is in any of them. What cannot be read is found out again: the server's bytes are compared.
"""
