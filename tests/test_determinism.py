"""The bits of a training step do not depend on the number of threads, on the process, or on who else computes."""

STEPS = """
import os, signal, threading
import numpy as np
import convcore
import convcore.nn.functional as F
from convcore import nn, optim
from kernels import threads

def train():
    '''Three steps of a small network; the bits of its parameters and gradients.'''
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(3, 20, 3, padding=1), nn.BatchNorm2d(20), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(20 * 7 * 7, 10),
    )
    for parameter in model.parameters():
        parameter.array[...] = rng.standard_normal(parameter.shape) / 10
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    x = convcore.tensor(rng.standard_normal((16, 3, 14, 14)).astype(np.float32))
    target = convcore.tensor(rng.integers(0, 10, 16))
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x), target).backward()
        optimizer.step()
    arrays = [array for p in model.parameters() for array in (p.array, p.grad.array)]
    assert all(np.isfinite(array).all() for array in arrays)
    return b"".join(array.tobytes() for array in arrays)
"""


def test_a_training_step_has_the_same_bits_everywhere(run_python):
    code = """
expected = train()
print("again", train() == expected)
for n in (1, 2):
    threads.set_num_threads(n)
    print(n, train() == expected)

results = []
workers = [threading.Thread(target=lambda: results.append(train())) for _ in range(3)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print("python threads", [result == expected for result in results], flush=True)

child = os.fork()
if child == 0:
    signal.alarm(170)
    os._exit(0 if train() == expected else 3)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = run_python(STEPS + code, NUMBA_NUM_THREADS="2")
    assert done.stdout.splitlines() == [
        "again True", "1 True", "2 True", "python threads [True, True, True]", "child 0",
    ]  # fmt: skip
