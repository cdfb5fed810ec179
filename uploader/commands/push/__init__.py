"""`push`: put models into the folders of one target or of several.

Each stage returns the value that the next stage takes. No stage calls back into an earlier one.

    items    = resolve(request)              # resolve.py         references → items: source, identity, place
    seen     = look(target, items)           # remote_listing.py  what the server has, and the route of each item
    steps    = make_plan(seen, options)      # plan.py            pure: the action for each item, and its reason
    outcomes = execute(steps)                # execute.py         small files together, then large ones
    report   = notify(outcomes)              # webui/notify.py    the WebUI reads its folders again

`fanout.py` runs one push for each target. The pushes share what they learn about the sources.
"""
