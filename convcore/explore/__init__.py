"""`convcore explore`: see what a CNN sees, in the browser, computed by this engine.

`app` answers requests, `server` runs it on this machine only, `playground` and its like compute what a page shows.
Needs the extra `explore`.
"""
