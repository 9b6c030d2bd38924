"""Networks of layers and of what people write between them, as the text of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from random_programs.layers import layer
from random_programs.writer import AbandonedError, Writer

# What may happen to x in forward, besides layers. `h` is something that was kept; both have mostly the same shape.
PLAIN = (
    "x = x + {h}", "x = x * {h}", "x = x - 0.5 * {h}", "x = {h} + x * 2", "x = lib.cat([x, {h}], 1)",
    "x = lib.stack([x, {h}], 1).mean(1)", "x = lib.maximum(x, {h})", "x = x * {h}.sigmoid()",
    "x = lib.where(x > {h}, x, {h} * 0.1)", "x = x.clone()", "x = x.contiguous()", "x = x * 1",
    "x = x.permute(0, *range(x.dim() - 1, 0, -1))", "x = x.transpose(1, -1)", "x = x[:, 1:]", "x = x[:, ::2]",
    "x = x.flatten(1)", "x = x.flatten(2)", "x = x.reshape(x.shape[0], -1)", "x = x.view(x.shape)",
    "x = x.unsqueeze(1)", "x = x.squeeze(1)", "x = lib.cat(x.chunk(2, 1)[::-1], 1)", "x = sum(x.split(1, 1))",
    "x = x.narrow(1, 0, 1) + x", "x = x.mean(-1)", "x = x.amax(-1)",
    "x = x / (1 + x.square().mean(1, keepdim=True)).sqrt()", "x = x - x.mean(0, keepdim=True)", "x = F.softmax(x, 1)",
    "x = x.tanh()", "x = F.relu(x)", "x = lib.relu(x) + x", "x = x.flip(1)", "x = x.roll(1, -1)",
    "x = F.normalize(x, dim=1)", "x = x @ x.transpose(-1, -2) * 0.1", "x = F.dropout(x, 0.0)", "x = F.pad(x, (1, 0))",
    "x = x.cumsum(1) * 0.3", "x = x[:1].expand_as(x) + x", "x = x.repeat_interleave(2, 1)",
    "x = lib.einsum('ni...,ni...->ni...', x, {h})", "x = x.select(1, 0)[:, None] + x", "x = F.max_pool2d(F.relu(x), 2)",
    "x = F.avg_pool2d(x, 2, 1)", "x = lib.sigmoid(x) * x", "x = x.unflatten(1, (1, -1))",
    "x = x.sort(-1, stable=True).values", "x = x.index_select(1, lib.tensor([0, 0]))",
    "x = x.gather(1, (x > 0).long()[:, :1])",
)  # fmt: skip
IN_PLACE = (
    "x += {h}", "x *= 0.5", "x.mul_({h})", "x.add_({h}, alpha=0.3)", "x = x.relu_()", "F.relu_(x)", "x.clamp_(-1, 1)",
    "x[:, 0] = 0.5", "x[:, :1] *= 2", "x -= x.mean().detach()", "x.add_(1).mul_(0.5)", "x = F.leaky_relu_(x, 0.1)",
    "x = x.tanh_()", "x = x.sigmoid_()", "x.masked_fill_(x > 1, 0.25)", "x[x < -1] = 0.1", "x.div_(2)", "x.copy_({h})",
    "x[0] = x[-1]", "x = x.exp_()", "x.neg_()",
)  # fmt: skip
GRADIENTS = (
    "x = x.detach() + 0.5 * x", "x = x * x.detach()", "with lib.no_grad():\n    h0 = x * 2\nx = x + h0",
    "if x.requires_grad:\n    x.register_hook(lambda g: g * 0.5)",
    "if x.requires_grad:\n    x.register_hook(lambda g: kept.append(g))",
    "if x.requires_grad:\n    x.register_hook(lambda g: kept.append(g))\nx = x.clone()",
    "if x.requires_grad:\n    x.register_hook(lambda g: g.clamp(-0.5, 0.5))", "x = Kept.apply(x)", "x = Kept.apply(x)",
    "x = Squared.apply(x) * 0.3", "if x.requires_grad:\n    x.retain_grad()\n    retained.append(x)",
    "if x.requires_grad:\n    (x.register_hook(lambda g: g * 3)).remove()", "kept.append(x)",
)  # fmt: skip
# Parameters of x's own shape: what adds them passes the very gradient of x on to them.
OWN = (
    "x = x + {p}", "x = {p} + x", "x = x * {p}.sigmoid()", "x = x - {p}", "x = x + {p}.clone()",
    "x = {p} * 1 + x.relu()",
)  # fmt: skip
FUNCTIONS = """\
class Kept(lib.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()
    @staticmethod
    def backward(ctx, g):
        kept.append(g)
        return g
class Squared(lib.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * 2"""


@dataclass
class Body:
    """The lines of a class while it is written.

    Attributes:
        init: of `__init__`.
        forward: of `forward`.
        layers: attributes that are layers.
        others: tensors that forward has kept.
    """

    init: list[str] = field(default_factory=list)
    forward: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def network(w: Writer, cls: str, source: str, steps: int, changes: bool = True) -> None:
    """Add a class whose forward takes a tensor like `source`, of `steps` steps.

    Args:
        changes: whether it works in place, and on gradients.
    """
    body = Body()
    w.names["self"] = torch.nn.Module()
    w.names["x"] = w.value(source)
    w.names.setdefault("retained", [])
    if not w.value("x").is_floating_point():
        _add_layer(w, body, f"nn.Embedding(50, {w.pick([3, 4, 8])})")
    for _ in range(steps):
        _step(w, body, changes)
    if not list(w.value("self").parameters()):
        raise AbandonedError("nothing to train")
    w.need(class_text(cls, body.init, ["x"], body.forward, "x"))


def class_text(cls: str, init: Sequence[str], arguments: Sequence[str], forward: Sequence[str], result: str) -> str:
    """The text of a class of modules."""
    return "\n".join(
        [
            f"class {cls}(nn.Module):", "    def __init__(self):", "        super().__init__()",
            *[f"        {line}" for line in init],
            f"    def forward(self, {', '.join(arguments)}):", *[f"        {line}" for line in forward],
            f"        return {result}",
        ]
    )  # fmt: skip


def _add_layer(w: Writer, body: Body, text: str) -> bool:
    name = f"self.l{len(body.init) + 1}"
    made, used = f"{name} = {text}", f"x = {name}(x)"
    if not (w.accepts(f"{made}.to(dtype)") and w.accepts(used)):
        return False
    _check_size(w)
    body.init.append(made)
    body.forward.append(used)
    body.layers.append(name)
    return True


def _add_parameter(w: Writer, body: Body) -> bool:
    shape = w.shape("x")
    name = f"self.p{len(body.init) + 1}"
    made = f"{name} = nn.Parameter(lib.zeros({shape if w.chance(0.6) else shape[1:]}))"
    used = w.pick(OWN).replace("{p}", name)
    if not (w.accepts(f"{made}\nself.to(dtype)") and w.accepts(used)):
        return False
    body.init.append(made)
    body.forward.append(used)
    return True


def _step(w: Writer, body: Body, changes: bool) -> None:
    """One step that works, of a few that are tried."""
    for _ in range(8):
        shape = w.shape("x")
        if w.chance(0.55):
            text = layer(w, shape) if len(shape) > 1 else None
            if text is not None and _add_layer(w, body, text):
                return
            continue
        if w.chance(0.12):
            if _add_parameter(w, body):
                return
            continue
        if w.chance(0.15) and body.layers:
            lines = _again(w, body)
        elif w.chance(0.2):
            name = w.name("h")
            lines = f"{name} = x"
            body.others.append(name)
        else:
            kinds = [PLAIN, PLAIN, PLAIN, IN_PLACE, GRADIENTS] if changes else [PLAIN]
            lines = _like(w, w.pick(w.pick(kinds)), body.others)
        if lines is not None and "register_hook" in lines and w.value("x")._is_view():
            continue  # torch forgets a hook of a view that is then changed in place
        if lines is not None and w.accepts(lines):
            if w.value("x").requires_grad and not w.accepts("x.sum().backward(retain_graph=True)"):
                raise AbandonedError("a change in place of what the backward pass needs")
            _check_size(w)
            body.forward += lines.split("\n")
            return


def _check_size(w: Writer) -> None:
    if not w.small("x") or w.value("x").numel() == 0:
        raise AbandonedError("too large, or empty")


def _like(w: Writer, template: str, others: list[str]) -> str | None:
    if "{h}" not in template:
        return template
    same = [name for name in others if w.shape(name) == w.shape("x")]
    found = w.pick(same or others) if others else "x"
    return template.replace("{h}", found)


def _again(w: Writer, body: Body) -> str:
    """A layer that is used once more, itself or by its weight."""
    name = w.pick(body.layers)
    uses = (f"x = {name}(x)", f"x = {name}(x) + {name}(x.detach())", f"x = x + {name}(x)")
    weight = w.pick(["x = F.linear(x, {n}.weight)", "x = F.conv2d(x, {n}.weight)", "x = F.linear(x, {n}.weight.t())"])
    return w.pick([*uses, weight.format(n=name), f"x = F.linear(x, {name}.weight * 0.5, {name}.bias)"])


def inputs(w: Writer, name: str) -> None:
    """Add a tensor for a network to take: images, series, volumes, vectors or tokens."""
    n = w.pick([1, 2, 2, 3])
    kind = w.pick(["image"] * 6 + ["series", "series", "volume", "vector", "vector", "token"])
    c = w.pick([1, 2, 3, 3, 4, 6, 8, 16])
    size = w.pick([3, 4, 5, 6, 7, 8, 9, 12])
    if kind == "token":
        w.need(f"{name} = whole({w.seed()}, 0, 50, {n}, {size})")
        return
    shape = {
        "image": (n, c, size, w.pick([size, size, size + 1, 4])), "series": (n, c, size + 4),
        "volume": (n, min(c, 4), 4, w.pick([3, 4, 5]), 4), "vector": (n + 1, c + 2),
    }[kind]  # fmt: skip
    w.need(f"{name} = numbers({w.seed()}, {', '.join(map(str, shape))})")


def parameters(w: Writer, net: str) -> list[str]:
    """Expressions of the parameters of a network."""
    return [_path(net, name) for name, _ in w.value(net).named_parameters()]


def modules(w: Writer, net: str, *kinds: str) -> list[str]:
    """Expressions of the modules of a network, of classes with these names or of all."""
    found = [(name, module) for name, module in w.value(net).named_modules() if name]
    return [_path(net, name) for name, module in found if not kinds or type(module).__name__.startswith(kinds)]


def _path(net: str, name: str) -> str:
    return net + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split("."))
