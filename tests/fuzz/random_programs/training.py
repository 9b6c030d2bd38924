"""Programs that train: networks, losses, backward passes, optimisers, and what happens between steps."""

from __future__ import annotations

from random_programs.networks import FUNCTIONS, inputs, modules, network, parameters
from random_programs.source import Program
from random_programs.writer import Writer

# A gradient may be zero but for rounding, and many of these divide it by its own size: so eps is larger than usual, and
# there is no Rprop, which steps by the sign.
OPTIMISERS = (
    "SGD(net.parameters(), lr=0.05)", "SGD(net.parameters(), lr=0.05, momentum=0.9)",
    "SGD(net.parameters(), lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01)",
    "SGD(net.parameters(), lr=0.05, momentum=0.8, dampening=0.3)", "SGD(net.parameters(), lr=0.02, maximize=True)",
    "Adam(net.parameters(), lr=0.01, eps=1e-6)",
    "Adam(net.parameters(), lr=0.01, eps=1e-6, weight_decay=0.1, amsgrad=True)",
    "AdamW(net.parameters(), lr=0.01, eps=1e-6)", "RMSprop(net.parameters(), lr=0.01, eps=1e-6)",
    "RMSprop(net.parameters(), lr=0.01, eps=1e-6, momentum=0.5, centered=True)",
    "Adagrad(net.parameters(), lr=0.05, eps=1e-8)", "Adadelta(net.parameters(), lr=0.5)",
    "Adamax(net.parameters(), lr=0.01, eps=1e-6)", "NAdam(net.parameters(), lr=0.01, eps=1e-6)",
    "RAdam(net.parameters(), lr=0.01, eps=1e-6)",
    "SGD([{'params': [p for p in net.parameters() if p.dim() > 1]}, {'params': [p for p in "
    "net.parameters() if p.dim() < 2], 'lr': 0.1}], lr=0.02, momentum=0.5)",
)  # fmt: skip
SCHEDULERS = (
    "StepLR(opt, 1, 0.5)", "ExponentialLR(opt, 0.8)", "CosineAnnealingLR(opt, 4)", "LinearLR(opt, 0.3, total_iters=3)",
    "OneCycleLR(opt, 0.1, total_steps=20)", "LambdaLR(opt, lambda epoch: 0.9 ** epoch)", "MultiStepLR(opt, [1, 2])",
    "PolynomialLR(opt, 5)", "CyclicLR(opt, 0.01, 0.1, step_size_up=2, cycle_momentum=False)", "ConstantLR(opt, 0.5, 2)",
    "CosineAnnealingWarmRestarts(opt, 2)", "ReduceLROnPlateau(opt, patience=0)",
)  # fmt: skip
# Between a backward pass and a step, between steps, and between forward and backward. {p} is a parameter, {m} a module.
ON_GRADIENTS = (
    "nn.utils.clip_grad_norm_(net.parameters(), 0.5)", "nn.utils.clip_grad_value_(net.parameters(), 0.1)",
    "{p}.grad = None", "{p}.grad.mul_(0.5)", "{p}.grad = lib.ones_like({p})", "{p}.grad.zero_()", "{p}.grad *= 2",
    "see('norm', nn.utils.clip_grad_norm_(list(net.parameters()), 1.0, norm_type=1))", "{p}.grad.data.add_(0.01)",
    "g = {p}.grad\nopt.zero_grad(set_to_none=False)\nsee('g', g)", "see('grad', {p}.grad)",
)  # fmt: skip
EDITS = (
    "{p}.data = {p}.data * 0.9", "{p}.data.mul_(1.1)", "with lib.no_grad():\n    {p}.mul_(0.9)",
    "with lib.no_grad():\n    {p}.copy_(shared({s}, *{p}.shape) * 0.3)", "{p}.detach().numpy()[...] *= 0.8",
    "net.load_state_dict({k: v * 0.9 for k, v in net.state_dict().items()})", "{p}.detach()[0] = 0.1",
    "saved = copy.deepcopy(net.state_dict())", "net.load_state_dict(saved)", "net.eval()", "net.train()", "{m}.eval()",
    "{p}.requires_grad_(False)", "net.requires_grad_(True)", "{m}.requires_grad_(False)", "{m}.requires_grad_(True)",
    "opt.param_groups[0]['lr'] *= 0.5", "opt.load_state_dict(copy.deepcopy(opt.state_dict()))",
    "nn.init.constant_({p}, 0.2)", "{m}.bias = None",
    "{m}.weight = nn.Parameter(numbers({s}, *{m}.weight.shape) * 0.3)", "{p}.register_hook(lambda g: g * 2)",
    "{p}.register_hook(lambda g: kept.append(g))", "{m}.register_forward_hook(lambda m, a, y: y * 0.5)",
    "{m}.register_forward_pre_hook(lambda m, a: (a[0] + 0.1,))",
    "{m}.register_full_backward_hook(lambda m, gi, go: kept.append(go[0]))",
    "{m}.register_full_backward_hook(lambda m, gi, go: tuple(None if g is None else g * 0.5 for g in gi))",
    "{m}.register_full_backward_pre_hook(lambda m, go: tuple(g * 2 for g in go))", "x.requires_grad_(True)",
    "x = x.detach() * 0.9", "net.zero_grad()", "{m}.running_mean.zero_()", "{m}.running_var.mul_(1.5)",
    "{m}.reset_running_stats()", "{m}.momentum = 0.2", "net = copy.deepcopy(net)",
    "other = copy.deepcopy(net)\nsee('other', other)", "lib.manual_seed(3)",
    "opt.add_param_group({'params': [nn.Parameter(numbers({s}, 3))]})",
)  # fmt: skip
BEFORE_BACKWARD = (
    "{p}.requires_grad_(False)", "{m}.requires_grad_(False)", "net.requires_grad_(False)", "see('out', out)",
    "out.retain_grad()\nretained.append(out)", "out.register_hook(lambda g: g * 0.5)",
    "out.register_hook(lambda g: kept.append(g))", "loss = loss * 2", "net.eval()", "x.register_hook(lambda g: g * 10)",
    "loss.register_hook(lambda g: g * 2)", "net.zero_grad()", "{p}.register_hook(lambda g: g * 0.5)", "del out",
)  # fmt: skip


