"""Operations of tensors of any dtype and shape, as templates for `Writer.filled`."""

from __future__ import annotations

ARITHMETIC = (
    "{x:a} + {c}", "{x:a} - {a}", "{x:a} * {a}", "{x:n} / {c}", "{x:a} + {a}", "{c} - {x:n}", "{x:n} * {c}",
    "{x:n} ** 2", "{x:n} // {p}", "{x:n} % {p}", "-{x:n}", "abs({x:n})", "{x:f} / {f}", "{x:n} / {n}", "{c} / {x:f}",
    "lib.maximum({x:a}, {a})", "lib.minimum({x:n}, {n})", "{x:n}.square()", "{x:n}.clamp(-1, 2)", "{x:i}.clamp(min=1)",
    "lib.add({x:n}, {n}, alpha=2)", "{x:n}.sign()", "lib.fmod({x:n}, 3)", "{x:f}.lerp({f}, 0.3)", "{x:n}.neg()",
    "lib.addcmul({x:f}, {f}, {f}, value=0.5)", "{x:n}.sub({n})", "{x:b} * {f}", "{x:b} + {b}", "{x:i} & {p}",
    "{x:i} | {i}", "{x:i} ^ {p}", "~{x:i}", "{x:n}.remainder(2)", "lib.floor_divide({x:n}, 2)", "2 ** {x:f}",
    "{x:n} * True", "1 + {x:b}", "{x:n}.mul({x}).add(1)", "({x:n} * 3 + 1) % 7", "lib.bitwise_xor({x:i}, {i})",
)  # fmt: skip
FUNCTIONS = (
    "{x:f}.exp()", "{x:f}.tanh()", "{x:f}.sigmoid()", "{x:f}.relu()", "F.gelu({x:f})", "{x:f}.abs().sqrt()",
    "({x:f}.abs() + 1).log()", "{x:f}.sin()", "{x:f}.floor()", "{x:f}.round()", "{x:f}.trunc()", "{x:f}.erf()",
    "F.leaky_relu({x:f}, 0.2)", "F.softplus({x:f})", "F.silu({x:f})", "F.hardswish({x:f})", "F.elu({x:f})",
    "{x:f}.atan()", "{x:f}.expm1()", "({x:f} * 10).ceil()", "{x:f}.nan_to_num()", "{x:i}.sin()", "{x:i}.exp()",
    "{x:i}.sigmoid()", "{x:b}.sigmoid()", "{x:i}.float().sqrt()", "{x:f}.rsqrt()", "{x:f}.reciprocal()", "{x:f}.frac()",
)  # fmt: skip
COMPARISONS = (
    "{x:a} > {c}", "{x:n} < {n}", "{x:a} == {a}", "{x:a} != {c}", "{x:n} >= 0", "{x:b} & {b}", "~{x:b}", "{x:b} | {b}",
    "lib.where({x:a} > 0, {x}, {c})", "lib.where({b}, {x:f}, -{x})", "lib.where({x:a} == {a}, 1.0, 0.0)",
    "{x:a}.masked_fill({x} == {c}, {p})", "{x:f}.masked_fill({b}, 0.0)", "lib.logical_and({x:a}, {a})",
    "lib.logical_not({x:a})", "{x:a}.isnan()", "lib.isclose({x:f}, {f})", "{x:a}.eq({a})", "lib.isin({x:i}, {i})",
    "{x:b} ^ {b}", "{x:a}.bool()", "{x:b}.logical_xor({b})", "lib.where({x:b}, {n}, {n})", "{x:f}.isfinite()",
)  # fmt: skip
CONVERSIONS = (
    "{x:i}.float()", "{x:b}.float()", "{x:a}.double()", "{x:f}.clamp(-99, 99).long()", "{x:b}.long()", "{x:b}.int()",
    "{x:i}.int()", "({x:f}.clamp(0, 9) * 3).byte()", "{x:i}.bool()", "{x:a}.to(dtype)", "{x:a}.type_as({a})",
    "{x:f}.clamp(-9, 9).to(lib.int32)", "{x:i}.to(lib.float32) / 255", "{x:i}.clamp(0, 99).to(lib.uint8)",
    "{x:a}.float()",
)  # fmt: skip
SHAPES = (
    "{x:a}.reshape(-1)", "{x:a}.flatten()", "{x:a}.t()", "{x:a}.transpose({d}, {e})", "{x:a}.permute({perm})",
    "{x:a}.unsqueeze({d})", "{x:a}.squeeze()", "{x:a}.contiguous()", "{x:a}[0]", "{x:a}[-1:]", "{x:a}[..., ::2]",
    "{x:a}[1:]", "{x:a}[None]", "{x:a}.flip({d})", "{x:a}.roll(1, {d})", "lib.cat([{x:a}, {x}], {d})",
    "lib.stack([{x:a}, {x}], {d})", "{x:a}.expand(2, *{x}.shape)", "{x:a}.repeat(2, *[1] * ({x}.dim() - 1))",
    "{x:a}.chunk(2, {d})[-1]", "{x:a}.split(1, {d})[0]", "{x:a}.narrow({d}, 0, 1)", "{x:a}.select({d}, 0)",
    "{x:a}.clone()", "lib.cat([{x:a}, {a}], {d})", "{x:a}.unbind({d})[0]", "{x:a}.reshape({x}.shape[0], -1)",
    "{x:a}.tril()", "{x:a}.diagonal()", "F.pad({x:n}, (1, 2))", "F.pad({x:f}, (1, 1), mode='replicate')",
    "{x:a}.repeat_interleave(2, {d})", "{x:a}.movedim({d}, {e})", "{x:a}.view(-1)", "lib.atleast_2d({x:a})",
    "{x:a}.rot90()", "{x:a}.unflatten({d}, (-1, 1))", "{x:a}.unfold({d}, 1, 1).clone()", "{x:a}.swapaxes(0, -1)",
    "lib.meshgrid({x:a}, {a}, indexing='ij')[0]", "{x:a}.triu(1)", "lib.broadcast_to({x:a}, {shape})",
    "lib.tile({x:a}, (2,))",
)  # fmt: skip
REDUCTIONS = (
    "{x:a}.sum()", "{x:a}.sum({d})", "{x:f}.mean({d})", "{x:f}.mean()", "{x:a}.sum({d}, keepdim=True)",
    "{x:a}.amax({d})", "{x:n}.amin({d})", "{x:a}.max()", "{x:n}.max({d}).values", "{x:n}.max({d}).indices",
    "{x:n}.min({d})[1]", "{x:a}.any()", "{x:a}.all({d})", "{x:n}.argmax()", "{x:n}.argmax({d})",
    "{x:n}.argmin({d}, keepdim=True)", "{x:n}.prod({d})", "{x:f}.std({d})", "{x:f}.var({d}, unbiased=False)",
    "{x:f}.norm()", "{x:f}.logsumexp({d})", "{x:n}.count_nonzero()", "{x:f}.softmax({d})", "{x:f}.log_softmax({d})",
    "F.normalize({x:f}, dim={d})", "{x:n}.cumsum({d})", "{x:f}.cumprod({d})", "{x:b}.cumsum({d})", "{x:f}.median()",
    "{x:f}.quantile(0.4)", "{x:f}.cummax({d}).values", "{x:i}.sum({d})", "{x:b}.sum()", "{x:f}.norm(dim={d})",
    "lib.diff({x:n})", "{x:n}.nansum()", "lib.logcumsumexp({x:f}, {d})", "{x:n}.cummin({d})[1]",
    "{x:f}.median({d}).values", "{x:f}.aminmax()[0]",
)  # fmt: skip
INDEXING = (
    "{x:a}[{i}]", "{x:a}[{b}]", "{x:a}[{i} % {s}]", "{x:a}[..., {i}]", "{x:a}[{x} > 0]", "{x:a}.gather({d}, {i})",
    "{x:a}.gather({d}, {i} % {s})", "{x:a}.index_select({d}, {i})", "{x:a}.index_select(0, ({i} % {s}).reshape(-1))",
    "{x:a}.take({i})", "lib.take_along_dim({x:a}, {i}, {d})", "F.embedding({i} % {s}, {x:f})",
    "F.one_hot({x:i} % 5, 5)", "F.one_hot({x:i})", "{x:n}.sort({d}).values", "{x:n}.sort({d}).indices",
    "{x:n}.sort({d}, descending=True)[0]", "{x:n}.argsort({d})", "{x:n}.topk(1, {d}).values", "{x:a}.nonzero()",
    "{x:i}.unique()", "lib.bincount({x:i}.reshape(-1) % 7)", "lib.bincount({x:i}.reshape(-1) % 7, minlength=9)",
    "{x:n}[{x}.argmax(0)]", "lib.bincount({x:i}.reshape(-1).clamp(min=0), {f}.reshape(-1))",
    "lib.histc({x:f}, 5, -2, 2)", "lib.searchsorted(lib.tensor([0, 1, 3]), {x:i})",
    "lib.bucketize({x:f}, lib.tensor([-0.5, 0.0, 1.0], dtype=dtype))",
    "lib.zeros(9).scatter_add(0, {x:i}.reshape(-1) % 9, lib.ones({x}.numel()))", "{x:a}.masked_select({b})",
    "lib.zeros({shape}, dtype=dtype).scatter(0, {i} % {s}, {x:f})", "{x:f}.index_add(0, {i} % {s}, {f})",
    "lib.tril({x:a})", "{x:a}.index_fill(0, lib.tensor([0]), 2)", "{x:f}.kthvalue(1, {d}).values",
    "{x:i}.unique(return_inverse=True)[1]", "lib.histogram({x:f}, 4, range=(-2.0, 2.0)).hist", "{x:n}.mode({d}).values",
    "{x:a}[lib.arange({s}) // 2]", "{x:n}.msort()", "lib.arange({x:n}.shape[0]) + {x}.sum().long()",
    "lib.full_like({x:a}, 3)", "lib.zeros_like({x:a}) + {x}", "lib.arange({s}) * {p}",
    "F.embedding_bag({i} % {s}, {x:f}, mode='sum')", "lib.eye({s}) * 2", "lib.ones({shape}) * {x:n}",
    "{x:n}.scatter_reduce(0, {i} % {s}, {x}, 'amax')",
)  # fmt: skip
# Places that may be out of range: where torch refuses them, convcore must, too.
PLACES = (
    "{x:a}.gather({d}, {i}.long())", "{x:a}.gather({d}, -{i}.long())", "{x:a}.gather({d}, {i}.long() - 1)",
    "{x:a}.index_select({d}, {i}.long().reshape(-1))", "{x:a}.index_select({d}, {i}.long().reshape(-1) - 1)",
    "{x:a}.take({i}.long() - 2)", "F.embedding({i}.long() - 1, {x:f})", "F.embedding({i}.long(), {x:f})",
    "F.one_hot({x:i}.long() - 1, 3)", "F.one_hot({x:i}.long(), 3)", "F.cross_entropy({x:f}, {i}.long())",
    "F.cross_entropy({x:f}, {i}.long() - 1)", "F.nll_loss({x:f}, {i}.long() - 1)", "{x:a}[{i}.long()]",
    "{x:a}[-{i}.long()]", "lib.zeros(4).scatter(0, {x:i}.long().reshape(-1) - 1, 1.0)",
    "lib.zeros(4).scatter_add(0, {x:i}.long().reshape(-1), lib.ones(99))",
    "lib.zeros(4).index_add(0, {x:i}.long().reshape(-1) - 1, lib.ones({x}.numel()))",
    "lib.bincount({x:i}.reshape(-1).long() - 1)",
    "lib.zeros(4).index_copy(0, {x:i}.long().reshape(-1) - 1, lib.ones({x}.numel()))",
    "{x:a}.index_fill({d}, {i}.long().reshape(-1), 1)", "{x:a}.select({d}, {k})", "{x:a}.narrow({d}, {k}, {p})",
    "{x:n}.topk({p}, {d})", "{x:n}.kthvalue({p}, {d})", "{x:a}.unbind({p})",
    "lib.zeros(3).index_put((lib.tensor([3]),), lib.ones(1)) + {x:n}", "{x:a}.squeeze({p}).transpose({p}, {k})",
    "{x:a}.flip({p})", "{x:a}.sum({p})", "{x:n}.argmax({p})", "{x:n}.cumsum({p})", "{x:n}.sort({p})",
    "{x:a}.repeat_interleave(-{p}, 0)", "{x:n}.amax({p})",
)  # fmt: skip
PRODUCTS = (
    "{x:f} @ {f}", "{x:f} @ {x}.transpose(-1, -2)", "lib.einsum('...i,...i->...', {x:f}, {x})", "lib.outer({x:f}, {f})",
    "{x:i} @ {x}.t()", "lib.matmul({x:f}, {f}.mT)", "F.cosine_similarity({x:f}, {f}, {d})", "lib.cdist({x:f}, {x})",
    "F.layer_norm({x:f}, {x}.shape[-1:])", "F.scaled_dot_product_attention({x:f}, {x}, {x})", "F.avg_pool1d({x:f}, 2)",
    "F.max_pool1d({x:f}, 2)", "F.max_pool2d({x:f}, 2)", "F.avg_pool2d({x:f}, 2)", "F.adaptive_avg_pool2d({x:f}, 1)",
    "F.interpolate({x:f}, scale_factor=2)", "F.mse_loss({x:f}, {f})", "F.cross_entropy({x:f}, {i} % {x}.shape[1])",
    "F.conv2d({x:f}[:, :1], lib.ones(2, 1, 2, 2, dtype={x}.dtype))", "F.unfold({x:f}, 2)", "{x:f}.cov()",
    "F.glu({x:f}, {d})", "lib.linspace(0, 1, {x:f}.shape[-1]) * {x}", "F.group_norm({x:f}, 1)",
    "F.pixel_unshuffle({x:f}, 2)", "F.nll_loss({x:f}, {i} % 2)",
)  # fmt: skip
EFFECTS = (
    "self.seen = {x:a}", "self.seen = {x:a}.sum()", "self.table['last'] = {x:a}", "self.many.append({x:a})",
    "self.count += 1", "self.counter.add_(1)", "self.counter += {x:n}.sum().to(self.counter.dtype)",
    "self.mean.mul_(0.9)", "self.mean = self.mean * 0.9", "kept.append({x:a})", "self.many[:] = [{x:a}]",
    "globals()['last'] = {x:a}", "self.mean.copy_({x:f}.mean())", "setattr(self, 'shape', {x:a}.shape)",
    "lib.manual_seed(1)", "self.l0.bias = None", "self.seen.append(1) if isinstance(self.seen, list) else None",
    "type(self).total = type(self).total + 1",
)  # fmt: skip
USES_OF_STATE = (
    "{x:n} * self.count", "{x:f} + self.mean", "{x:n} + self.counter", "{x:f} * self.scale", "{x:f} + self.plain",
    "{x:n} + len(self.many)", "{x:n} * self.table['factor']", "{x:f} @ self.weight", "self.free[0]({x:f})",
    "self.l0({x:f})", "{x:f} + type(self).total", "{x:f} * SCALE",
    "{x:n} + self.spare if self.spare is not None else {x} * 1", "F.linear({x:f}, self.l0.weight, self.l0.bias)",
    "{x:f} + (self.late if hasattr(self, 'late') else 0)", "{x:f} * self.settings[0]",
    "{x:n} + kept[0] if kept and hasattr(kept[0], 'sum') and kept[0].dim() == 0 else {x} + 0",
    "self.spare_layer({x:f}) if self.spare_layer is not None else {x} - 1",
)  # fmt: skip
DRAWS = (
    "{x:f} + lib.rand_like({x})", "{x:f} * lib.randn({shape})", "F.dropout({x:f}, 0.5)",
    "{x:n} + lib.randint(0, 5, {shape})", "lib.bernoulli({x:f}.sigmoid())", "{x:n}[lib.randperm({s})]",
    "F.dropout({x:f}, 0.5, training=self.training)",
)  # fmt: skip
DECISIONS = (
    "{x:f} * (2 if {x}.sum() > 0 else 3)", "{x:n} + {x}.shape[0]", "{x:n} * float({x}.max())",
    "{x:n} if bool(({x} > 0).any()) else -{x}", "{x:n} + {x}.tolist()[0]", "{x:n} * {x}.numel()",
    "lib.tensor({x:a}.tolist())", "{x:f} + lib.from_numpy(np.sqrt(abs({x}.numpy())))",
    "{x:n} + (1 if self.training else 2)", "{x:n}[: int({x}.reshape(-1)[0]) % 3]", "lib.tensor(np.asarray({x:a}) * 1)",
    "{x:n} + {x}.sum().item()", "lib.tensor(np.array({x:f}.numpy()))", "[{x:n} * k for k in range(3)][-1]",
    "{x:n} * len({x})", "{x:a} * int(lib.equal({x}, {x}))", "{x:n} + sum(1 for row in {x})",
)  # fmt: skip
IN_PLACE = (
    "{x}.add_(1)", "{x}.mul_(2)", "{x}[0] = 1", "{x}[{x} > 0] = 0", "{x} += 1", "{x}.zero_()", "{x}.clamp_(-1, 1)",
    "{x}[..., 0] *= 2", "{x}.copy_({x}.flip(0))", "{x}.masked_fill_({x} > 1, 1)", "{x}.relu_()", "{x}.neg_()",
    "{x}.fill_(3)", "{x} -= {x}.sum()", "{x}.index_add_(0, lib.tensor([0]), {x}[:1])",
    "{x}.scatter_(0, ({x} > 0).long(), 1)",
)  # fmt: skip

EXPRESSIONS = {
    ARITHMETIC: 5, FUNCTIONS: 3, COMPARISONS: 4, CONVERSIONS: 3, SHAPES: 5, REDUCTIONS: 4, INDEXING: 6, PRODUCTS: 3,
}  # fmt: skip
