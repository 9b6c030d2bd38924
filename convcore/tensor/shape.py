"""The methods of a tensor that move elements: shape, indexing, sorting and filling, bound to `convcore.ops`."""

from __future__ import annotations

from convcore.ops.core.public_api import guard_methods
from convcore.ops.create import creation, sampling
from convcore.ops.elementwise import in_place
from convcore.ops.elementwise.in_place import in_place_of, in_place_view_of
from convcore.ops.rearrange import copies, strided
from convcore.ops.rearrange import functions as rearrange
from convcore.ops.rearrange import scatter as scatters
from convcore.ops.rearrange import scatter_reduce as scatter_reduce_ops
from convcore.ops.reduce import histogram as histograms
from convcore.ops.reduce import sorting
from convcore.ops.shape import indexing, joining
from convcore.ops.shape import views as shapes
from convcore.tensor.data import TensorData


@guard_methods
class TensorParts(TensorData):
    """The base of `convcore.Tensor` with the methods that move elements and do not compute with them."""

    __slots__ = ()

    # Shape

    reshape = view = shapes.reshape
    reshape_as = shapes.view_as
    T = property(shapes.reversed_axes)
    H = property(shapes.adjoint)
    mT = mH = property(shapes.matrix_transpose)
    flatten = shapes.flatten
    unflatten = shapes.unflatten
    ravel = shapes.ravel
    permute = shapes.permute
    transpose = shapes.transpose
    swapaxes = shapes.swapaxes
    swapdims = shapes.swapdims
    movedim = shapes.movedim
    moveaxis = shapes.moveaxis
    adjoint = shapes.adjoint
    t = shapes.t
    squeeze = shapes.squeeze
    unsqueeze = shapes.unsqueeze
    expand = shapes.expand
    expand_as = shapes.expand_as
    view_as = shapes.view_as
    broadcast_to = shapes.broadcast_to
    narrow = shapes.narrow
    select = shapes.select
    split = joining.split
    split_with_sizes = joining.split_with_sizes
    chunk = unsafe_chunk = joining.chunk
    unsafe_split = joining.unsafe_split
    tensor_split = joining.tensor_split
    hsplit = joining.hsplit
    vsplit = joining.vsplit
    dsplit = joining.dsplit
    unbind = joining.unbind
    flip = rearrange.flip
    fliplr = rearrange.fliplr
    flipud = rearrange.flipud
    roll = rearrange.roll
    rot90 = rearrange.rot90
    repeat = rearrange.repeat
    tile = rearrange.tile
    repeat_interleave = rearrange.repeat_interleave
    tril = rearrange.tril
    triu = rearrange.triu
    diagonal = rearrange.diagonal
    diag_embed = rearrange.diag_embed
    diag = rearrange.diag
    diagflat = rearrange.diagflat
    trace = rearrange.trace
    unfold = rearrange.unfold
    squeeze_ = in_place_view_of(shapes.squeeze)
    unsqueeze_ = in_place_view_of(shapes.unsqueeze)
    t_ = in_place_view_of(shapes.t)
    transpose_ = swapaxes_ = swapdims_ = in_place_view_of(shapes.transpose)
    tril_ = in_place_of(rearrange.tril)
    triu_ = in_place_of(rearrange.triu)

    # Indexing

    __getitem__ = indexing.getitem
    __setitem__ = in_place.setitem
    gather = indexing.gather
    nonzero = indexing.nonzero
    nonzero_static = indexing.nonzero_static
    argwhere = indexing.argwhere
    index_select = scatters.index_select
    index_add = scatters.index_add
    index_copy = scatters.index_copy
    index_fill = scatters.index_fill
    index_put = scatters.index_put
    scatter = scatters.scatter
    scatter_add = scatters.scatter_add
    masked_select = scatters.masked_select
    masked_scatter = scatters.masked_scatter
    put = scatters.put
    scatter_reduce = scatter_reduce_ops.scatter_reduce
    index_reduce = scatter_reduce_ops.index_reduce
    select_scatter = copies.select_scatter
    slice_scatter = copies.slice_scatter
    diagonal_scatter = copies.diagonal_scatter
    as_strided = strided.as_strided
    as_strided_ = in_place_view_of(strided.as_strided)
    as_strided_scatter = strided.as_strided_scatter
    narrow_copy = copies.narrow_copy
    sum_to_size = copies.sum_to_size
    index_add_ = in_place_of(scatters.index_add)
    index_copy_ = in_place_of(scatters.index_copy)
    index_fill_ = in_place_of(scatters.index_fill)
    index_put_ = in_place_of(scatters.index_put)
    scatter_ = in_place_of(scatters.scatter)
    scatter_add_ = in_place_of(scatters.scatter_add)
    masked_scatter_ = in_place_of(scatters.masked_scatter)
    put_ = in_place_of(scatters.put)
    scatter_reduce_ = in_place_of(scatter_reduce_ops.scatter_reduce)
    index_reduce_ = in_place_of(scatter_reduce_ops.index_reduce)
    resize_ = in_place.resize_
    resize_as_ = in_place.resize_as_

    # Sorting

    argsort = sorting.argsort
    sort = sorting.sort
    msort = sorting.msort
    topk = sorting.topk
    unique = sorting.unique
    unique_consecutive = sorting.unique_consecutive
    bincount = sorting.bincount
    histc = histograms.histc
    histogram = histograms.histogram
    take = sorting.take
    take_along_dim = sorting.take_along_dim

    __iter__ = joining.iterate

    # New values

    zero_ = in_place.zero_
    fill_ = in_place.fill_
    copy_ = in_place.copy_
    bernoulli = sampling.bernoulli
    multinomial = sampling.multinomial
    bernoulli_ = sampling.bernoulli_
    random_ = sampling.random_
    uniform_ = sampling.uniform_
    normal_ = sampling.normal_
    log_normal_ = sampling.log_normal_
    exponential_ = sampling.exponential_
    geometric_ = sampling.geometric_
    cauchy_ = sampling.cauchy_
    new_empty = creation.new_empty
    new_full = creation.new_full
    new_empty_strided = creation.new_empty_strided
    new_zeros = creation.new_zeros
    new_ones = creation.new_ones
    new_tensor = creation.new_tensor
