"""2-D convolution (cross-correlation, as in all deep-learning libraries) and its gradients, as plain as they can be.

    out[n, k, oh, ow] = bias[k] + sum over c, r, s of
        x_padded[n, c, oh * stride_h + r * dil_h, ow * stride_w + s * dil_w] * weight[k, c, r, s]

Arrays are (N, C, H, W) of any float type; everything is computed and returned in float64. With groups, filter k sees
only the channels of its group.
"""

import numpy as np


def pad_image(x, pad_top, pad_bottom, pad_left, pad_right):
    """x (N, C, H, W) in float64 with a border of zeros."""
    return np.pad(np.asarray(x, np.float64), ((0, 0), (0, 0), (pad_top, pad_bottom), (pad_left, pad_right)))


def _tap(x_padded, r, s, h_out, w_out, stride, dilation):
    """The view of x_padded that filter tap (r, s) sees: one value per output pixel."""
    h, w = r * dilation[0], s * dilation[1]
    h_end, w_end = h + (h_out - 1) * stride[0] + 1, w + (w_out - 1) * stride[1] + 1
    return x_padded[:, :, h : h_end : stride[0], w : w_end : stride[1]]


def _grouped(array, axis, groups):
    """Split an axis of channels into (groups, channels per group)."""
    shape = array.shape
    return array.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def conv2d_forward(x, weight, bias, stride, padding, dilation, groups):
    """out (N, K, H', W'). `padding` is (top, bottom, left, right); stride and dilation are (h, w); bias may be None."""
    weight = np.asarray(weight, np.float64)
    x_padded = pad_image(x, *padding)
    n, _, h, w = x_padded.shape
    c_out, _, k_h, k_w = weight.shape
    h_out = (h - dilation[0] * (k_h - 1) - 1) // stride[0] + 1
    w_out = (w - dilation[1] * (k_w - 1) - 1) // stride[1] + 1
    out = np.zeros((n, groups, c_out // groups, h_out, w_out))
    for r in range(k_h):
        for s in range(k_w):
            patch = _grouped(_tap(x_padded, r, s, h_out, w_out, stride, dilation), 1, groups)
            out += np.einsum("ngchw,gkc->ngkhw", patch, _grouped(weight[:, :, r, s], 0, groups))
    out = out.reshape(n, c_out, h_out, w_out)
    return out if bias is None else out + np.asarray(bias, np.float64)[:, None, None]


def conv2d_grad_input(grad_out, weight, x_shape, stride, padding, dilation, groups):
    """grad_x (N, C, H, W): every tap gives back to the pixels that it read."""
    grad_out, weight = np.asarray(grad_out, np.float64), np.asarray(weight, np.float64)
    n, c_in, h_in, w_in = x_shape
    h_out, w_out = grad_out.shape[2:]
    grad_padded = pad_image(np.zeros(x_shape), *padding)
    grouped = _grouped(grad_out, 1, groups)
    for r in range(weight.shape[2]):
        for s in range(weight.shape[3]):
            given = np.einsum("ngkhw,gkc->ngchw", grouped, _grouped(weight[:, :, r, s], 0, groups))
            _tap(grad_padded, r, s, h_out, w_out, stride, dilation)[...] += given.reshape(n, c_in, h_out, w_out)
    return grad_padded[:, :, padding[0] : padding[0] + h_in, padding[2] : padding[2] + w_in]


def conv2d_grad_weight(x, grad_out, weight_shape, stride, padding, dilation, groups):
    """grad_weight (K, C/groups, k_h, k_w): for every tap, the correlation of what it read with what came back."""
    x_padded, grad_out = pad_image(x, *padding), np.asarray(grad_out, np.float64)
    h_out, w_out = grad_out.shape[2:]
    grad_weight = np.zeros(weight_shape)
    for r in range(weight_shape[2]):
        for s in range(weight_shape[3]):
            patch = _grouped(_tap(x_padded, r, s, h_out, w_out, stride, dilation), 1, groups)
            gradient = np.einsum("ngkhw,ngchw->gkc", _grouped(grad_out, 1, groups), patch)
            grad_weight[:, :, r, s] = gradient.reshape(weight_shape[:2])
    return grad_weight


def conv2d_grad_bias(grad_out):
    """grad_bias (K,): the bias is added to every pixel of its channel."""
    return np.asarray(grad_out, np.float64).sum(axis=(0, 2, 3))
