"""`convcore explore`: shows in the browser what a CNN computes, with this engine.

    server, guard                    on a free port of this machine, for a browser on this machine
    app, pages, fields               answers requests: pages, JSON, PNG; every field of a request is checked
    playground, algorithms           one filter over a picture; the algorithms step by step
    network, networks, training      inside a network; which networks there are; a network that trains while one looks
    reading, pictures                lessons and source files as pages; the pictures

Needs the extra `explore`.
"""
