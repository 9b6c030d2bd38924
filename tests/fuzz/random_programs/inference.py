"""Programs that evaluate without gradients, and change between evaluations what these depend on.

What convcore keeps for later (packed filters), and what it does not compute before somebody looks (a convolution that
waits for the batch norm and the ReLU after it), must not be seen.
"""

from __future__ import annotations

import re

from random_programs.networks import FUNCTIONS, inputs, modules, network, parameters
from random_programs.source import Program
from random_programs.writer import Writer

# {p}, {q} are parameters, {m}, {n} modules, {b} a batch norm, {y}, {z} earlier results, {a} an array of NumPy, {c} a
# copy or view of a parameter, {new} a new name, {s} a seed.
WEIGHTS = (
    "{p}.mul_(-1.5)", "{p}.data = {p}.data * 0.5", "{p}.data.add_(0.2)", "{p}.copy_(numbers({s}, *{p}.shape))",
    "{p}.fill_(0.3)", "{p}.zero_()", "{p}[0] = 0.7", "{p}.data[0] *= 2", "{p}.neg_()", "{p}.detach().mul_(0.5)",
    "{p}.view(-1)[0] = 2", "{p}.data = numbers({s}, *{p}.shape)", "{p}.clamp_(-0.3, 0.3)",
    "nn.init.constant_({p}, 0.1)", "{p}.detach().numpy()[...] *= -0.5", "np.copyto({p}.detach().numpy(), 0.25)",
    "fill(net, {s})", "net.load_state_dict({k: v * 2 for k, v in net.state_dict().items()})", "{p}.flip(0)",
    "nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(net.parameters()) * 0.5, net.parameters())",
    "for p in net.parameters():\n    p.mul_(0.7)", "{p}.uniform_(0.5, 0.5)", "{p}.sub_({p} * 0.5)",
    "{p}.data = {q}.data", "{p}.copy_({q})",
)  # fmt: skip
MODULES = (
    "{m}.bias = None", "{m}.bias = nn.Parameter(numbers({s}, {m}.weight.shape[0]))", "del {m}.bias\n{m}.bias = None",
    "{m}.weight = nn.Parameter(numbers({s}, *{m}.weight.shape))", "{m}.weight = {n}.weight",
    "{m}.weight.data = {n}.weight", "{m}.weight = nn.Parameter({m}.weight)", "{m} = copy.deepcopy({m})",
    "{m} = fill(copy.deepcopy({m}), {s})", "{m} = nn.Identity()", "{m} = {n}", "{m} = nn.Sequential({m}, nn.ReLU())",
    "{m} = copy.copy({m})", "{m}.register_buffer('extra', numbers({s}, 2))", "{m}.train()", "{m}.eval()", "net.train()",
    "net.eval()", "{m}.__dict__.update(inplace=True)", "{m}.requires_grad_(False)", "net = copy.deepcopy(net)",
    "net = pickle.loads(pickle.dumps(net))", "{m} = pickle.loads(pickle.dumps({m}))", "net = copy.copy(net)",
    "{m}.weight = pickle.loads(pickle.dumps({m}.weight))", "{m}.padding_mode = 'zeros'", "{m}.eps = 0.1",
    "{m}.stride = (2, 2)", "{m}.padding = (1, 1)", "{m}.register_forward_hook(lambda m, a, y: y * 0.5)",
    "net.double()\nx = x.double()", "net.float()\nx = x.float()", "net.to(lib.float64)\nx = x.to(lib.float64)",
    "{m}.forward = lambda x: x * 0.5", "net.apply(lambda m: m.eval())",
)  # fmt: skip
STATISTICS = (
    "{b}.running_mean.add_(0.5)", "{b}.running_var.mul_(3)", "{b}.running_mean = numbers({s}, {b}.num_features)",
    "{b}.running_var.numpy()[...] = 2", "{b}.reset_running_stats()", "{b}.train()", "{b}.eval()", "{b}.momentum = 0.5",
    "{b}.running_mean.zero_()", "{b}.track_running_stats = False", "{b}.weight.mul_(2)", "{b}.bias.data.add_(1)",
    "{b}.weight = None\n{b}.bias = None", "{b}.running_mean.data = {b}.running_var.data", "net(numbers({s}, *x.shape))",
)  # fmt: skip
INPUTS = (
    "x.mul_(0.5)", "x = numbers({s}, *x.shape)", "x[0] = 0.3", "x.numpy()[...] *= 2", "x = shared({s}, *x.shape)",
    "x.data = x.data * 0.5", "x = x[:1]", "x = lib.cat([x, x])", "x = x.flip(-1)", "x = x.clone()",
    "x.copy_(numbers({s}, *x.shape))", "x.add_(1)", "x = lib.zeros_like(x)", "x = x.contiguous()",
)  # fmt: skip
KEPT = (
    "{new} = {m}(x)", "{new} = net(x)", "{new} = {m}({y})", "{new} = F.relu({y})", "{new} = {y} + {z}",
    "{new} = F.max_pool2d({y}, 2)", "{new} = {b}({y})", "{new} = F.relu({b}({y}))", "{new} = F.relu({y}, inplace=True)",
    "{new} = {y}.detach()", "{new} = {y}.clone()", "{new} = {y}[:1]", "{new} = {y} * 2",
    "{new} = {y}.permute(*range({y}.dim()))", "{new} = F.relu({b}({m}(x)) + {y})", "{new} = F.conv2d(x, {m}.weight)",
    "{new} = F.conv2d(x, {m}.weight, {m}.bias)", "{new} = F.linear({y}, {m}.weight)", "{new} = copy.copy({y})",
    "{new} = copy.deepcopy({y})", "{y} += {z}", "{y}.add_(1)", "{y}.mul_(0.5)", "{y}.relu_()", "{y}[0] = 0.2",
    "{y}.zero_()", "{y}.copy_({z})", "del {y}", "{y}.data = {y}.data * 2", "{y}.numpy()[...] += 1", "see('value', {y})",
    "{y}.tolist()", "float({y}.sum())", "{y}.shape, {y}.dim(), {y}.dtype", "repr({y})", "bool(({y} > 0).any())",
    "{y} = {y} - 1", "kept.append({y})", "with lib.enable_grad():\n    {new} = net(x)",
    "with lib.enable_grad():\n    {new} = {m}(x).detach()", "{y}.sub_({z})", "{new} = {y}.relu().add_({z})",
    "{new} = pickle.loads(pickle.dumps({y}))", "{y}.clamp_(-1, 1)", "{new} = lib.cat([{y}, {z}], 1)",
    "{y}.masked_fill_({y} > 0, 0.5)", "x = {y}", "{new} = {y}.float()",
)  # fmt: skip
ARRAYS = (
    "{new_a} = {p}.detach().numpy()", "{new_a} = x.numpy()", "{new_a} = {y}.numpy()", "{a}[...] = 0.4", "{a} *= -2",
    "{a}.flat[0] = 3", "del {a}", "{new_a} = {b}.running_mean.numpy()", "{new_c} = copy.copy({p})",
    "{new_c} = {p}.data", "{new_c} = {p}.detach()", "{new_c} = {p}[:1]", "{new_c} = {p}.view(-1)", "{c}.mul_(-3)",
    "{c}.add_(0.5)", "{c}.zero_()", "{c}.numpy()[...] = 0.2", "del {c}", "{c}.data = {c}.data * 2",
    "{new_c} = nn.Parameter({p}.detach())", "{new_c} = {p}.data.numpy()[:1]", "{c} *= 2", "{c}[...] = 1",
    "{new_c} = lib.as_tensor({p}.detach().numpy())", "{new_c} = pickle.loads(pickle.dumps({p}))",
    "{new_c} = list(net.state_dict().values())[0]", "{p}.data = {c}",
)  # fmt: skip

