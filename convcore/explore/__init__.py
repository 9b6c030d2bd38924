"""`convcore explore`: shows in the browser what a CNN computes, with this engine.

`app` answers requests, `server` runs it on this machine only, and `playground` and similar modules compute the data.
Needs the extra `explore`.
"""
