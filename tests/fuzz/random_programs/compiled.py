"""Programs that compile a model and call it again and again, and change between calls what it depends on.

The first call is where a compiled model learns, so first inputs are often such that little can be learnt from them:
constant, symmetric, all zeros.
"""

from __future__ import annotations

from random_programs import operations
from random_programs.compare import Difference
from random_programs.inference import change, names
from random_programs.networks import FUNCTIONS, class_text, inputs, network
from random_programs.source import Outcome, Program
from random_programs.writer import AbandonedError, Writer

STATE = {
    "l0": "self.l0 = nn.Linear({n}, {n})", "free": "self.free = [fill(nn.Linear({n}, {n}), 7)]",
    "weight": "self.weight = nn.Parameter(lib.ones({n}, 3))", "count": "self.count = 0", "seen": "self.seen = None",
    "table": "self.table = dict(factor=2)", "many": "self.many = []", "scale": "self.scale = 0.5",
    "plain": "self.plain = numbers(5, {n})", "settings": "self.settings = [1.5, 2]",
    "spare_layer": "self.spare_layer = None", "mean": "self.register_buffer('mean', lib.zeros(()))",
    "counter": "self.register_buffer('counter', lib.zeros((), dtype=lib.int64))",
    "spare": "self.register_buffer('spare', None)",
}  # fmt: skip
# Between calls of a model `net`.
STATE_EDITS = (
    "net.scale = 3.0", "net.count += 1", "net.spare = lib.ones(())", "net.spare = None", "net.late = lib.ones(()) * 2",
    "net.register_buffer('late', lib.ones(()) * 3)", "net.late = nn.Parameter(numbers(3))", "net.table['factor'] = 5",
    "net.settings[0] = -1", "net.plain.mul_(2)", "net.plain = net.plain * 2", "net.many.append(1)",
    "net.free[0].weight.mul_(2)", "net.weight.mul_(2)", "net.l0.bias = None",
    "net.l0.bias = nn.Parameter(lib.ones_like(net.l0.weight[0]))", "del net.late",
    "net.l0.weight.data = net.l0.weight.data * 2", "net.mean.add_(1)", "net.counter.add_(2)", "SCALE = 4.0",
    "Net.total = 7", "net.spare_layer = nn.Softsign()", "net.spare_layer = None", "net.free[0] = nn.Identity()",
    "net.free.append(None)", "net.l0 = nn.Identity()", "net.train()", "net.eval()", "net.plain.numpy()[...] = 2",
    "kept.insert(0, lib.ones(()))", "net.l0.weight.numpy()[...] = 0.5", "net.load_state_dict(net.state_dict())",
    "net.mean = lib.ones(())", "net.double()", "Net.forward = lambda self, *a: a[0]", "net.forward = lambda *a: a[0]",
    "net.table = {'factor': -1}", "net.scale = 0.5", "net.register_forward_hook(lambda m, a, y: y)",
    "net = copy.deepcopy(net)\nm = compile(net)", "m = copy.deepcopy(m)", "m = pickle.loads(pickle.dumps(m))",
    "m.eval()", "m.train()", "m.scale = 2.5", "net.weight = net.weight",
)  # fmt: skip
FIRST = ("zeros", "ones", "palindrome", "random", "random")


def write(w: Writer) -> Program:
    """One program."""
    if w.chance(0.35):
        return _network_program(w)
    w.need("SCALE = 2.0")
    forms = [_form(w) for _ in range(w.pick([1, 1, 2]))]
    arguments = []
    for kind, shape in forms:
        arguments.append(w.name("t"))
        w.need(_input(w, arguments[-1], kind, shape, w.pick(FIRST)))
    _model(w, arguments)
    w.need(f"net = fill(Net(), {w.seed()}).eval()\nm = compile(net)")
    given = ", ".join(arguments)
    for _ in range(w.pick([3, 4, 6, 8])):
        w.add(f"{w.name('y')} = m({given})")
        if w.chance(0.7):
            w.add(f"see('y', y{w._counts['y']})")
        _between(w, arguments, forms)
    w.need(f"see('y', m({given}))")
    w.need("see('net', net)")
    for name in ("seen", "count", "table", "many"):
        w.add(f"see('{name}', net.{name})")
    for name in names(w, "y"):
        w.need(f"see('{name}', {name})")
    w.add("see('inputs', [" + ", ".join(arguments) + "])")
    w.need("see('kept', kept)")
    return w.program()


def _network_program(w: Writer) -> Program:
    w.need(FUNCTIONS)
    w.need("retained = []")
    inputs(w, "x")
    network(w, "Net", "x", steps=w.size, changes=w.chance(0.3))
    w.need(f"net = fill(Net(), {w.seed()})\nnet.eval()\nm = compile(net)")
    w.need("see('y', m(x))")
    for _ in range(w.pick([2, 4, 6])):
        if w.chance(0.7):
            change(w, "net", "x")
        else:
            w.add(f"x = numbers({w.seed()}, *x.shape)")
        if "net = " in w.lines[-1]:
            w.need("m = compile(net)")
        if w.chance(0.7):
            w.add(f"{w.name('y')} = m(x)")
            w.add(f"see('y', y{w._counts['y']})")
    w.add("see('y', m(x))")
    w.need("see('net', net)")
    for name in names(w, "y"):
        w.need(f"see('{name}', {name})")
    w.need("see('kept', kept)")
    return w.program()


def _form(w: Writer) -> tuple[str, tuple[int, ...]]:
    """A dtype and a shape of any kind: without axes, empty, of batch 0 and 1, odd."""
    sizes = [0, 1, 1, 2, 3, 3, 4, 4, 5, 7] if w.chance(0.3) else [1, 2, 3, 4, 4, 5]
    shape = tuple(w.pick(sizes) for _ in range(w.pick([0, 1, 1, 2, 2, 2, 3, 4])))
    return w.pick(["float", "float", "int64", "int64", "int64", "int32", "uint8", "uint8", "bool", "bool"]), shape


