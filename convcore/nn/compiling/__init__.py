"""convcore.compile: the captured calls of a model's evaluation, replayed without Python code in between.

compiled      the compiled model: captures, checks and replays lists of calls
noted_call    one call of a model, and the list of captured calls
model_state   everything besides the inputs that a result depends on: compared before each call
"""
