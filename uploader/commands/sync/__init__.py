"""`sync`: make a folder of the target hold what a local folder holds.

    state    = scan(local) + list(server)        # plan.py, state.py   both sides, and what the manifest knows
    answers  = answer(questions(state))          # compare.py          hashes, where the trees alone do not tell
    steps    = decide(state, options, answers)   # decide.py           pure: what is done with each file, and why
    outcomes = run phases: copy, move, send, delete   # run.py, apply.py
    report   = notify(outcomes)                  # webui/notify.py

What is copied or moved on the server goes first, while its bytes are where the plan found them. Files are deleted last,
and only when all that was to be placed is placed. `watch.py` repeats all of it at each change.
"""
