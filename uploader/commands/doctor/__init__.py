"""`doctor`: check everything between this machine and a target.

    with TargetSession(session, to) as target:                # checks.py
        checks = name resolution, port                        # without a connection
        connection = connect
        checks += host key, authentication, SFTP, shell, round trip
        checks += root, folders, free space, writing, speed, clock, WebUI
        checks += keyring                                     # on this machine
    return Diagnosis(checks)                                  # diagnosis.py: the first failed check is the exit code

`mask.py` removes from a diagnosis what tells where or who the user is, for a report that others read.
"""
