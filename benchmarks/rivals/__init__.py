"""The other side of each ratio.

    formats       the two memory formats in which PyTorch is measured
    torch_models  the networks of `convcore.models` as PyTorch's modules
    onnx          inference with ONNX Runtime

Nothing here is timed by itself: the modules of `benchmarks.groups` call it beside convcore.
"""
