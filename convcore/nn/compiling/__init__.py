"""convcore.compile: an evaluation of a model as a list of calls, made again without Python in between.

compiled      the compiled model: when a list is made, checked and used
noted_call    one call of a model, and the list of what it did
model_state   all that a result depends on besides the inputs: compared before each call
"""
