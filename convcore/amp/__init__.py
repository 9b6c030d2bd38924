"""Mixed precision on a GPU, as in `torch.amp`: products in 16 bits, and a scale against underflow of the gradients.

scaler = convcore.amp.GradScaler()
for x, labels in batches:
    optimizer.zero_grad()
    with convcore.amp.autocast("cuda", dtype=convcore.float16):
        loss = F.cross_entropy(model(x), labels)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
"""

from convcore.amp.autocast import autocast, why_no_tensor_cores
from convcore.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "why_no_tensor_cores"]