SHARING = re.compile(r"\.data = (\S+\.data|\S+\.weight|c\d+)$")


def write(w: Writer) -> Program:
    """One program."""
    w.need(FUNCTIONS)
    w.need("retained = []")
    inputs(w, "x")
    network(w, "Net", "x", steps=w.size)
    w.need(f"net = fill(Net(), {w.seed()})")
    if w.chance(0.9):
        w.need("net.eval()")
    w.need("see('y', net(x))")
    for _ in range(w.pick([2, 4, 6, 8, 12])):
        change(w, "net", "x")
        if w.chance(0.5):
            w.add("see('y', net(x))")
    w.add("see('y', net(x))")
    w.need("see('net', net)")
    for name in names(w, "y"):
        w.need(f"see('{name}', {name})")
    w.need("see('x', x)")
    w.need("see('kept', kept)")
    return w.program()


def change(w: Writer, net: str, x: str) -> None:
    """Add one change, of a few that are tried."""
    for _ in range(6):
        family = w.pick([WEIGHTS, WEIGHTS, MODULES, STATISTICS, INPUTS, KEPT, KEPT, KEPT, ARRAYS, ARRAYS])
        text = placed(w, w.pick(family), net)
        if text is not None and not _parts(w, text) and w.add(text.replace("net", net) if net != "net" else text):
            return


def _parts(w: Writer, text: str) -> bool:
    """Whether a line would copy a model in which tensors share memory: in torch those of the copy share theirs, too."""
    return ("deepcopy" in text or "pickle" in text) and any(SHARING.search(line) for line in w.lines)


def placed(w: Writer, template: str, net: str = "net") -> str | None:
    """A template with names in its places; None if there is none that fits."""
    choices = {
        "p": lambda: parameters(w, net), "q": lambda: parameters(w, net), "m": lambda: modules(w, net),
        "n": lambda: modules(w, net), "b": lambda: modules(w, net, "BatchNorm"), "y": lambda: names(w, "y"),
        "z": lambda: names(w, "y"), "a": lambda: names(w, "a"), "c": lambda: names(w, "c"),
        "s": lambda: [str(w.seed())], "new": lambda: [w.name("y")], "new_a": lambda: [w.name("a")],
        "new_c": lambda: [w.name("c")],
    }  # fmt: skip
    for slot, choice in choices.items():
        if f"{{{slot}}}" in template:
            found = choice()
            if not found:
                return None
            template = template.replace(f"{{{slot}}}", w.pick(found))
    return template


def names(w: Writer, letter: str) -> list[str]:
    """Names of a kind that there are: y1, y2, .."""
    return sorted(name for name in w.names if name[:1] == letter and name[1:].isdigit())