def _input(w: Writer, name: str, kind: str, shape: tuple[int, ...], values: str) -> str:
    """A line that gives an input of a form some values."""
    sizes = ", ".join(map(str, shape))
    made = f"{name} = "
    dtype = {"float": "dtype", "bool": "lib.bool"}.get(kind, f"lib.{kind}")
    if values in ("zeros", "ones"):
        return f"{made}lib.{values}({shape}, dtype={dtype})"
    comma = ", " if shape else ""
    seed = w.seed()
    drawn = {
        "float": f"numbers({seed}{comma}{sizes})",
        "bool": f"mask({seed}{comma}{sizes})",
    }.get(kind, f"whole({seed}, 0, {w.pick([2, 4, 10])}{comma}{sizes}, dtype={kind!r})")
    if values == "palindrome" and shape:
        low = "lib.maximum" if kind != "bool" else "lib.logical_or"
        axes = tuple(range(len(shape)))
        return f"{made}{drawn}\n{made}{low}({name}, {name}.flip({axes}))"
    return made + drawn


def _model(w: Writer, arguments: list[str]) -> None:
    """Add a class of which forward computes something from the arguments."""
    last = max([1, *w.shape(arguments[0])[-1:]])
    state = {name: line.format(n=last) for name, line in STATE.items()}
    w.names["self"] = type("Net", (w.names["nn"].Module,), {"total": 1})()
    if not all(w.accepts(line) for line in state.values()):
        raise AbandonedError("state")
    w.accepts("self.to(dtype)")
    pool, forward, results = list(arguments), [], []
    effects = w.chance(0.35)
    for _ in range(w.size + 1):
        line = _operation(w, pool, effects)
        if line is not None:
            forward += line.split("\n")
    made = [name for name in pool if name not in arguments]
    if not made:
        raise AbandonedError("nothing computed")
    results = made[-1:] if w.chance(0.5) else made[-3:]
    if w.chance(0.03):
        results = [arguments[0]]
    result = results[0] if len(results) == 1 else f"({', '.join(results)})"
    if w.chance(0.1):
        result = "{" + ", ".join(f"'{name}': {name}" for name in results) + "}"
    text = "\n".join(forward)
    used = [line for name, line in state.items() if f"self.{name}" in text]
    w.need(class_text("Net", used, arguments, forward, result))
    w.need("Net.total = 1")


def _operation(w: Writer, pool: list[str], effects: bool) -> str | None:
    """One line of forward that torch takes, of several that are tried; its result goes to the pool."""
    families = [family for family, weight in operations.EXPRESSIONS.items() for _ in range(weight)]
    if effects:
        families += [operations.USES_OF_STATE] * 12 + [operations.DECISIONS] * 4 + [operations.DRAWS] * 2
    for _ in range(12):
        recent = pool[-3:] if w.chance(0.7) else pool
        if effects and w.chance(0.25):
            line = w.filled(w.pick(operations.EFFECTS), recent)
            if line is not None and w.accepts(line):
                return line
            continue
        if w.chance(0.06):
            line = w.filled(w.pick(operations.IN_PLACE), pool, w.pick(pool))
            if line is not None and w.accepts(line):
                return line
            continue
        expression = w.filled(w.pick(w.pick(families)), recent)
        if expression is None:
            continue
        name = w.name("v")
        if w.accepts(f"{name} = {expression}") and w.small(name):
            pool.append(name)
            return f"{name} = {expression}"
    return None


def _between(w: Writer, arguments: list[str], forms: list[tuple[str, tuple[int, ...]]]) -> None:
    """What happens before the next call: other values, another shape, changes of the model or of a result."""
    if w.chance(0.75):
        for name, (kind, shape) in zip(arguments, forms, strict=True):
            w.add(_input(w, name, kind, shape, w.pick([*FIRST, "random", "random"])))
    if w.chance(0.3):
        w.add(w.pick(STATE_EDITS))
    if w.chance(0.15):
        changed = w.filled(w.pick(operations.IN_PLACE), arguments, w.pick(arguments))
        if changed is not None:
            w.add(changed)
    if w.chance(0.3):
        call = w.filled(w.pick(operations.PLACES), arguments)
        if call is not None and not w.accepts(call):
            w.add(f"see('refused', refused(lambda: {call}))")
    made = names(w, "y")
    if made and w.chance(0.25):
        w.add(w.filled(w.pick(operations.IN_PLACE), made, w.pick(made)) or "pass")
    if w.chance(0.1):
        place = int(w.random.integers(len(arguments)))
        w.add(_input(w, arguments[place], *_form(w), values="random"))


def draws(program: Program) -> bool:
    """Whether it draws at random, which torch does otherwise."""
    return any(word in str(program) for word in ("rand", "dropout(", "bernoulli"))


def wrong_warnings(program: Program, listed: Outcome, plain: Outcome) -> Difference | None:
    """A warning of the compiled run that does not say why a model is evaluated as it is, or says it again."""
    told = [text for text in listed.warned if text not in plain.warned]
    foreign = [text for text in told if not text.startswith("compile: ")]
    if foreign:
        return Difference("warning", f"the compiled run warns: {foreign[0]}")
    models = str(program).count("compile(") + str(program).count("copy(m)") + str(program).count("dumps(m)")
    often = [text for text in set(told) if told.count(text) > models]
    return Difference("warning", f"warned {told.count(often[0])} times: {often[0]}") if often else None