def write(w: Writer) -> Program:
    """One program."""
    w.need(FUNCTIONS)
    w.need("retained = []")
    inputs(w, "x")
    if w.chance(0.4):
        w.add("x.requires_grad_(True)")
    network(w, "Net", "x", steps=w.size)
    w.need(f"net = fill(Net(), {w.seed()})")
    w.need(f"opt = optim.{w.pick(OPTIMISERS)}")
    if w.chance(0.4):
        w.add(f"sched = optim.lr_scheduler.{w.pick(SCHEDULERS)}")
    for _ in range(w.pick([0, 0, 1, 2])):
        _event(w, EDITS)
    for _ in range(w.pick([1, 2, 3])):
        _training_step(w)
    w.need("see('net', net)")
    w.need("see('opt', opt)")
    w.need("see('x', [x, x.grad])")
    w.need("see('retained', [[t, t.grad] for t in retained])")
    w.need("see('kept', kept)")
    return w.program()


def _event(w: Writer, templates: tuple[str, ...]) -> None:
    """One of several things that may happen; nothing if it cannot."""
    template = w.pick(templates)
    norms = ("BatchNorm", "InstanceNorm") if "running" in template else ()
    for slot, found in (("{p}", parameters(w, "net")), ("{m}", modules(w, "net", *norms))):
        if slot in template:
            if not found:
                return
            template = template.replace(slot, w.pick(found))
    w.add(template.replace("{s}", str(w.seed())))


def _training_step(w: Writer) -> None:
    for _ in range(w.pick([1, 1, 1, 2])):  # several: gradients accumulate
        w.need("out = net(x)")
        w.need(f"loss = {_loss(w)}")
        for _ in range(w.pick([0, 0, 1, 2])):
            _event(w, BEFORE_BACKWARD)
        w.need("see('loss', loss)")
        if not w.value("loss.requires_grad"):
            return
        _backward(w)
    for _ in range(w.pick([0, 0, 1])):
        _event(w, ON_GRADIENTS)
    w.need("opt.step()")
    if w.chance(0.6):
        w.add("sched.step(loss.item())" if "ReduceLROn" in "".join(w.lines) else "sched.step()")
    w.need(w.pick(["opt.zero_grad()", "opt.zero_grad(set_to_none=False)", "net.zero_grad()", "pass"]))
    if w.chance(0.5):
        w.need("see('net', net)")
    for _ in range(w.pick([0, 1, 2])):
        _event(w, EDITS)


def _backward(w: Writer) -> None:
    trained = "[p for p in net.parameters() if p.requires_grad]"
    kind = w.pick(["plain"] * 5 + ["twice", "grad", "double", "both"])
    if kind == "grad":
        w.need(f"see('gs', lib.autograd.grad(loss, {trained}, allow_unused=True))")
    elif kind == "double" and w.value("x.requires_grad"):
        w.need("(g,) = lib.autograd.grad(loss, x, create_graph=True)\nsee('g', g)")
        w.need("(loss + g.square().sum()).backward()")
    elif kind == "both":
        w.need(f"see('gs', lib.autograd.grad(loss, {trained}, allow_unused=True, retain_graph=True))")
        w.need("loss.backward()")
    elif kind == "twice":
        w.need("loss.backward(retain_graph=True)")
        w.need("loss.backward()")
    else:
        w.need("loss.backward()")


def _loss(w: Writer) -> str:
    """A loss of `out`."""
    shape = w.shape("out")
    like = f"numbers({w.seed()}, {', '.join(map(str, shape))})"
    choices = [
        f"(out * {like}).sum()", f"F.mse_loss(out, {like})", f"F.smooth_l1_loss(out, {like})",
        f"F.l1_loss(out, {like})", "out.square().mean()", "out.sum()", "out.mean()",
        f"F.binary_cross_entropy_with_logits(out, {like}.sigmoid())",
        "out.logsumexp(-1).sum()", f"F.huber_loss(out, {like}, reduction='sum')", "out.tanh().sum() * 0.5",
    ]  # fmt: skip
    if len(shape) > 1 and shape[1] > 1:
        labels = f"whole({w.seed()}, 0, {shape[1]}, {', '.join(map(str, (shape[0], *shape[2:])))})"
        choices += [f"F.cross_entropy(out, {labels})", f"F.cross_entropy(out, {labels}, label_smoothing=0.1)"]
        choices += [f"F.nll_loss(F.log_softmax(out, 1), {labels})", f"F.cross_entropy(out, F.softmax({like}, 1))"]
    return w.pick(choices)
