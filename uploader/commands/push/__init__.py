"""`push`: put models into the folders of one target or of several.

Each stage returns a value that the next one takes; none calls an earlier one back.

    items    = resolve(request)              # resolve.py         references → items: source, identity, place
    seen     = look(target, items)           # remote_listing.py  what the server has, and the route of each item
    steps    = make_plan(seen, options)      # plan.py            pure: what is done with each item, and why
    outcomes = execute(steps)                # execute.py         small files together, then large ones
    report   = notify(outcomes)              # webui/notify.py    the WebUI reads its folders again

`fanout.py` runs one push for each target; what they find out about sources is shared.
"""
