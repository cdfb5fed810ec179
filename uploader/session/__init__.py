"""What every command works with: the user's state, one target, and workers that carry out tasks.

The main path of a command that moves files:

    session = Session()                                   # state, profiles, secrets, the user to ask; once a process
    with TargetSession(session, "box") as target:         # connections, root, manifest, transfer context
        plan = the command looks at both sides
        runner = Runner(observer, target.cancelled, target.pool.interrupt, workers)
        outcomes = run_small_then_large(runner, small, large, groups=n)   # an outcome for each task, also after Ctrl-C
        note(target.manifest, path, artifact, result, seen)   # `placed`: the manifest knows what push placed
    # here the connections are closed and the manifest is written

`watching` has what the commands with `--watch` share.
"""
